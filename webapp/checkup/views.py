"""The page "Can you get back in?", and the tests that prove it."""

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from webapp import rate_limits
from webapp.accounts import users
from webapp.accounts.models import User
from webapp.accounts.tokens import Claim, Purpose, TokenInvalid
from webapp.authentication import auth, email_links, proof
from webapp.authentication.auth import login_required
from webapp.checkup import openings, ways
from webapp.checkup.forms import CheckApp, CheckCode, CheckPasskey
from webapp.database import release
from webapp.i18n import gettext as _
from webapp.mail import kinds
from webapp.passkeys import ceremony, passkeys
from webapp.web import pages
from webapp.web.forms import EmptyForm, Form
from webapp.web.limits import limited, limited_button


@login_required
async def checkup(request: Request) -> Response:
    """The ways back, and a form that looks for a recovery code without using it up."""
    form = await Form.of(request, CheckCode)
    if form.is_valid and await _code_is_there(request, form):
        return _back(request, _("That code is on your list, and hasn't been used."))
    return await _page(request, form)


@limited(rate_limits.CHECKUP, at_once=True)
async def _code_is_there(request: Request, form: Form[CheckCode]) -> bool:
    db, user_id = request.state.db, request.state.user.id
    if not await ways.has_code(db, user_id, form.data.recovery_code):
        form.refuse("recovery_code", _("None of your unused codes begins like that. Older lists no longer work."))
        return False
    await ways.note(db, user_id, "codes_checked_at", "checkup_at")
    await db.commit()
    return True


@login_required
@limited_button(rate_limits.CHECKUP)
async def send_checkup_email(request: Request) -> Response:
    """Emails a link to the account's own address, to prove that links arrive."""
    db, settings, user = request.state.db, request.app.state.settings, request.state.user
    if not settings.sends_mail:
        return _back(request, _("This site sends no email. Ask the admin for help."), "error")
    await openings.begin(db, user.id)
    await kinds.post(db, settings, "checkup", user.email, user_id=user.id)
    await db.commit()
    return _back(request, _("A test link is on its way to %(address)s.") % {"address": user.email})


async def checkup_email(request: Request) -> Response:
    """Behind the test link. It works whoever is logged in. Opening it proves nothing, since programs do that, too."""
    form, db, client = await Form.of(request, EmptyForm), request.state.db, auth.client_info(request)
    try:
        user, claim = await _owner(request)
    except TokenInvalid as refused:
        return email_links.bad(request, refused, "checkup")
    if form.is_valid:
        words = [_("The test link arrived, whole and unchanged.")]
        words += [await openings.settle(db, user, client)] if openings.is_latest(user, claim) else []
        await ways.note(db, user.id, "email_checked_at", "checkup_at")
        await db.commit()
        page = request.app.url_path_for("checkup" if request.state.user else "login")
        return pages.redirect(request, page, flash=" ".join(words))
    token, name = request.path_params["token"], user.username
    if openings.is_latest(user, claim):
        await _note_look(request, user)
    return pages.render(request, "checkup/checkup_email.html", part="panel", form=form, username=name, token=token)


async def _note_look(request: Request, user: User) -> None:
    """Records who visited first, unless it was the person. In a transaction of its own, because a GET only reads."""
    if request.method == "POST" or user.checkup_opened_at or (request.state.user and request.state.user.id == user.id):
        return
    await release(request.state.db)
    async with request.app.state.database.session(is_writing=True) as db:
        await openings.note(db, user, auth.client_info(request))
        await db.commit()


async def _owner(request: Request) -> tuple[User, Claim]:
    db, settings = request.state.db, request.app.state.settings
    return await users.of_unused_link(db, settings, Purpose.CHECKUP, request.path_params["token"])


@login_required
async def checkup_challenge(request: Request) -> Response:
    """The challenge for a person's passkeys, to see whether they work."""
    settings, user = request.app.state.settings, request.state.user
    if not settings.can_have_passkeys:
        raise HTTPException(404)
    own = [passkey.credential_id for passkey in await passkeys.of(request.state.db, user.id)]
    return JSONResponse(ceremony.to_use(settings, _about(user.id), own))


@login_required
async def checkup_passkey(request: Request) -> Response:
    """Uses a passkey, without logging in."""
    form = await Form.read(request, CheckPasskey)
    if form.is_valid and await _passkey_works(request, form):
        return _back(request, _("Your passkey works."))
    shown = Form(CheckCode)
    shown.errors, shown.status, shown.headers = {"": form.errors.get("", "")}, max(form.status, 422), form.headers
    return await _page(request, shown)


@limited(rate_limits.CHECKUP, at_once=True)
async def _passkey_works(request: Request, form: Form[CheckPasskey]) -> bool:
    user_id = request.state.user.id
    if not await proof.try_passkey(request, form, _about(user_id), form.data.credential, of=user_id):
        form.errors.setdefault("", _("That passkey doesn't open this account."))
        return False
    await ways.note(request.state.db, user_id, "checkup_at")
    await request.state.db.commit()
    return True


@login_required
@limited_button(rate_limits.SMALL_CHANGES)
async def decline_checkup(request: Request) -> Response:
    """Stops suggesting the check-up for a year."""
    await ways.note(request.state.db, request.state.user.id, "checkup_at")
    await request.state.db.commit()
    return pages.redirect(request, "/")


@login_required
async def checkup_app(request: Request) -> Response:
    """Takes a code of the authenticator app, as the second step does."""
    form = await Form.read(request, CheckApp)
    if form.is_valid and await _app_works(request, form):
        return _back(request, _("Your authenticator app works."))
    return await _page(request, Form(CheckCode), form)


@limited(rate_limits.CHECKUP, at_once=True)
async def _app_works(request: Request, form: Form[CheckApp]) -> bool:
    user = await users.owner(request.state.db, request.state.user.id)
    if not await proof.try_code(request, form, user, form.data.code, takes_codes=False):
        return False
    await ways.note(request.state.db, user.id, "checkup_at")
    await request.state.db.commit()
    return True


async def _page(request: Request, form: Form[Any], of_app: Form[CheckApp] | None = None) -> Response:
    found = await ways.of(request.state.db, request.state.user.id, sends_mail=request.app.state.settings.sends_mail)
    status = of_app.status if of_app else form.status
    of_app = of_app or Form(CheckApp)
    headers = of_app.headers
    return pages.render(
        request, "checkup/checkup.html", form=form, of_app=of_app, ways=found, status=status, headers=headers
    )


def _back(request: Request, words: str, kind: pages.FlashKind = "success") -> Response:
    return pages.redirect(request, request.app.url_path_for("checkup"), flash=words, kind=kind)


def _about(user_id: int) -> str:
    return f"check up {user_id}"
