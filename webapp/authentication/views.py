"""Log in, log out, and the page that says "Check your email"."""

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from webapp.accounts.models import User
from webapp.asked_emails import asked_emails
from webapp.asked_emails.asked_emails import Asked
from webapp.authentication import auth, email_links, forms, proof
from webapp.authentication.credentials import Closed
from webapp.factors import second_step
from webapp.i18n import gettext as _
from webapp.mail import status
from webapp.names.identities import visible
from webapp.web import cookies, page_language, pages
from webapp.web.forms import EmptyForm, Form


async def login(request: Request) -> Response:
    form = await Form.of(request, forms.Login, username=request.query_params.get("username", "")[:320])
    came_for = pages.local_path(form.values["next"] or request.query_params.get("next", ""))
    if request.method != "POST" and request.state.user:
        return pages.redirect(request, came_for)
    user = await _authenticated(request, form) if form.is_valid else None
    if user and not await auth.logs_in_too_often(request, form, user):
        response = await _past_password(request, user, came_for, is_remembered=bool(form.data.remember_me))
        await request.state.db.commit()
        return response
    return pages.render(
        request,
        "authentication/login.html",
        part="form",
        form=form,
        next="" if came_for == "/" else came_for,
        forgot_url=f"/reset_password_request?{urlencode({'email': visible(form.values['username'])})}",
    )


@auth.login_required
async def logout(request: Request) -> Response:
    with page_language.after_logging_out(request, request.state.user.id):
        response = pages.redirect(request, "/login", flash=_("You're logged out."))
    await auth.log_out(request, response)
    await request.state.db.commit()
    return response


async def check_email(request: Request) -> Response:
    """After an email was asked for: what to look for, and the button that sends it again. Looks nobody up."""
    asked, asked_at = _asked(request)
    await Form.of(request, EmptyForm)
    form = Form(forms.EmailCode)
    if request.method == "POST" and asked.is_repeatable:
        more: dict[str, Any] = {
            "typed": asked.typed,
            "by_owner": asked.by_owner,
            "asked_id": asked.id,
            "invite": asked.invite,
            "epoch": asked.epoch if asked.by_owner else None,
        }
        sent = await email_links.send(request, form, asked.kind, asked.recipient, asked.user_id, **more)
        if sent:
            return email_links.check_email(request, sent)
    is_delayed = await status.is_delayed(request.state.db)
    wait = int(form.headers.get("retry-after", 0)) or asked_emails.seconds_until_again(asked_at)
    return email_links.check_email_page(request, request.path_params["token"], asked, form, is_delayed, wait)


async def email_code(request: Request) -> Response:
    """The email's code leads to the form behind its link, in the browser that asked for it."""
    token = request.path_params["token"]
    asked, asked_at = _asked(request)
    form = await Form.of(request, forms.EmailCode)
    if request.method != "POST":
        return pages.redirect(request, request.app.url_path_for("check_email", token=token))
    page = await email_links.behind_code(request, form, asked) if form.is_valid else None
    if page:
        return pages.redirect(request, page)
    is_delayed, wait = await status.is_delayed(request.state.db), asked_emails.seconds_until_again(asked_at)
    return email_links.check_email_page(request, token, asked, form, is_delayed, wait)


def _asked(request: Request) -> tuple[Asked, datetime]:
    """What was asked for, and when, according to the page's address."""
    found = asked_emails.unseal(request.app.state.settings, request.path_params["token"])
    if found is None:
        raise HTTPException(404)
    return found


async def _past_password(request: Request, user: User, came_for: str, *, is_remembered: bool) -> Response:
    """Logs in, or redirects to the second step if the account has one. Only somebody with the password finds out."""
    if await second_step.is_due(request.state.db, user, auth.client_info(request)):
        return await _ask_second_step(request, user, came_for, is_remembered=is_remembered)
    response = pages.redirect(request, came_for)
    await auth.log_in(request, response, user, is_remembered=is_remembered)
    return response


async def _ask_second_step(request: Request, user: User, came_for: str, *, is_remembered: bool) -> Response:
    """After the right password: redirects to the second step. Nobody is logged in yet."""
    db, client = request.state.db, auth.client_info(request)
    secret = await second_step.begin(db, request.app.state.settings, user, client, is_remembered=is_remembered)
    page = request.app.url_path_for("second_step")
    response = pages.redirect(request, f"{page}?{urlencode({'next': came_for})}" if came_for != "/" else page)
    cookies.write(request, response, auth.PENDING_COOKIE, secret, int(second_step.LIFETIME.total_seconds()))
    return response


async def _authenticated(request: Request, form: Form[forms.Login]) -> User | None:
    """The person who may log in; or None, with the reason in the form."""
    try:
        user = await proof.try_password(request, form, form.data.username, form.data.password)
    except Closed as closed:
        form.explain(f"{closed} {await _email_link(request, closed)}" if closed.kind else str(closed))
        return None
    if user is None and not form.errors:
        form.refuse("", _("That username or email and password don't match."))
    return user


async def _email_link(request: Request, closed: Closed) -> str:
    """Emails the account the link that opens it again; returns the words to show."""
    form, kind, user_id = Form(EmptyForm), closed.kind, closed.user_id
    sent = await email_links.send(request, form, kind, f"locked {user_id}", user_id, by_owner=True, has_page=False)
    return _("We've just sent the link to its email.") if sent else form.errors[""]
