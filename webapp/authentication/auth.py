"""Who is asking, who must log in first, and logging in and out."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import wraps
from typing import Any
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from webapp import i18n
from webapp.accounts import known_browsers, sessions, users
from webapp.accounts.models import User
from webapp.accounts.sessions import ABSOLUTE, SessionUser
from webapp.accounts.users import Closed
from webapp.audit import events
from webapp.audit.events import ClientInfo, Event, Refusal
from webapp.authentication import throttle
from webapp.database import Database, now, release
from webapp.i18n import gettext as _
from webapp.mail import kinds
from webapp.notifications import switches
from webapp.web import client_ip, cookies, drafts, pages
from webapp.web.database_session import SAFE_METHODS
from webapp.web.forms import Form, typed
from webapp.web.limits import too_often

COOKIE = "session"
BROWSER_COOKIE = "browser"
View = Callable[[Request], Awaitable[Response]]


class CurrentUser:
    """Finds out who is asking, as `request.state.user`; None is a stranger."""

    def __init__(self, app: ASGIApp, database: Database) -> None:
        self.app = app
        self.database = database

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/static/"):
            return await self.app(scope, receive, send)

        request = Request(scope)
        request.state.user = user = await self._find(cookies.read(request, COOKIE))
        # Above the language of the page, which the browser has chosen, stands the one that the person has.
        offered = request.app.state.settings.languages
        with i18n.use(user.language if user and user.language in offered else i18n.current()):
            await self.app(scope, receive, send)

    async def _find(self, cookie: str) -> SessionUser | None:
        """The person behind the cookie. In a transaction of its own, since a GET notes the visit, too."""
        if not cookie:
            return None
        async with self.database.direct() as reading:
            user = await sessions.find(reading, cookie)
        if user and user.is_seen_again:
            async with self.database.session(is_writing=True) as db:
                await sessions.touch(db, user)
                await db.commit()
        return user


def login_required(view: View) -> View:
    """Sends strangers to the log-in page, and back afterwards."""

    @wraps(view)
    async def guarded(request: Request) -> Response:
        return await (_to_log_in if request.state.user is None else view)(request)

    return guarded


async def _to_log_in(request: Request) -> Response:
    """Back afterwards, and to a form with what was typed into it, but for passwords."""
    is_page = request.method in SAFE_METHODS or "GET" in (request.scope["route"].methods or ())
    came_for = request.url.path if is_page else "/"
    suffix = f"?next={quote(came_for)}" if came_for != "/" else ""
    response = pages.redirect(request, request.app.url_path_for("login") + suffix)
    if request.method == "POST" and drafts.keep(request, response, came_for, await typed(request)):
        words = _("You were logged out meanwhile. Log in again: what you typed is still here.")
        pages.say(request, response, words, "notice")
    return response


def admin_required(view: View) -> View:
    """Lets in only people whose address is in ADMINS; sends strangers to the log-in page first."""

    @wraps(view)
    async def guarded(request: Request) -> Response:
        if request.state.user.email not in request.app.state.settings.admin_addresses:
            route = getattr(request.scope.get("route"), "path", None)
            events.refused(Refusal.NOT_ALLOWED, client_info(request), user_id=request.state.user.id, route=route)
            raise HTTPException(403)
        return await view(request)

    return login_required(guarded)


def client_info(request: Request) -> ClientInfo:
    """Where a request comes from, for the audit log."""
    mark = known_browsers.mark(cookies.read(request, BROWSER_COOKIE))
    return ClientInfo(client_ip.of(request), request.headers.get("user-agent", ""), mark)


async def log_in(request: Request, response: Response, user: User, *, is_remembered: bool) -> None:
    """Opens a session in the epoch in which the password was checked, and ends the browser's old one.

    Whoever was logged in there before is not asking any more.
    """
    browser = cookies.read(request, BROWSER_COOKIE)
    if not known_browsers.mark(browser):
        browser = known_browsers.new_secret()
    db, client = request.state.db, replace(client_info(request), browser_mark=known_browsers.mark(browser))
    await _end_cookie(request)
    request.state.user = None
    secret = await sessions.open_new(db, user, client, is_remembered=is_remembered)
    await events.note(db, Event.LOGGED_IN, user.id, client)
    _hand_over(request, response, secret, is_remembered=is_remembered)
    cookies.write(request, response, BROWSER_COOKIE, browser, int(known_browsers.KEPT.total_seconds()))
    drafts.belong_to(request, response, user.id)
    await _recognize(request, user, client)


async def renew(request: Request, response: Response, epoch: int) -> None:
    """Carries the current session over into the account's new epoch, under a new id."""
    user: SessionUser = request.state.user
    secret = await sessions.renew(request.state.db, user.session_id, epoch)
    if secret:  # else it was ended meanwhile
        _hand_over(request, response, secret, is_remembered=user.is_remembered)


async def prove(
    request: Request, form: Form[Any], current_password: str, field: str = "current_password"
) -> User | None:
    """The current user, if this is their password; else None, with the reason in the form.

    Limited like the log-in, and counted before the password is checked. Frees the connection meanwhile.
    """
    asking: SessionUser = request.state.user
    if not current_password:
        form.refuse(field, _("Please type your current password, too."))
        return None
    try:
        user = await try_password(request, form, asking.username, current_password)
    except Closed as closed:  # a moment ago, so this session has ended too
        form.refuse(field, str(closed))
        return None
    if user is not None and user.id == asking.id:  # and not somebody who has taken the name meanwhile
        return user
    if not form.errors:
        form.refuse(field, _("That's not your current password."))
    return None


async def try_password(request: Request, form: Form[Any], typed: str, password: str) -> User | None:
    """The person with this username or email and password, or None. The form only says if it was too often.

    Raises Closed.
    """
    db, state, client = request.state.db, request.app.state, client_info(request)
    await release(db)  # nobody holds a connection while waiting for a turn
    async with state.turns.of("log in", users.identity_or_nonsense(typed), client.client_ip):
        words = _("Too many tries. You can try again in %(wait)s.")
        if refused := await too_often(request, form, *await throttle.of(db, typed, client), words=words):
            events.refused(Refusal.LOG_IN_THROTTLED, client, typed=typed, seconds=refused.seconds)
            return None
        await db.commit()  # before the password is looked at, so that guesses at once count too
        user = await users.authenticate(db, state.hasher, typed, password, client)
        if user is not None:
            await throttle.forget(db, state.settings, user, client)
            await db.commit()
    return user


async def log_out(request: Request, response: Response) -> None:
    """Ends the session on the server and in the browser."""
    await _end_cookie(request)
    await events.note(request.state.db, Event.LOGGED_OUT, request.state.user.id, client_info(request))
    cookies.delete(request, response, COOKIE)


async def _recognize(request: Request, user: User, client: ClientInfo) -> None:
    """Knows the browser from now on. Tells the person of a new one, but not at the account's very first log-in."""
    db, settings = request.state.db, request.app.state.settings
    known = await known_browsers.meet(db, user.id, client.browser_mark, user.epoch)
    is_first = not known and not user.epoch and user.last_seen_at < user.created_at + sessions.SEEN_EVERY
    is_news = client.browser_mark not in known and not is_first
    if is_news and await switches.wants(db, user.id, "new_sign_in"):
        details: dict[str, Any] = {
            "when": now().isoformat(),
            "browser": client.user_agent[:300],
            "client_ip": client.client_ip,
        }
        await kinds.post(db, settings, "new_sign_in", user.email, user_id=user.id, username=user.username, **details)


async def _end_cookie(request: Request) -> None:
    if cookie := cookies.read(request, COOKIE):
        await sessions.end(request.state.db, cookie)


def _hand_over(request: Request, response: Response, secret: str, *, is_remembered: bool) -> None:
    cookies.write(request, response, COOKIE, secret, int(ABSOLUTE.total_seconds()) if is_remembered else None)
