"""Proof of who somebody is: a password or a passkey, asked again before what matters; and a log-in's second step."""

from dataclasses import replace
from functools import wraps
from typing import Any

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response

from webapp import rate_limits
from webapp.accounts import endings, sessions, users
from webapp.accounts.models import Passkey, User
from webapp.accounts.sessions import SessionUser
from webapp.audit import events
from webapp.audit.events import Refusal
from webapp.authentication import credentials, throttle
from webapp.authentication.auth import client_info, while_logged_in
from webapp.authentication.credentials import Closed
from webapp.authentication.forms import Proved
from webapp.database import now, release
from webapp.factors import second_step
from webapp.factors.second_step import Wrong
from webapp.i18n import gettext as _
from webapp.names import identities
from webapp.passkeys import ceremony, passkeys
from webapp.passkeys.ceremony import PasskeyInvalid
from webapp.rate_limits import TooOften
from webapp.web import pages
from webapp.web.database_session import SAFE_METHODS
from webapp.web.forms import FORM_ID, Form, typed
from webapp.web.limits import Action, More, Result, View, too_often


def proved(action: Action[More, Result]) -> Action[More, Result | None]:
    """Runs only if the person has proved who they are within 15 minutes. Otherwise it returns None, and the form asks.

    It stands on the line above what changes an account, and above its limit. The form's shape is a `forms.Proved`, and
    its template has `proof(form, user)`: they ask in the page itself, with all that was typed still there. A password
    that is typed there is checked, however young the last proof is. An account with a second step has proved nothing
    by its password alone.
    """

    @wraps(action)
    async def asked(request: Request, form: Form[Any], /, *arguments: More.args, **more: More.kwargs) -> Result | None:
        return await action(request, form, *arguments, **more) if await _is_proved(request, form) else None

    return asked


def proved_button(view: View) -> View:
    """The same, and `while_logged_in`, for a button without a page: a page asks, and then sends the form again. It
    stands below the limit: whatever counts and takes the account counts first, or two could deadlock.
    """
    held = while_logged_in(lambda request, _form: view(request))

    @wraps(view)
    async def asked(request: Request) -> Response:
        if request.method in SAFE_METHODS:
            return await view(request)
        form = await Form.read(request, Proved)
        is_proved = form.is_valid and await _is_proved(request, form)
        if is_proved and (response := await held(request, form)):
            return response
        proofs, everything = {"current_password", "passkey_proof", "code"}, typed(request)
        sent = {name: value for name, value in everything.items() if name not in {FORM_ID, *proofs}}
        shown = form if is_proved or proofs & everything.keys() else Form(Proved)  # not asked yet, so nothing is wrong
        page, action = "authentication/prove.html", request.url.path
        return pages.render(request, page, part="form", form=shown, status=form.status, sent=sent, action=action)

    return asked


async def _is_proved(request: Request, form: Form[Any]) -> bool:
    """Whether the last proof, or the one in the form, is enough; if not, the form says what is wrong."""
    has_proved = getattr(request.state, "has_proved", False)
    is_enough = has_proved or (request.state.user.is_proved and not form.values["current_password"])
    return is_enough or await prove(request, form) is not None


async def prove(
    request: Request, form: Form[Any], *, takes_password: bool = True, takes_code: bool = False
) -> User | None:
    """The current user, if the form has their password or an answer of their passkey; else None, and it says why.

    An account with a second step also takes a code, unless this session has passed that step within 15 minutes; what
    takes the step away always `takes_code`. A passkey is both password and code.

    Limited like log-in attempts, and counted before anything is checked. Frees the connection meanwhile.
    """
    asking: SessionUser = request.state.user
    takes_code = takes_code or asking.owes_second_step
    is_typed = form.values["current_password"] or (takes_code and form.values["code"])
    if form.values["passkey_proof"] and not is_typed:
        user, with_second = await _by_passkey(request, form), True
    else:
        user, with_second = await _by_typing(request, form, takes_password, takes_code), takes_code
    if user is None:
        return None
    is_here = await sessions.note_proof(request.state.db, asking.session_id, with_second=with_second)
    if not is_here or user.epoch != asking.epoch:  # this session has ended while its proof was looked at
        await release(request.state.db)
        form.refuse("", _("Your account has just changed. Try again."))
        return None
    await request.state.db.commit()
    passed_at = now() if with_second else asking.second_proved_at
    request.state.user = replace(asking, proved_at=now(), second_proved_at=passed_at)
    request.state.has_proved = True
    return user


async def _by_passkey(request: Request, form: Form[Any]) -> User | None:
    """The current user, if their passkey has answered what this session was asked."""
    user: SessionUser = request.state.user
    found = await try_passkey(request, form, user.proves, form.values["passkey_proof"], of=user.id)
    if found:
        return found[0]
    if not form.errors:
        form.refuse("current_password", _("That passkey doesn't open this account."))
    return None


async def _by_typing(request: Request, form: Form[Any], takes_password: bool, takes_code: bool) -> User | None:
    """The current user, if what they typed is right. A right code is used up."""
    if takes_code and not _looks_like_code(form):
        return None
    if takes_password or form.values["current_password"]:
        user = await _by_password(request, form)
    else:
        user = await users.get(request.state.db, request.state.user.id)
    if user is None or (takes_code and not await try_code(request, form, user, form.values["code"])):
        return None
    return user


def _looks_like_code(form: Form[Any]) -> bool:
    """Checked before the password, so that a mistyped code needn't count as an attempt."""
    try:
        second_step.check_shape(form.values["code"], takes_codes=True)
    except Wrong as wrong:
        form.refuse("code", str(wrong))
    return "code" not in form.errors


async def _by_password(request: Request, form: Form[Any]) -> User | None:
    """The current user, if this is their password."""
    asking, current_password, field = request.state.user, form.values["current_password"], "current_password"
    if not current_password:
        form.refuse(field, _("Please type your current password, too."))
        return None
    try:
        user = await try_password(request, form, asking.username, current_password)
    except Closed as closed:  # it happened a moment ago, so this session has ended, too
        form.refuse(field, str(closed))
        return None
    if user is not None and user.id == asking.id:  # and not somebody who has just taken the name
        return user
    now_is = None if form.errors else await users.get(request.state.db, asking.id)
    if now_is and now_is.epoch == asking.epoch:
        form.refuse(field, _("That's not your current password."))
    elif not form.errors:  # it isn't known whether it was
        form.refuse("", _("Your account has just changed. Try again."))
    return None


async def try_password(request: Request, form: Form[Any], typed: str, password: str) -> User | None:
    """The person with this username or email and password, or None. The form only says if it was too often.

    The right password starts the counts anew, in the transaction that the caller commits. Raises Closed.
    """
    db, state, client = request.state.db, request.app.state, client_info(request)
    identity, browser = identities.identity_or_nonsense(typed), await throttle.known_browser(db, typed, client)
    by = (browser,) if browser else (client.client_ip, identity)
    async with state.turns.of(db, "log in", identity, by[0]):
        with state.hasher.place(*by, by_stranger=not browser) as place:
            words, uses = _("Too many attempts. You can try again in %(wait)s."), throttle.of(typed, client, browser)
            async with place.with_database(db):
                if refused := await too_often(request, form, *uses, words=words):
                    events.refused(Refusal.LOG_IN_THROTTLED, client, typed=typed, seconds=refused.seconds)
                    return None
                await db.commit()  # before the password is looked at, so that guesses at once count too
            user = await credentials.authenticate(db, place, typed, password, client)
        if user is not None:
            # The account's row first, as in whatever ends everything: otherwise the two could deadlock.
            await users.note_password_used(db, user.id)
            await throttle.forget(db, state.settings, user, client, browser)
    return user


async def try_passkey(
    request: Request, form: Form[Any], about: str, credential: str, *, of: int | None = None
) -> tuple[User, Passkey] | None:
    """The person whose passkey answered a challenge `about` something, and the passkey; with `of`, only of that
    account.

    None if the answer isn't right; the form only says if it was too often. The attempt is counted before the answer is
    looked at, and the connection is freed meanwhile. The caller commits the use together with what it opens.
    """
    db, settings, client = request.state.db, request.app.state.settings, client_info(request)
    words = _("Too many attempts. You can try again in %(wait)s.")
    by = [client.client_ip, *([] if of is None else [about])]  # not the account: a thief with a session of it has tries
    if await too_often(request, form, *((rate_limits.PASSKEY_LOG_IN, each) for each in by), words=words):
        return None
    await db.commit()
    try:
        answer = ceremony.read(credential)
        found = await passkeys.find(db, answer.credential_id)
        if found is None or (found[1].id != of if of else found[0].handle != answer.handle):
            raise PasskeyInvalid
        await release(db)
        used = await run_sync(ceremony.used, settings, about, answer, found[0].public_key)
        await endings.lock(db, found[1].id)  # the account's row first, as in whatever ends everything
        again = await passkeys.find(db, answer.credential_id)  # it may have been removed meanwhile
        if again is None or again[1].epoch != found[1].epoch:
            raise PasskeyInvalid
        await passkeys.note_use(db, settings, again[0], used, client)
    except (PasskeyInvalid, TooOften):
        await release(db)
        events.refused(Refusal.PASSKEY, client, user_id=of)
        return None
    return again[1], again[0]


async def try_code(
    request: Request, form: Form[Any], user: User, typed: str, *, takes_codes: bool = True, by_link: bool = False
) -> str:
    """What answered the second step: "app" or "code"; or "", with the reason in the form.

    A right code is spent in the request's transaction, which the caller commits together with what it opens. Attempts
    are limited for the account, the client IP and the browser, and counted before the code is checked; behind a reset
    link (`by_link`) they have counts of their own.
    """
    db, state, client = request.state.db, request.app.state, client_info(request)
    words = _("Too many attempts. You can try again in %(wait)s.")
    try:
        second_step.check_shape(typed, takes_codes=takes_codes)
        uses = await second_step.attempts(db, user, client, by_link=by_link)
        if refused := await too_often(request, form, *uses, words=words):
            events.refused(Refusal.SECOND_STEP_THROTTLED, client, user_id=user.id, seconds=refused.seconds)
            return ""
        await db.commit()
        answered = await second_step.answer(db, state.hasher, state.settings, user, typed, client)
    except Wrong as wrong:
        if wrong.is_guess:
            await db.commit()  # with what the words have spent
            events.refused(Refusal.SECOND_STEP, client, user_id=user.id)
        form.refuse("code", str(wrong))
        return ""
    await rate_limits.forget(db, state.settings, *second_step.forgotten(user, client, uses))
    return answered
