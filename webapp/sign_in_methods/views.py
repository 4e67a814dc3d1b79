"""The page of the sign-in methods; adding and removing an authenticator app; and new recovery codes."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from webapp import rate_limits
from webapp.accounts import sessions, tokens, users
from webapp.accounts.endings import Overtaken
from webapp.accounts.models import User
from webapp.accounts.sessions import SessionUser
from webapp.accounts.tokens import Purpose, TokenInvalid, TokenUsed
from webapp.authentication import auth, email_links, proof
from webapp.authentication.auth import login_required, while_logged_in
from webapp.authentication.forms import Proved
from webapp.authentication.proof import proved
from webapp.database import now, release
from webapp.factors import codes, methods, removal, totp
from webapp.factors.methods import AppTaken
from webapp.factors.totp import Setup
from webapp.i18n import gettext as _
from webapp.sign_in_methods.forms import AddApp
from webapp.web import pages
from webapp.web.forms import EmptyForm, Form
from webapp.web.limits import limited


@login_required
async def sign_in_methods(request: Request) -> Response:
    """Password, passkeys, authenticator app and recovery codes, each with when it was last used.

    The template has a place for each: `ways` is `methods.Methods`.
    """
    ways = await methods.of(request.state.db, request.state.user.id)
    return pages.render(request, "sign_in_methods/sign_in_methods.html", ways=ways)


@login_required
async def email_app_link(request: Request) -> Response:
    """Setting up an app begins with an email: a thief of the password could otherwise keep the owner out with one, or
    be let in where an admin must have two factors.
    """
    form, settings, user = await Form.of(request, EmptyForm), request.app.state.settings, request.state.user
    if user.has_second_step:
        return pages.redirect(request, request.app.url_path_for("remove_authenticator_app"))
    if not settings.sends_mail:
        link = tokens.app_link(settings, user.id, user.epoch)
        return pages.redirect(request, link.removeprefix(settings.base_url))
    more: dict[str, Any] = {"user_id": user.id, "by_owner": True, "epoch": user.epoch}
    sent = await email_links.send(request, form, "app_link", f"app {user.id}", **more) if form.is_valid else None
    if sent:
        return email_links.check_email(request, sent)
    return pages.render(request, "sign_in_methods/email_app_link.html", part="form", form=form)


@login_required
async def authenticator_app(request: Request) -> Response:
    """Behind the mailed link: shows a secret and a sheet of recovery codes. Typing one code from each makes them the
    account's.
    """
    form, db, user = await Form.of(request, AddApp), request.state.db, request.state.user
    if (await methods.of(db, user.id)).app:
        return pages.redirect(request, request.app.url_path_for("remove_authenticator_app"))
    settings = request.app.state.settings
    shown = totp.unseal_setup(settings, form.values["setup"], user.id, user.epoch)
    try:
        if shown is None:  # what was shown behind the link may be sent for as long as it lasts
            _check_link(request)
    except TokenInvalid as refused:
        return email_links.bad(request, refused, "authenticator_app")
    if form.is_valid and shown is None:
        form.refuse("", _("That took too long, so here is a new picture. Scan it, and type from the new sheet."))
    response = await _added(request, form, shown) if form.is_valid and shown and _is_copied(form, shown) else None
    if response:
        return response
    shown = shown or totp.begin_setup()
    link = totp.link(settings.site_name, user.username, shown.secret)
    return pages.render(
        request,
        "sign_in_methods/authenticator_app.html",
        part="form",
        form=form,
        sealed=totp.seal_setup(settings, shown, user.id, user.epoch),
        picture=totp.picture(link),
        secret=totp.spelled(shown.secret),
        codes=shown.codes,
        token=request.path_params["token"],
    )


@login_required
async def remove_authenticator_app(request: Request) -> Response:
    """Always asks for a code or a passkey: a stolen session alone removes no second step."""
    form, asking = await Form.of(request, Proved), request.state.user
    app = (await methods.of(request.state.db, asking.id)).app
    if app is None:
        return pages.redirect(request, request.app.url_path_for("sign_in_methods"))
    asks = {"takes_password": not asking.is_proved, "takes_code": True}
    user = await proof.prove(request, form, **asks) if form.is_valid else None
    response = await _removed(request, form, user) if user else None
    return response or pages.render(
        request,
        "sign_in_methods/remove_authenticator_app.html",
        part="form",
        form=form,
        days=request.app.state.settings.factor_removal_days,
    )


@login_required
async def recovery_codes(request: Request) -> Response:
    """How many are left, and the form that makes new ones. They are shown once, in its answer.

    New codes can replace the second step, so making them takes it: otherwise the password and a session would get round
    it.
    """
    form, db, asking = await Form.of(request, Proved), request.state.db, request.state.user
    user = await proof.prove(request, form, takes_code=asking.has_second_step) if form.is_valid else None
    made = await _codes_made(request, form, user) if user else None
    return pages.render(
        request,
        "sign_in_methods/recovery_codes.html",
        part="form",
        form=form,
        made=made or [],
        left=await codes.left(db, asking.id),
    )


@login_required
async def stop_factor_removal(request: Request) -> Response:
    """Stops a removal that somebody asked for by an emailed link."""
    await Form.read(request, EmptyForm)
    user = await users.owner(request.state.db, request.state.user.id)
    if await removal.stop(request.state.db, request.app.state.settings, user, auth.client_info(request)):
        await request.state.db.commit()
    page = request.app.url_path_for("sign_in_methods")
    return pages.redirect(request, page, flash=_("Stopped. Your ways to log in stay as they are."))


def _check_link(request: Request) -> None:
    """Raises TokenInvalid if the link isn't this person's, or too old."""
    user: SessionUser = request.state.user
    claim = tokens.verify(request.app.state.settings, Purpose.ADD_APP, request.path_params["token"])
    if claim.subject != user.id:
        raise email_links.TokenForAnother(claim)
    if claim.epoch != user.epoch:
        raise TokenUsed(claim)


def _is_copied(form: Form[AddApp], shown: Setup) -> bool:
    """Whether both codes are right: the app works, and the sheet is on paper. If not, the form says which is wrong."""
    moment = now().timestamp()
    if totp.step_of(shown.secret, form.data.code, moment) is None:
        step = totp.step_nearby(shown.secret, form.data.code, moment)
        wrong = _("That's not the code that the app shows now.")
        form.refuse("code", totp.clock_is_off(step, moment) if step else wrong)
    if form.data.recovery_code not in [codes.canonical(code) for code in shown.codes]:
        form.refuse("recovery_code", _("That code isn't on the sheet above."))
    return form.is_valid


@proved
@limited(rate_limits.FACTORS, at_once=True)
async def _added(request: Request, form: Form[AddApp], shown: Setup) -> Response | None:
    """Keeps the app and the codes, both or neither."""
    db, state, client = request.state.db, request.app.state, auth.client_info(request)
    user = await users.get(db, request.state.user.id)
    step = totp.step_of(shown.secret, form.data.code, now().timestamp())
    try:
        if user is None or user.epoch != request.state.user.epoch or step is None:
            raise Overtaken
        await codes.make(db, state.hasher, state.settings, user, request.state.user.session_id, client, shown.codes)
        await methods.add_app(db, state.settings, user, shown.secret, step, client)
        await sessions.note_proof(db, request.state.user.session_id, with_second=True)
    except (Overtaken, AppTaken):
        await release(db)
        form.refuse("", _("Your account has just changed. Try again."))
        return None
    await db.commit()
    words = _("Your authenticator app is set up. From now on, logging in asks for its code.")
    return pages.redirect(request, request.app.url_path_for("sign_in_methods"), flash=words)


@while_logged_in
async def _removed(request: Request, form: Form[Proved], user: User) -> Response:
    db, state = request.state.db, request.app.state
    await methods.remove(db, state.settings, user, auth.client_info(request))
    await removal.clear(db, user.id)
    await db.commit()
    words = _("The authenticator app is removed. Logging in asks for your password alone.")
    return pages.redirect(request, request.app.url_path_for("sign_in_methods"), flash=words)


@limited(rate_limits.RECOVERY_CODES, at_once=True)
async def _codes_made(request: Request, form: Form[Proved], user: User) -> list[str]:
    """New codes; or none, with the reason in the form."""
    db, state, asking = request.state.db, request.app.state, request.state.user
    try:
        made = await codes.make(db, state.hasher, state.settings, user, asking.session_id, auth.client_info(request))
    except Overtaken:
        form.refuse("", _("Your account has just changed. Try again."))
        return []
    await db.commit()
    return made
