"""Sessions: log in, log out, who is asking, and who must log in first."""

import hashlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parseaddr
from functools import wraps
from typing import Any
from urllib.parse import quote

from sqlalchemy import ColumnElement, Table, bindparam, delete, select, update
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from webapp import language, limits, pages
from webapp.accounts import users
from webapp.accounts.models import Session, User
from webapp.database import SAFE_METHODS, Database, now
from webapp.forms import Form
from webapp.language import gettext as _
from webapp.limits import TooOften
from webapp.security import events
from webapp.security.events import Event, Refusal, Visit

COOKIE = "session"
REMEMBERED = timedelta(days=14)  # since it was last used
UNREMEMBERED = timedelta(hours=24)  # or until the browser closes
ABSOLUTE = timedelta(days=90)
MOST = 20
SEEN_EVERY = timedelta(minutes=1)

View = Callable[[Request], Awaitable[Response]]

_sessions: Table = Session.__table__  # type: ignore[attr-defined]
_users: Table = User.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True)
class SignedIn:
    """Who is asking, and in which session."""

    id: int
    username: str
    email: str
    epoch: int
    locale: str
    session_id: int
    is_remembered: bool
    opened: datetime
    seen: datetime


class CurrentUser:
    """Finds out who is asking, as `request.state.user`; None is the stranger."""

    def __init__(self, app: ASGIApp, database: Database) -> None:
        self.app = app
        self.database = database

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/static/"):
            return await self.app(scope, receive, send)

        request = Request(scope)
        cookie = pages.read_cookie(request, COOKIE)
        user = await _find(self.database, cookie) if cookie else None
        request.state.user = user
        languages = request.app.state.settings.languages
        wanted = f"{user.locale};q=1," if user else ""
        with language.use(language.choose(wanted + request.headers.get("accept-language", ""), languages)):
            await self.app(scope, receive, send)


def login_required(view: View) -> View:
    """Sends strangers to the log-in page, and back afterwards."""

    @wraps(view)
    async def guarded(request: Request) -> Response:
        if request.state.user is None:
            came_for = request.url.path if request.method in SAFE_METHODS else "/"
            suffix = f"?next={quote(came_for)}" if came_for != "/" else ""
            return pages.redirect(request, request.app.url_path_for("login") + suffix)
        return await view(request)

    guarded.is_login_required = True  # type: ignore[attr-defined]
    return guarded


def admin_required(view: View) -> View:
    """Lets in only people whose address is in ADMINS; sends strangers to the log-in page first."""

    @wraps(view)
    async def guarded(request: Request) -> Response:
        admins = {parseaddr(admin)[1].lower() for admin in request.app.state.settings.admins}
        if request.state.user.email not in admins:
            route = getattr(request.scope.get("route"), "path", None)
            events.refused(Refusal.NOT_ALLOWED, visit(request), user_id=request.state.user.id, route=route)
            raise HTTPException(403)
        return await view(request)

    return login_required(guarded)


def visit(request: Request) -> Visit:
    """From where a request comes, for the audit log."""
    return Visit(limits.network(request), request.headers.get("user-agent", ""))


async def log_in(request: Request, response: Response, user: User, *, is_remembered: bool) -> None:
    """Opens a session in the epoch in which the password was checked, and ends the browser's old one."""
    db: AsyncSession = request.state.db
    assert user.id is not None
    secret, here = secrets.token_urlsafe(32), visit(request)
    await _end_cookie(request)
    db.add(
        Session(
            token_hash=_hash(secret),
            user_id=user.id,
            epoch=user.epoch,
            is_remembered=is_remembered,
            browser=here.browser[:300],
            network=here.network,
            expires_at=now() + (REMEMBERED if is_remembered else UNREMEMBERED),
        )
    )
    await events.note(db, Event.LOGGED_IN, user.id, here)
    await _end_oldest(db, user.id)
    _hand_over(request, response, secret, is_remembered=is_remembered)


async def renew(request: Request, response: Response, epoch: int) -> None:
    """Carries the current session over into the account's new epoch, under a new id."""
    secret, user = secrets.token_urlsafe(32), request.state.user
    connection = await request.state.db.connection()
    values = {"token_hash": _hash(secret), "epoch": epoch, "seen_at": now()}
    renewed = await connection.execute(update(_sessions).where(_sessions.c.id == user.session_id).values(values))
    if renewed.rowcount:  # else it was ended meanwhile
        _hand_over(request, response, secret, is_remembered=user.is_remembered)


async def prove(
    request: Request, form: Form[Any], current_password: str, field: str = "current_password"
) -> User | None:
    """The current user, if this is their password; else None, with the reason in the form.

    Throttled as the log-in is, and counted before the password is looked at. Frees the connection meanwhile.
    """
    asking: SignedIn = request.state.user
    user = await try_password(request, form, asking.username, current_password)
    if user is not None and user.id == asking.id:  # and not somebody who has taken the name meanwhile
        return user
    if not form.errors:
        form.refuse(field, _("That is not your current password."))
    return None


async def try_password(request: Request, form: Form[Any], typed: str, password: str) -> User | None:
    """The person whose name or address and password these are, or None; the form says so only if it was too often."""
    db, state, here = request.state.db, request.app.state, visit(request)
    try:
        await users.count_try(db, state.settings, typed, here.network)
    except TooOften as refused:
        await db.rollback()
        events.refused(Refusal.LOG_IN_THROTTLED, here, typed=typed, seconds=refused.seconds)
        form.refuse_for_now(_("Too many tries. You can try again in %(seconds)s seconds."), refused.seconds)
        return None
    await db.commit()  # before the password is looked at, so that guesses at once count too
    return await users.authenticate(db, state.hasher, state.settings, typed, password, here.network)


async def log_out(request: Request, response: Response) -> None:
    """Ends the session on the server and in the browser."""
    await _end_cookie(request)
    await events.note(request.state.db, Event.LOGGED_OUT, request.state.user.id, visit(request))
    pages.delete_cookie(request, response, COOKIE)


def outdated() -> ColumnElement[bool]:
    """Which sessions have ended by themselves."""
    return _sessions.c.expires_at < now()


async def _find(database: Database, cookie: str) -> SignedIn | None:
    """One statement in a transaction of its own: no lock is held while the visitor's form comes in."""
    async with database.session() as db:
        connection = await db.connection()
        parameters = {"token_hash": _hash(cookie), "moment": now()}
        row = (await connection.execute(_CURRENT, parameters)).first()
    user = SignedIn(*row) if row else None
    if user and now() - user.seen > SEEN_EVERY:
        await _touch(database, user)
    return user


async def _touch(database: Database, user: SignedIn) -> None:
    """Notes that the person was here, and lets a remembered session slide on."""
    values: dict[str, Any] = {"seen_at": now()}
    if user.is_remembered:
        values["expires_at"] = min(now() + REMEMBERED, user.opened + ABSOLUTE)
    async with database.session(is_writing=True) as db:
        connection = await db.connection()
        await connection.execute(update(_sessions).where(_sessions.c.id == user.session_id).values(values))
        await connection.execute(update(_users).where(_users.c.id == user.id).values(last_seen=now()))
        await db.commit()


def _hand_over(request: Request, response: Response, secret: str, *, is_remembered: bool) -> None:
    pages.set_cookie(request, response, COOKIE, secret, int(ABSOLUTE.total_seconds()) if is_remembered else None)


async def _end_cookie(request: Request) -> None:
    if cookie := pages.read_cookie(request, COOKIE):
        connection = await request.state.db.connection()
        await connection.execute(delete(_sessions).where(_sessions.c.token_hash == _hash(cookie)))


async def _end_oldest(db: AsyncSession, user_id: int) -> None:
    kept = select(_sessions.c.id).where(_sessions.c.user_id == user_id).order_by(_sessions.c.id.desc()).limit(MOST)
    connection = await db.connection()
    await connection.execute(delete(_sessions).where(_sessions.c.user_id == user_id, _sessions.c.id.not_in(kept)))


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


_CURRENT = (
    select(
        _users.c.id,
        _users.c.username,
        _users.c.email,
        _users.c.epoch,
        _users.c.locale,
        _sessions.c.id,
        _sessions.c.is_remembered,
        _sessions.c.created_at,
        _sessions.c.seen_at,
    )
    .join_from(_sessions, _users, _sessions.c.user_id == _users.c.id)
    .where(
        _sessions.c.token_hash == bindparam("token_hash"),
        _sessions.c.expires_at > bindparam("moment"),
        _sessions.c.epoch == _users.c.epoch,
        _users.c.disabled_at.is_(None),
    )
)
