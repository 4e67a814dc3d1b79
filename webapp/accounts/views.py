"""forms.Register, log in, forget a password, and get back in."""

from typing import Any, NamedTuple
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from webapp import language, limits, pages
from webapp.accounts import forms, letters, sessions, users
from webapp.accounts.models import User
from webapp.accounts.passwords import weakness
from webapp.accounts.tokens import Mangled, Outdated, Purpose, Refused, Used, verify
from webapp.accounts.users import Overtaken, Taken
from webapp.forms import Form
from webapp.language import gettext as _
from webapp.language import ngettext
from webapp.limits import TooOften
from webapp.mail import status


class Sent(NamedTuple):
    """A letter was posted. `is_delayed` is the same for everyone: whether letters are leaving at the moment."""

    is_delayed: bool

    def with_truth(self, words: str) -> str:
        """What was to be said, and that it will take longer if it will."""
        return f"{words} {_('Our mail is delayed at the moment; we keep trying.')}" if self.is_delayed else words


async def login(request: Request) -> Response:
    form = await Form.of(request, forms.Login)
    came_for = pages.local_path(form.values["next"] or request.query_params.get("next", ""))
    if request.method != "POST" and request.state.user:
        return pages.redirect(request, came_for)
    user = await _authenticated(request, form) if form.is_valid else None
    if user:
        response = pages.redirect(request, came_for)
        await sessions.log_in(request, response, user, is_remembered=bool(form.data.remember_me))
        await request.state.db.commit()
        return response
    return pages.render(
        request,
        "accounts/login.html",
        part="form",
        form=form,
        next="" if came_for == "/" else came_for,
        forgot_url=f"/reset_password_request?{urlencode({'email': form.values['username'].strip()})}",
    )


@sessions.login_required
async def logout(request: Request) -> Response:
    response = pages.redirect(request, "/login", flash=_("You are logged out."))
    await sessions.log_out(request, response)
    await request.state.db.commit()
    return response


async def register(request: Request) -> Response:
    form = await Form.of(request, forms.Register)
    if form.is_valid and request.app.state.settings.registration != "open":
        form.refuse("", _("Registration here is by invitation."), 403)
    sent = await _send(request, form, "register", form.data.email) if form.is_valid else None
    if sent and not pages.asks_for_part(request):
        words = _("Check your mail: a letter is on its way to that address.")
        return pages.redirect(request, "/login", flash=sent.with_truth(words))
    return pages.render(request, "accounts/register.html", part="panel", form=form, sent=sent)


async def finish_registration(request: Request) -> Response:
    """The form behind a proved mailbox's link: choose a name and a password."""
    form = (
        await Form.read(request, forms.FinishRegistration)
        if request.method == "POST"
        else Form(forms.FinishRegistration)
    )
    try:
        address = await _proved_address(request)
    except Refused as refused:
        return _bad_link(request, refused, "register")
    if request.method == "POST":  # also beside a bad name: both are said at once
        _check_password(request, form, form.values["password"], form.values["username"], address)
    if form.is_valid and await _added(request, form, address):
        words = _("Welcome, %(name)s! Your account is ready. Log in with your new password.")
        return pages.redirect(request, "/login", flash=words % {"name": form.data.username})
    return pages.render(
        request,
        "accounts/finish_registration.html",
        part="form",
        form=form,
        email=address,
        token=request.path_params["token"],
    )


async def reset_password_request(request: Request) -> Response:
    """Asks for a reset letter. Looks nobody up: only the mailer knows whether there is anybody to write to."""
    form = await Form.of(request, forms.ResetPasswordRequest, email=request.query_params.get("email", "")[:320])
    sent = await _send(request, form, "reset_password", form.data.email) if form.is_valid else None
    typed = form.values["email"].strip()
    if sent and not pages.asks_for_part(request):
        words = _("If %(typed)s belongs to an account, an email is on its way. The link works for %(minutes)s minutes.")
        minutes = request.app.state.settings.reset_token_minutes
        return pages.redirect(request, "/login", flash=sent.with_truth(words % {"typed": typed, "minutes": minutes}))
    return pages.render(
        request, "accounts/reset_password_request.html", part="panel", form=form, sent=sent, typed=typed
    )


async def reset_password(request: Request) -> Response:
    """The form behind a reset link. It works for the link's account, whoever is logged in, and without cookies."""
    form, token = await Form.of(request, forms.ResetPassword), request.path_params["token"]
    try:
        user = await _owner(request)
        if form.is_valid:
            _check_password(request, form, form.data.password, user.username, user.email)
        if form.is_valid and form.data.password2 not in {"", form.data.password}:
            form.refuse("password", _("The two passwords are not the same."))
        if form.is_valid:
            db, state = request.state.db, request.app.state
            ended = await users.change_password(db, state.hasher, state.settings, user, form.data.password)
            await db.commit()
            return pages.redirect(request, "/login", flash=_changed(ended))
    except Overtaken:
        return pages.redirect(request, request.url.path)  # where the link now says that it was used
    except Refused as refused:
        return _bad_link(request, refused, "reset")
    return pages.render(
        request, "accounts/reset_password.html", part="form", form=form, username=user.username, token=token
    )


async def renew_reset_link(request: Request) -> Response:
    """The one button of an expired or used link: a fresh one, to the account's own address."""
    form = await Form.read(request, forms.RenewResetLink)
    try:
        await _owner(request)
    except Outdated as refused:
        subject = refused.claim.subject
        sent = await _send(request, form, "reset_password", f"user {subject}", user_id=int(subject))
        if sent and not pages.asks_for_part(request):
            return pages.redirect(request, "/login", flash=sent.with_truth(_("A fresh link is on its way.")))
        return _bad_link_page(request, refused, "reset", form, sent)
    except Refused as refused:
        return _bad_link(request, refused, "reset")
    return pages.redirect(request, request.app.url_path_for("reset_password", token=request.path_params["token"]))


async def _authenticated(request: Request, form: Form[forms.Login]) -> User | None:
    """The person who may log in, or None with the reason in the form."""
    db, state, network = request.state.db, request.app.state, limits.network(request)
    username, password = form.data.username, form.data.password
    try:
        await users.count_try(db, state.settings, username, network)
    except TooOften as refused:
        await db.rollback()
        form.refuse_for_now(_("Too many tries. You can try again in %(seconds)s seconds."), refused.seconds)
        return None
    await db.commit()  # before the password is looked at, so that guesses at once count too
    user = await users.authenticate(db, state.hasher, state.settings, username, password, network)
    if user is None:
        form.refuse("", _("That name or address and password don't match."))
    return user


async def _send(
    request: Request, form: Form[Any], kind: str, recipient: str, user_id: int | None = None
) -> Sent | None:
    """Posts a letter, or says in the form why not. The same work, whoever is or is not behind the recipient."""
    db, settings = request.state.db, request.app.state.settings
    if not settings.sends_mail:
        form.refuse("", _("This site sends no mail. Please ask the person who runs it."))
        return None
    try:
        await letters.ask_for(db, settings, kind, recipient, network=limits.network(request), user_id=user_id)
    except TooOften as refused:
        await db.rollback()
        form.refuse_for_now(_("You can ask again in %(seconds)s seconds."), refused.seconds)
        return None
    sent = Sent(is_delayed=await status.is_delayed(db))
    await db.commit()
    return sent


async def _proved_address(request: Request) -> str:
    """The address of a registration link. Raises Refused; a link is used once its address has an account."""
    claim = verify(request.app.state.settings, Purpose.REGISTER, request.path_params["token"])
    if await users.find(request.state.db, str(claim.subject)):
        raise Used(claim)
    return str(claim.subject)


async def _owner(request: Request) -> User:
    """Whose reset link this is. Raises Refused; a link is used once its account has left the link's epoch."""
    claim = verify(request.app.state.settings, Purpose.RESET_PASSWORD, request.path_params["token"])
    user = await users.get(request.state.db, int(claim.subject))
    if user is None:
        raise Mangled
    if user.epoch != claim.epoch or user.disabled_at is not None:
        raise Used(claim)
    return user


def _check_password(request: Request, form: Form[Any], password: str, *context: str) -> None:
    weak = weakness(password, request.app.state.settings.password_min_length, *context)
    if weak and "password" not in form.errors:
        form.refuse("password", weak)


async def _added(request: Request, form: Form[forms.FinishRegistration], address: str) -> bool:
    """Adds the account, or says in the form that the name is taken."""
    db, data = request.state.db, form.data
    try:
        await users.register(db, request.app.state.hasher, data.username, address, data.password, language.current())
    except Taken as taken:
        form.refuse("username" if taken.field == "username" else "", str(taken))
        return False
    await db.commit()
    return True


def _changed(ended: int) -> str:
    if not ended:
        return _("Your password is changed. Log in with the new password.")
    words = ngettext(
        "Your password is changed, and %(ended)s sign-in was ended. Log in with the new password.",
        "Your password is changed, and %(ended)s sign-ins were ended. Log in with the new password.",
        ended,
    )
    return words % {"ended": ended}


def _bad_link(request: Request, refused: Refused, kind: str) -> Response:
    if request.method == "POST" and request.headers.get("hx-request"):
        return pages.redirect(request, request.url.path)  # the page says what is wrong
    return _bad_link_page(request, refused, kind, Form(forms.RenewResetLink), None)


def _bad_link_page(
    request: Request, refused: Refused, kind: str, form: Form[forms.RenewResetLink], sent: Sent | None
) -> Response:
    code = 200 if sent else form.status if form.errors else 404 if isinstance(refused, Mangled) else 410
    return pages.render(
        request,
        "accounts/bad_link.html",
        part="panel",
        form=form,
        status=code,
        reason=refused.reason,
        minutes=refused.minutes,
        kind=kind,
        token=request.path_params["token"],
        sent=sent,
    )
