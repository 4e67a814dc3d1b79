"""Limits how often a password may be tried. That slows down guessing, and never locks the account.

Attempts are counted three times: for what was typed from one client_ip, for the client_ip, and for what was typed from
anywhere. After 50 failures in a row the last allows one a minute, however many client_ips a guesser has. A browser in
which the person has logged in before is counted separately, so no guesser locks them out of it.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from sqlalchemy import bindparam, select
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import rate_limits
from webapp.accounts.models import KnownBrowser, User
from webapp.audit.events import ClientInfo
from webapp.database import refusals, release, table
from webapp.database.hot import Prepared, Transaction
from webapp.fair_queue import Busy, held
from webapp.names import identities
from webapp.rate_limits import Use
from webapp.settings import Settings


class Turns:
    """Does expensive work one at a time for each key, within this process, so that cheap checks refuse most of it.

    If one link is used many times at once, the first use hashes, and the others find that it has been used. If many
    right passwords arrive at once, each starts the count again before the next is counted.
    """

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[tuple[str, ...], _Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, db: AsyncSession, *key: str) -> AsyncIterator[None]:
        """A turn, from the cheap checks until the result is written. No connection is held while waiting for it.

        Raises Busy if the database has failed the one before: otherwise each one behind would wait as long, too.
        """
        await release(db)
        lock, came_at = self._locks.setdefault(key, _Lock()), time.monotonic()
        async with held(lock, is_patient=True):  # they hash, one by one
            if lock.failed_at > came_at:
                raise Busy("The database failed whoever was before.")
            try:
                yield
            except Exception as error:
                if refusals.is_away(error):
                    lock.failed_at = time.monotonic()
                raise


class _Lock(asyncio.Lock):
    """`failed_at` is when the database last failed somebody who held it."""

    failed_at = float("-inf")


def of(typed: str, client: ClientInfo, browser: str) -> list[Use]:
    """What an attempt counts for; `browser` is one that the account is known by, see `known_browser`. Commit it before
    checking the password, so that simultaneous guesses count, too.
    """
    identity = identities.identity_or_nonsense(typed)
    if browser:
        return [(rate_limits.LOG_IN_KNOWN_BROWSER, browser), (rate_limits.LOG_INS_KNOWN_BROWSER, browser)]
    return [*_of_identity(identity, client), (rate_limits.LOG_IN_CLIENT_IP, client.client_ip)]


async def known_browser(db: Transaction, typed: str, client: ClientInfo) -> str:
    """What this browser is counted as for the person with this username or email, if they have logged in with it
    before; otherwise empty.

    The work is the same whether or not there is such an account.
    """
    if not client.browser_mark:
        return ""
    identity = identities.identity_or_nonsense(typed)
    statement = _BY_EMAIL if "@" in identity else _BY_NAME
    row = await statement.row(db, {"identity": identity, "browser": client.browser_mark})
    return row[0] if row else ""


async def forget(db: AsyncSession, settings: Settings, user: User, client: ClientInfo, browser: str) -> None:
    """Starts the counts of failed attempts anew, after the right password or a new one."""
    uses = [use for identity in (user.username_key, user.email) for use in _of_identity(identity, client)]
    await rate_limits.forget(db, settings, *uses, (rate_limits.LOG_IN_KNOWN_BROWSER, browser))


def _of_identity(identity: str, client: ClientInfo) -> list[Use]:
    return [(rate_limits.LOG_IN, f"{identity} {client.client_ip}"), (rate_limits.LOG_IN_ANYWHERE, identity)]


_users, _browsers = table(User), table(KnownBrowser)
_IS_KNOWN = _browsers.c.secret_hash == bindparam("browser"), _browsers.c.epoch == _users.c.epoch
_COUNTED_AS = select(_browsers.c.counted_as).join(_users).where(*_IS_KNOWN)
_BY_EMAIL = Prepared(_COUNTED_AS.where(_users.c.email == bindparam("identity")))
_BY_NAME = Prepared(_COUNTED_AS.where(_users.c.username_key == bindparam("identity")))
