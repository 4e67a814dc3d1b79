"""The ways back in: forget the password, follow the letter's link, choose a new one."""

from starlette.requests import Request
from starlette.responses import Response

from webapp import pages
from webapp.accounts import forms, links, sessions, users
from webapp.accounts.forms import check_password
from webapp.accounts.models import User
from webapp.accounts.tokens import Mangled, Outdated, Purpose, Refused, Used, verify
from webapp.accounts.users import Overtaken
from webapp.forms import Form
from webapp.language import gettext as _
from webapp.language import ngettext
from webapp.security.events import Event


async def reset_password_request(request: Request) -> Response:
    """Asks for a reset letter. Looks nobody up: only the mailer knows whether there is anybody to write to."""
    form = await Form.of(request, forms.ResetPasswordRequest, email=request.query_params.get("email", "")[:320])
    sent = await links.send(request, form, "reset_password", form.data.email) if form.is_valid else None
    typed = form.values["email"].strip()
    if sent and not pages.asks_for_part(request):
        words = _("If %(typed)s belongs to an account, an email is on its way. The link works for %(minutes)s minutes.")
        minutes = request.app.state.settings.reset_token_minutes
        return pages.redirect(request, "/login", flash=sent.with_truth(words % {"typed": typed, "minutes": minutes}))
    return pages.render(
        request, "recovery/reset_password_request.html", part="panel", form=form, sent=sent, typed=typed, is_kept=True
    )


async def reset_password(request: Request) -> Response:
    """The form behind a reset link. It works for the link's account, whoever is logged in, and without cookies."""
    form, token = await Form.of(request, forms.ResetPassword), request.path_params["token"]
    try:
        user = await _owner(request)
        if form.is_valid:
            check_password(form, request.app.state.settings, form.data.password, user.username, user.email)
        if form.is_valid and form.data.password2 not in {"", form.data.password}:
            form.refuse("password", _("The two passwords are not the same."))
        if form.is_valid:
            db, state = request.state.db, request.app.state
            ended = await users.change_password(
                db,
                state.hasher,
                state.settings,
                user,
                form.data.password,
                sessions.visit(request),
                Event.PASSWORD_RESET,
            )
            await db.commit()
            return pages.redirect(request, "/login", flash=_changed(ended))
    except Overtaken:
        return pages.redirect(request, request.url.path)  # where the link now says that it was used
    except Refused as refused:
        return links.bad(request, refused, "reset")
    return pages.render(
        request, "recovery/reset_password.html", part="form", form=form, username=user.username, token=token
    )


async def renew_reset_link(request: Request) -> Response:
    """The one button of an expired or used link: a fresh one, to the account's own address."""
    form = await Form.read(request, forms.RenewResetLink)
    try:
        await _owner(request)
    except Outdated as refused:
        subject = refused.claim.subject
        sent = await links.send(request, form, "reset_password", f"user {subject}", user_id=int(subject))
        if sent and not pages.asks_for_part(request):
            return pages.redirect(request, "/login", flash=sent.with_truth(_("A fresh link is on its way.")))
        return links.bad_page(request, refused, "reset", form, sent)
    except Refused as refused:
        return links.bad(request, refused, "reset")
    return pages.redirect(request, request.app.url_path_for("reset_password", token=request.path_params["token"]))


async def _owner(request: Request) -> User:
    """Whose reset link this is. Raises Refused; a link is used once its account has left the link's epoch."""
    claim = verify(request.app.state.settings, Purpose.RESET_PASSWORD, request.path_params["token"])
    user = await users.get(request.state.db, int(claim.subject))
    if user is None:
        raise Mangled
    if user.epoch != claim.epoch or user.disabled_at is not None:
        raise Used(claim)
    return user


def _changed(ended: int) -> str:
    if not ended:
        return _("Your password is changed. Log in with the new password.")
    words = ngettext(
        "Your password is changed, and %(ended)s sign-in was ended. Log in with the new password.",
        "Your password is changed, and %(ended)s sign-ins were ended. Log in with the new password.",
        ended,
    )
    return words % {"ended": ended}
