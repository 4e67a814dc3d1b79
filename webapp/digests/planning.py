"""Decides when digests are posted. Each person has their own hour, and gets at most one a week.

Every web process plans. An email and the date of the person's next digest are saved in one transaction, so neither a
crash nor another process can double or lose a digest.
"""

from datetime import timedelta
from typing import NamedTuple

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import rate_limits
from webapp.accounts.models import User
from webapp.database import Database, now
from webapp.digests.emails import KIND
from webapp.mail import kinds
from webapp.notifications.models import EmailSwitch
from webapp.rate_limits import Limit, Rate
from webapp.settings import Settings

BATCH = 100
HOURS = 24
# A little less than a week, so that a digest planned late in its hour does not skip the next one.
WINDOW = Limit(KIND, (Rate(1, int(timedelta(days=6, hours=12).total_seconds())),))


class Digests:
    """Posts this hour's digests, a batch at a time."""

    name = "digests"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._after = 0  # the last person looked at

    async def run_batch(self, database: Database) -> bool:
        async with database.session(is_writing=True) as db:
            readers = await _readers(db, now().hour, self._after)
            fresh = await rate_limits.begin(db, self._settings, WINDOW, [str(reader.id) for reader in readers])
            for reader in readers:
                if str(reader.id) in fresh:
                    await _post(db, self._settings, reader)
            await db.commit()
        is_more = len(readers) == BATCH
        self._after = readers[-1].id if is_more else 0
        return is_more


class _Reader(NamedTuple):
    id: int
    address: str
    language: str


async def _readers(db: AsyncSession, hour: int, after: int) -> list[_Reader]:
    """The ids of people who want the email and whose hour it is."""
    wanted = (col(EmailSwitch.kind) == KIND, col(EmailSwitch.is_wanted), col(EmailSwitch.user_id) > after)
    query = (
        select(col(User.id), col(User.email), col(User.language))
        .join(EmailSwitch, col(EmailSwitch.user_id) == col(User.id))
        .where(*wanted, col(User.id) % HOURS == hour, col(User.disabled_at).is_(None))
        .order_by(col(User.id))
        .limit(BATCH)
    )
    return [_Reader(*row) for row in await db.exec(query)]


async def _post(db: AsyncSession, settings: Settings, reader: _Reader) -> None:
    """Spreads the emails over the hour."""
    delay = timedelta(seconds=reader.id // HOURS * 97 % 3600)
    await kinds.post(db, settings, KIND, reader.address, user_id=reader.id, language=reader.language, delay=delay)
