"""Who is asking, who must log in first, and logging in and out."""

from collections.abc import Sequence
from dataclasses import replace
from functools import wraps
from typing import Any
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from webapp import i18n, rate_limits
from webapp.accounts import endings, known_browsers, sessions, users
from webapp.accounts.endings import Overtaken
from webapp.accounts.models import User
from webapp.accounts.sessions import ABSOLUTE, SessionUser
from webapp.audit import events
from webapp.audit.events import ClientInfo, Event, Refusal
from webapp.database import Database, release
from webapp.factors import removal, second_step
from webapp.factors.models import PendingLogIn
from webapp.i18n import gettext as _
from webapp.notifications import switches
from webapp.web import client_ip, cookies, drafts, pages
from webapp.web.database_session import SAFE_METHODS
from webapp.web.forms import Form, typed
from webapp.web.limits import Action, More, Result, View, too_often

COOKIE = "session"
BROWSER_COOKIE = "browser"
PENDING_COOKIE = "second_step"
KNOWN_SECONDS = int(known_browsers.KEPT.total_seconds())


class CurrentUser:
    """Finds out who is making the request, and sets `request.state.user`: None for a stranger."""

    def __init__(self, app: ASGIApp, database: Database) -> None:
        self.app = app
        self.database = database

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/static/"):
            return await self.app(scope, receive, send)

        request = Request(scope)
        request.state.user = user = await self._find(cookies.read(request, COOKIE))
        # The person's own language comes before the browser's.
        if user is None or user.language not in request.app.state.settings.languages:
            return await self.app(scope, receive, send)
        with i18n.use(user.language, is_typeset=True):
            await self.app(scope, receive, send)

    async def _find(self, cookie: str) -> SessionUser | None:
        """The person behind the cookie. In a transaction of its own, since a GET notes the visit, too."""
        if not cookie:
            return None
        async with self.database.direct() as reading:
            user = await sessions.find(reading, cookie)
        if user and user.is_seen_again:
            async with self.database.direct(is_writing=True, is_single=True) as db:
                await sessions.touch(db, user)
                await db.commit()
        return user


async def is_open(request: Request, set_cookies: Sequence[str]) -> bool:
    """Whether the session in these Set-Cookie headers is still open; true if they hold none."""
    secret = cookies.written(request, set_cookies, COOKIE)
    if not secret:
        return True
    async with request.app.state.database.direct() as reading:
        return await sessions.find(reading, secret) is not None


def login_required(view: View) -> View:
    """Sends strangers to the log-in page, and back once they have logged in."""

    @wraps(view)
    async def guarded(request: Request) -> Response:
        return await (_to_log_in if request.state.user is None else view)(request)

    return guarded


def while_logged_in(action: Action[More, Result]) -> Action[More, Result | None]:
    """Runs only if the session hasn't ended meanwhile; nothing ends it until the transaction is over. Otherwise it
    returns None, and the form says so. It stands right above what changes an account.
    """

    @wraps(action)
    async def held(request: Request, form: Form[Any], /, *arguments: More.args, **more: More.kwargs) -> Result | None:
        user: SessionUser = request.state.user
        try:
            await endings.hold(request.state.db, user.id, user.epoch, user.session_id)
        except Overtaken:
            await release(request.state.db)
            form.refuse("", _("Your account has just changed. Try again."))
            return None
        return await action(request, form, *arguments, **more)

    return held


async def _to_log_in(request: Request) -> Response:
    """Sends strangers to the log-in page. Afterwards they are back in their form, with all they had typed except
    passwords.
    """
    is_page = request.method in SAFE_METHODS or "GET" in (request.scope["route"].methods or ())
    came_for = request.url.path if is_page else "/"
    suffix = f"?next={quote(came_for)}" if came_for != "/" else ""
    response = pages.redirect(request, request.app.url_path_for("login") + suffix)
    is_kept = request.method == "POST" and drafts.last_account(request) != ""
    if is_kept and drafts.keep(request, response, came_for, typed(request)):
        words = _("You were logged out in the meantime. Log in again: what you typed is still here.")
        pages.say(request, response, words, "notice")
    return response


def admin_required(view: View) -> View:
    """Lets in only people whose address is in ADMINS; sends strangers to the log-in page first.

    With ADMIN_TWO_FACTORS, admins without a second step are sent to the page where they set one up, and so is a session
    that has never passed it: somebody may have opened it with the password alone, before there was an app.
    """

    @wraps(view)
    async def guarded(request: Request) -> Response:
        if request.state.user.email not in request.app.state.settings.admin_addresses:
            route = getattr(request.scope.get("route"), "path", None)
            events.refused(Refusal.NOT_ALLOWED, client_info(request), user_id=request.state.user.id, route=route)
            raise HTTPException(403)
        if request.app.state.settings.admin_two_factors and (words := await _lacks(request)):
            return pages.redirect(request, request.app.url_path_for("sign_in_methods"), flash=words, kind="notice")
        return await view(request)

    return login_required(guarded)


async def _lacks(request: Request) -> str:
    """What an admin must do before the admin pages open with ADMIN_TWO_FACTORS; empty if nothing."""
    user: SessionUser = request.state.user
    if not user.has_second_step:
        return _("Admin pages open only for people with a second step. Set up an authenticator app first.")
    mark = client_info(request).browser_mark
    is_passed = user.second_proved_at or await known_browsers.is_trusted(request.state.db, user.id, mark, user.epoch)
    return "" if is_passed else _("You logged in here without your second step. Log out, then log in with it.")


def client_info(request: Request) -> ClientInfo:
    """Where a request comes from, for the audit log."""
    mark = known_browsers.mark(cookies.read(request, BROWSER_COOKIE))
    return ClientInfo(client_ip.of(request), request.headers.get("user-agent", ""), mark)


async def logs_in_too_often(request: Request, form: Form[Any], user: User) -> bool:
    """Counts a log-in whose password or passkey was right, before it leaves anything. If that is too often, the form
    says so.
    """
    await endings.lock(request.state.db, user.id)  # the account's row first, as in whatever ends everything
    return await too_often(request, form, (rate_limits.LOG_INS, str(user.id))) is not None


async def log_in(
    request: Request,
    response: Response,
    user: User,
    *,
    is_remembered: bool,
    second: str = "",
    trusts: bool = False,
    passkey: int | None = None,
) -> None:
    """Opens a session in the epoch in which the password, or a passkey, was checked; ends the browser's old one.

    The caller has made all checks, and says what answered the `second` step and whether to trust the browser. Anybody
    who was logged in here before is logged out. A pending removal of factors is stopped.
    """
    db, here, was_here = request.state.db, cookies.read(request, BROWSER_COOKIE), user.last_seen_at is not None
    await users.note_here(db, user.id)  # the account's row first, as in whatever ends everything
    browser = await known_browsers.at_log_in(db, user.id, here, user.epoch, trusts=trusts)
    client = replace(client_info(request), browser_mark=known_browsers.mark(browser))
    await _end_cookie(request)
    request.state.user = None
    secret = await sessions.open_new(
        db, user, client, is_remembered=is_remembered, passkey=passkey, with_second=bool(second)
    )
    how: dict[str, object] = {"second": second, "passkey": passkey}
    await events.note(db, Event.LOGGED_IN, user.id, client, **{name: by for name, by in how.items() if by})
    _hand_over(request, response, secret, is_remembered=is_remembered)
    cookies.write(request, response, BROWSER_COOKIE, browser, KNOWN_SECONDS)
    drafts.belong_to(request, response, user.id)
    await _recognize(request, user, client, was_here=was_here)
    if trusts:
        await known_browsers.trust(db, user.id, client.browser_mark)
        await events.note(db, Event.BROWSER_TRUSTED, user.id, client)
    await removal.stop(db, request.app.state.settings, user, client)


async def pending_log_in(request: Request) -> tuple[PendingLogIn, User] | None:
    """This browser's log-in that is waiting for its second step, and the person it belongs to."""
    cookie = cookies.read(request, PENDING_COOKIE)
    return await second_step.find(request.state.db, cookie) if cookie else None


async def renew(request: Request, response: Response, epoch: int) -> None:
    """Carries the current session and its browser over into the account's new epoch, each with a new cookie."""
    user: SessionUser = request.state.user
    secret = await sessions.renew(request.state.db, user.session_id, epoch)
    if secret:  # otherwise it has just been ended
        _hand_over(request, response, secret, is_remembered=user.is_remembered)
    await renew_browser(request, response)


async def renew_browser(request: Request, response: Response) -> None:
    """Gives this browser a new cookie once others have been thrown out: somebody may have copied the old one."""
    if secret := await known_browsers.renew(request.state.db, client_info(request).browser_mark):
        cookies.write(request, response, BROWSER_COOKIE, secret, KNOWN_SECONDS)


async def log_out(request: Request, response: Response) -> None:
    """Ends the session on the server and in the browser."""
    await endings.lock(request.state.db, request.state.user.id)  # the account's row first, as in whatever ends it
    await _end_cookie(request)
    await events.note(request.state.db, Event.LOGGED_OUT, request.state.user.id, client_info(request))
    cookies.delete(request, response, COOKIE)
    drafts.forget(request, response)


async def _recognize(request: Request, user: User, client: ClientInfo, *, was_here: bool) -> None:
    """Remembers the browser. If it is new, the person is told, except at the account's very first log-in."""
    db, settings = request.state.db, request.app.state.settings
    known = await known_browsers.remember(db, user.id, client.browser_mark, user.epoch)
    is_first = not known and not user.epoch and not was_here
    if client.browser_mark not in known and not is_first and await switches.wants(db, user.id, "new_sign_in"):
        browser, client_ip = client.user_agent[:300], client.client_ip
        await users.tell(db, settings, user, "new_sign_in", browser=browser, client_ip=client_ip)


async def _end_cookie(request: Request) -> None:
    if cookie := cookies.read(request, COOKIE):
        await sessions.end(request.state.db, cookie)


def _hand_over(request: Request, response: Response, secret: str, *, is_remembered: bool) -> None:
    cookies.write(request, response, COOKIE, secret, int(ABSOLUTE.total_seconds()) if is_remembered else None)
