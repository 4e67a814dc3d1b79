"""The page behind "this wasn't me", and the reset email that follows it."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from webapp.accounts import users
from webapp.accounts.models import User
from webapp.accounts.tokens import Claim, Purpose, TokenInvalid, TokenUsed
from webapp.authentication import auth, email_links
from webapp.not_me import not_me
from webapp.notifications import history
from webapp.web import page_language, pages
from webapp.web.forms import EmptyForm, Form


async def report_not_me(request: Request) -> Response:
    """Behind the link of every security email. It works whoever is logged in, and without cookies."""
    form = await Form.of(request, EmptyForm)
    try:
        user, claim = await _reporter(request)
    except TokenInvalid as refused:
        return email_links.bad(request, refused, "not_me")
    if form.is_valid:
        db, client = request.state.db, auth.client_info(request)
        ended = await not_me.report(db, request.app.state.settings, user, claim, client)
        with page_language.after_logging_out(request, user.id):
            words = email_links.logged_out_on(ended) if ended else None
        response = pages.redirect(request, request.url.path, flash=words)  # whole: whose page it was is logged out
        await auth.renew_browser(request, response)
        await db.commit()
        return response
    return await _not_me_page(request, form, user, claim)


async def email_reset_link(request: Request) -> Response:
    """A reset email to the account's own address, after "this wasn't me"."""
    form = await Form.read(request, EmptyForm)
    page = request.app.url_path_for("report_not_me", token=request.path_params["token"])
    try:
        user, claim = await _reporter(request)
        if not not_me.is_to_owner(request.app.state.settings, user, claim):
            return pages.redirect(request, page)  # where "this wasn't me" takes the address back first
        kind, recipient = "reset_password", f"disowner {user.id}"  # a count of its own: strangers can't use it up
        sent = await email_links.send(request, form, kind, recipient, user.id, by_owner=True, epoch=user.epoch)
        if sent:
            return email_links.check_email(request, sent)
        return await _not_me_page(request, form, user, claim)
    except TokenInvalid:
        return pages.redirect(request, page)  # which says what is wrong


async def _reporter(request: Request) -> tuple[User, Claim]:
    """The person whose email had the link. Raises TokenInvalid; no change of the account disables such a link."""
    db, settings = request.state.db, request.app.state.settings
    user, claim = await users.of_link(db, settings, Purpose.NOT_ME, request.path_params["token"])
    if await not_me.is_void(db, settings, user, claim):
        raise TokenUsed(claim)
    return user, claim


async def _not_me_page(request: Request, form: Form[Any], user: User, claim: Claim) -> Response:
    return pages.render(
        request,
        "not_me/report_not_me.html",
        part="panel",
        form=form,
        username=user.username,
        our_email=history.named(claim.about),
        is_only_asked=claim.about == "reset_password",
        is_reported=not_me.is_reported(user, claim),
        is_to_owner=not_me.is_to_owner(request.app.state.settings, user, claim),
        paused_until=user.reset_pause,
        token=request.path_params["token"],
    )
