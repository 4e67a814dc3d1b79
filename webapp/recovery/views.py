"""The ways back in: a link by email, or a recovery code."""

import json
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from webapp.accounts import deletions, users
from webapp.accounts.endings import NOTHING, Ended, Keep, Overtaken
from webapp.accounts.models import User
from webapp.accounts.tokens import FROM_CODE, Claim, TokenExpired, TokenInvalid, TokenUsed, reset_link
from webapp.audit import events
from webapp.audit.events import Refusal
from webapp.authentication import auth, email_links, proof, throttle
from webapp.authentication.forms import check_password
from webapp.factors import codes, methods
from webapp.i18n import gettext as _
from webapp.names.identities import visible
from webapp.passkeys import ceremony
from webapp.passwords.hasher import normal
from webapp.recovery import reset
from webapp.recovery.forms import Recover, ResetPassword, ResetPasswordRequest
from webapp.web import page_language, pages
from webapp.web.forms import EmptyForm, Form
from webapp.web.limits import too_often


async def reset_password_request(request: Request) -> Response:
    """Asks for a reset email. Looks nobody up: only the mailer finds out whether there is anybody to write to."""
    typed = request.query_params.get("email", "")[:320] or email_links.typed_before(request)
    form = await Form.of(request, ResetPasswordRequest, email=typed)
    typed = visible(form.values["email"])
    kind = "reset_password"
    sent = await email_links.send(request, form, kind, form.data.email, typed=typed) if form.is_valid else None
    if sent:
        return email_links.check_email(request, sent)
    return pages.render(request, "recovery/reset_password_request.html", part="panel", form=form)


async def reset_password(request: Request) -> Response:
    """The form behind a reset link. It works for the link's account, whoever is logged in, and without cookies."""
    form, token = await Form.of(request, ResetPassword), request.path_params["token"]
    try:
        user, claim = await reset.owner(request.state.db, request.app.state.settings, token, form.values["opened"])
        if form.is_valid:
            check_password(form, request.app.state.settings, form.data.password, user.username, user.email)
        if form.is_valid and normal(form.data.password2) not in {"", normal(form.data.password)}:
            form.refuse("password", _("The two passwords aren't the same."))
        response = await _reset(request, form, user.id) if form.is_valid else None
        if response:
            return response
    except Overtaken:
        return pages.redirect(request, request.url.path)  # where the link now says that it was used
    except TokenInvalid as refused:
        return email_links.bad(request, refused, "reset")
    return pages.render(
        request,
        "recovery/reset_password.html",
        part="form",
        form=form,
        username=user.username,
        options=json.dumps(ceremony.to_use(request.app.state.settings, _about(user))),
        left=reset.time_left(claim),
        opened=email_links.opened(request, form),
        token=token,
        ways=await methods.of(request.state.db, user.id),
        takes_codes=claim.about != FROM_CODE,
        days=request.app.state.settings.factor_removal_days,
    )


async def _reset(request: Request, form: Form[ResetPassword], user_id: int) -> Response | None:
    """Sets the password, or says in the form why not. Raises TokenInvalid and Overtaken."""
    db, state, client, password = request.state.db, request.app.state, auth.client_info(request), form.data.password
    async with state.turns.of(db, "reset", str(user_id)):
        # Of many at once, the first has used the link, and the others cost no hash.
        token, opened = request.path_params["token"], form.values["opened"]
        user, claim = await reset.owner(db, state.settings, token, opened)
        keep = await _second_factor(request, form, user, claim)
        if keep is None:
            return None
        browser = await throttle.known_browser(db, user.username, client)
        await db.commit()  # including the code it used up: of many with one code, only one goes on to hash
        ended = await reset.finish(db, state.hasher, state.settings, user, password, client, keep)
        page = f"/login?{urlencode({'username': user.username})}"
        with page_language.after_logging_out(request, user.id):
            response = pages.redirect(request, page, flash=_changed(request, user, ended))
        await auth.renew_browser(request, response)
        await db.commit()
        # Only now: somebody who has just been counted may wait for the account's row, and the two would deadlock.
        await throttle.forget(db, state.settings, user, client, browser)
        await reset.begin_counts_anew(db, state.settings, user)
        await db.commit()
    return response


async def _second_factor(request: Request, form: Form[ResetPassword], user: User, claim: Claim) -> Keep | None:
    """A reset removes no factor. The link is one, so this asks for the second.

    Returns what survives, or None with the reason in the form. A link that a recovery code led to takes no other code:
    otherwise one sheet of paper would be both factors. If nothing asks for a passkey, one that is shown survives.
    """
    has_second = await methods.has_second_step(request.state.db, user.id)
    if form.data.passkey_proof and not form.data.code:
        found = await proof.try_passkey(request, form, _about(user), form.data.passkey_proof, of=user.id)
        if found is None:
            form.errors.setdefault("code" if has_second else "", _("That passkey doesn't open this account."))
            form.status = max(form.status, 422)
        return Keep(codes=has_second, passkey=found[1].id) if found else None
    if not has_second:
        return NOTHING
    takes_codes = claim.about != FROM_CODE
    is_right = await proof.try_code(request, form, user, form.data.code, takes_codes=takes_codes, by_link=True)
    return Keep(codes=True) if is_right else None


def _about(user: User) -> str:
    """What a passkey is asked about on the form behind a reset link."""
    return f"reset {user.id} {user.epoch}"


async def email_removal_link(request: Request) -> Response:
    """From the form behind a reset link: an email with the link to the waiting room, to the account's own address."""
    form = await Form.read(request, EmptyForm)
    page = request.app.url_path_for("reset_password", token=request.path_params["token"])
    try:
        user, _claim = await reset.owner(request.state.db, request.app.state.settings, request.path_params["token"])
    except TokenInvalid:
        return pages.redirect(request, page)  # which says what is wrong
    sent = await email_links.send(request, form, "factor_removal_link", f"lost {user.id}", user.id, epoch=user.epoch)
    if sent:
        return email_links.check_email(request, sent)
    return pages.redirect(request, page, flash=form.errors[""], kind="error")


async def renew_reset_link(request: Request) -> Response:
    """The one button of an expired or used link: sends a fresh one to the account's own address, or says why not."""
    form = await Form.read(request, EmptyForm)
    page = request.app.url_path_for("reset_password", token=request.path_params["token"])
    try:
        await reset.owner(request.state.db, request.app.state.settings, request.path_params["token"])
    except (TokenExpired, TokenUsed) as refused:
        user_id, sent = int(refused.claim.subject), None
        if words := await _holds_back(request, user_id):
            form.refuse("", words)
        else:
            sent = await email_links.send(request, form, "reset_password", f"user {user_id}", user_id=user_id)
        return email_links.check_email(request, sent) if sent else email_links.bad_page(request, refused, "reset", form)
    except TokenInvalid as refused:
        return email_links.bad(request, refused, "reset", page)
    return pages.redirect(request, page)


async def _holds_back(request: Request, user_id: int) -> str:
    """Why a fresh link wouldn't come; empty if it will. The person who asks has a link to the account, and may know."""
    db = request.state.db
    user = await users.owner(db, user_id)
    if user.reset_pause:
        return _("Somebody said “This wasn't me”. For a day, only the button on that page sends a link.")
    if user.disabled_at is not None and not await deletions.can_be_undone(db, user_id):
        return _("An admin has closed the account, so no link opens it.")
    return ""


async def recover(request: Request) -> Response:
    """A recovery code leads to the form behind a fresh reset link."""
    form = await Form.of(request, Recover)
    user = await _recovered(request, form) if form.is_valid else None
    if user:
        await request.state.db.commit()
        settings = request.app.state.settings
        link = reset_link(settings, user, FROM_CODE).removeprefix(settings.base_url)
        return pages.redirect(request, link)
    return pages.render(request, "recovery/recover.html", part="form", form=form)


async def _recovered(request: Request, form: Form[Recover]) -> User | None:
    """The code's owner; or None, with the reason in the form."""
    db, state, client = request.state.db, request.app.state, auth.client_info(request)
    words = _("Too many attempts. You can try again in %(wait)s.")
    typed, browser = form.data.username, await throttle.known_browser(db, form.data.username, client)
    by = (browser,) if browser else (client.client_ip, typed)
    with state.hasher.place(*by, by_stranger=not browser) as place:
        async with place.with_database(db):
            if refused := await too_often(request, form, *codes.attempts(typed, client, browser), words=words):
                events.refused(Refusal.CODE_THROTTLED, client, typed=typed, seconds=refused.seconds)
                return None
            await db.commit()  # before the code is looked at, so that guesses at once count too
        user = await codes.use(db, place, state.settings, typed, form.data.code, client)
    if user is None:
        events.refused(Refusal.CODE, client, typed=typed)
        form.refuse("", _("That username or email and code don't match, or the code has been used."))
    return user


def _changed(request: Request, user: User, ended: Ended) -> str:
    """Whose password was changed, what ended with it, and what to do now: somebody else may be logged in here."""
    words, here = _("%(username)s's password is changed.") % {"username": user.username}, request.state.user
    if ended.sessions:
        words = f"{words} {email_links.logged_out_on(ended.sessions)}"
    words = email_links.with_codes(words, ended)
    if here is not None and here.id != user.id:
        return words + " " + _("You're still logged in as %(username)s.") % {"username": here.username}
    return words + " " + _("Log in with the new password.")
