"""Browsers: what one is called, and which ones a person has logged in with before."""

import hashlib
import re
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, bindparam, delete, text, update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts.models import KnownBrowser
from webapp.database import execute, now, table
from webapp.i18n import gettext as _

KEPT = timedelta(days=400)  # the longest that browsers keep a cookie
TRUSTED = timedelta(days=30)
MOST = 50
SETTLED, SETTLED_AFTER = 25, timedelta(days=7)
# What a browser says in its User-Agent. The first match counts: most also name others.
BROWSERS = {
    "Edge": ("Edg/", "EdgA/", "EdgiOS/", "Edge/"),
    "Opera": ("OPR/", "OPT/", "Opera"),
    "Samsung Internet": ("SamsungBrowser/",),
    "Vivaldi": ("Vivaldi/",),
    "Yandex Browser": ("YaBrowser/",),
    "DuckDuckGo": ("DuckDuckGo/", "Ddg/"),
    "Firefox": ("Firefox/", "FxiOS/", "Focus/"),
    "Chrome": ("Chrome/", "CriOS/", "Chromium/"),
    "Safari": ("Safari/",),
    "Internet Explorer": ("MSIE ", "Trident/"),
    "curl": ("curl/",),
}
SYSTEMS = {
    "iPhone": ("iPhone",),
    "iPad": ("iPad",),
    "Android": ("Android",),
    "Windows": ("Windows",),
    "ChromeOS": ("CrOS ",),
    "macOS": ("Macintosh", "Mac OS X"),
    "FreeBSD": ("FreeBSD",),
    "Linux": ("Linux", "X11"),
}
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")


def described(user_agent: str) -> str:
    """A browser and its system in words, such as "Firefox on Android". The browser may lie."""
    browser, system = _named(user_agent, BROWSERS), _named(user_agent, SYSTEMS)
    if not system:
        return browser or _("a browser")
    return _("%(browser)s on %(system)s") % {"browser": browser or _("a browser"), "system": system}


def new_secret() -> str:
    """A new secret for a cookie: 256 random bits."""
    return secrets.token_urlsafe(32)


def hashed(secret: str) -> str:
    """How a table stores the secret of a cookie."""
    return hashlib.sha256(secret.encode()).hexdigest()


def mark(secret: str) -> str:
    """The hash under which a browser's cookie is stored; empty if the cookie isn't ours."""
    return hashed(secret) if _SECRET.fullmatch(secret) else ""


async def at_log_in(db: AsyncSession, user_id: int, secret: str, epoch: int, *, trusts: bool) -> str:
    """The secret of a browser's cookie after a log-in: a new one if the person isn't known by it yet, or `trusts` it
    from now on. Otherwise somebody who had copied the old one would be known or trusted with it.
    """
    before = mark(secret)
    if not trusts and await is_known(db, user_id, before, epoch):
        return secret
    return await renew(db, before) or new_secret()


async def remember(db: AsyncSession, user_id: int, mark: str, epoch: int) -> set[str]:
    """Records that a person logged in with a browser; returns the marks of the browsers known before."""
    of_user = col(KnownBrowser.user_id) == user_id, col(KnownBrowser.epoch) == epoch
    known = set(await db.exec(select(KnownBrowser.secret_hash).where(*of_user)))
    row = {"user_id": user_id, "secret_hash": mark, "epoch": epoch, "counted_as": secrets.token_hex(16), "now": now()}
    await execute(db, _REMEMBER, row)
    if len(known) >= MOST:
        await _forget(db, user_id, col(KnownBrowser.secret_hash).not_in(await _kept(db, user_id)))
    return known


async def _kept(db: AsyncSession, user_id: int) -> list[str]:
    """The marks of the MOST browsers seen last, but SETTLED of them have been known for a while, if there are so many:
    somebody who has just got in can't push them out.
    """
    mark, is_settled = col(KnownBrowser.secret_hash), col(KnownBrowser.known_since) < now() - SETTLED_AFTER
    latest = select(mark).where(col(KnownBrowser.user_id) == user_id).order_by(col(KnownBrowser.last_seen_at).desc())
    settled = list(await db.exec(latest.where(is_settled).limit(SETTLED)))
    return settled + list(await db.exec(latest.where(mark.not_in(settled)).limit(MOST - len(settled))))


async def is_known(db: AsyncSession, user_id: int, mark: str, epoch: int) -> bool:
    """Whether a person has logged in with a browser before, in this epoch."""
    return bool(await counted_as(db, user_id, mark, epoch))


async def counted_as(db: AsyncSession, user_id: int, mark: str, epoch: int) -> str:
    """What a person's attempts are counted for in a browser they are known by; empty in any other."""
    this = col(KnownBrowser.user_id) == user_id, col(KnownBrowser.secret_hash) == mark, col(KnownBrowser.epoch) == epoch
    return (await db.exec(select(KnownBrowser.counted_as).where(*this))).first() or ""


async def trust(db: AsyncSession, user_id: int, mark: str) -> None:
    """Lets a known browser log in without a second step for TRUSTED."""
    this = col(KnownBrowser.user_id) == user_id, col(KnownBrowser.secret_hash) == mark
    await db.exec(update(KnownBrowser).where(*this).values(trusted_until=now() + TRUSTED))


async def is_trusted(db: AsyncSession, user_id: int, mark: str, epoch: int) -> bool:
    """Whether the person lets a browser log in without a second step, in this epoch."""
    return mark in await trusted(db, user_id, epoch)


async def trusted(db: AsyncSession, user_id: int, epoch: int) -> dict[str, datetime]:
    """The marks of the browsers that a person trusts, and until when."""
    until = col(KnownBrowser.trusted_until)
    which = col(KnownBrowser.user_id) == user_id, col(KnownBrowser.epoch) == epoch, until > now()
    return {mark: end for mark, end in await db.exec(select(KnownBrowser.secret_hash, until).where(*which)) if end}


async def distrust(db: AsyncSession, user_id: int) -> None:
    """Ends the trust in all of a person's browsers, which stay known."""
    await db.exec(update(KnownBrowser).where(col(KnownBrowser.user_id) == user_id).values(trusted_until=None))


async def forget(db: AsyncSession, user_id: int, marks: Collection[str]) -> None:
    """Forgets some browsers: their next log-in counts as one from a new browser."""
    await _forget(db, user_id, col(KnownBrowser.secret_hash).in_(marks))


async def forget_others(db: AsyncSession, user_id: int, mark: str, epoch: int, *, keeps_trust: bool) -> None:
    """Forgets all browsers but this one: the others may be somebody else's.

    This one is carried over into the account's new epoch, and stays trusted only if `keeps_trust`.
    """
    this = col(KnownBrowser.secret_hash) == mark, col(KnownBrowser.epoch) == epoch - 1
    await _forget(db, user_id, ~and_(*this))
    values = {"epoch": epoch} if keeps_trust else {"epoch": epoch, "trusted_until": None}
    await db.exec(update(KnownBrowser).where(col(KnownBrowser.user_id) == user_id, *this).values(values))


async def renew(db: AsyncSession, mark: str) -> str | None:
    """Gives a browser a new secret, for everybody who is known in it; returns it, or None if nobody is.

    Otherwise somebody who has copied its cookies would stay known in the browser that its owner keeps.
    """
    secret = new_secret()
    values = {"before": mark, "after": hashed(secret)}
    renewed = (await execute(db, _RENEW, values)).rowcount
    if renewed:
        await execute(db, _RENEW_IN_SESSIONS, values)
    return secret if renewed else None


async def _forget(db: AsyncSession, user_id: int, which: ColumnElement[bool]) -> None:
    await db.exec(delete(KnownBrowser).where(col(KnownBrowser.user_id) == user_id, which))


def _named(user_agent: str, table: dict[str, tuple[str, ...]]) -> str:
    return next((name for name, signs in table.items() if any(sign in user_agent for sign in signs)), "")


_REMEMBER = text(
    "INSERT INTO known_browser (user_id, secret_hash, epoch, counted_as, known_since, last_seen_at)"
    " VALUES (:user_id, :secret_hash, :epoch, :counted_as, :now, :now) ON CONFLICT (user_id, secret_hash)"
    " DO UPDATE SET epoch = excluded.epoch, last_seen_at = excluded.last_seen_at, known_since ="
    " CASE WHEN known_browser.epoch = excluded.epoch THEN known_browser.known_since ELSE excluded.known_since END,"
    " trusted_until = CASE WHEN known_browser.epoch = excluded.epoch THEN known_browser.trusted_until END"
).bindparams(bindparam("now", type_=table(KnownBrowser).c.last_seen_at.type))
_RENEW = text("UPDATE known_browser SET secret_hash = :after WHERE secret_hash = :before")
_RENEW_IN_SESSIONS = text(
    "UPDATE session SET browser_mark = :after WHERE browser_mark = :before"
    " AND user_id IN (SELECT user_id FROM known_browser WHERE secret_hash = :after)"
)
