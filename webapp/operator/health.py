"""Can this process do its work, and does it know the time? For load balancers, monitors and the log."""

import contextlib
import logging
import time
from datetime import datetime

from sqlalchemy import func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import clock
from webapp.database import CLOCKS_DIFFER, Database, execute, refusals, release
from webapp.mail import status

log = logging.getLogger("webapp.clock")

TRIED_EVERY = 5.0  # seconds, because anybody can open the page


async def problems(database: Database, db: AsyncSession, *, is_mailer_missing: bool, is_away: bool) -> list[str]:
    """What keeps this process from its work, in words; an empty list if nothing does.

    `is_away` if visitors have met an outage that isn't over, even if a small write works.
    """
    found = ["the mailer is not running"] if is_mailer_missing else []
    try:
        await status.oldest_waiting(db)
        await release(db)  # because SQLite has no other connection
    except Exception as error:
        if not refusals.is_away(error):
            raise
        return [*found, "the database can't be used; was `python -m webapp migrate` run?"]
    try:
        await database.try_write(at_most_every=TRIED_EVERY)
    except Exception as error:
        if not refusals.is_away(error):
            raise
        is_away = True
    if is_away:
        found.append("the database can't be written to; is the disk full or read-only?")
    return found


class ClockCheck:
    """Compares this machine's clock with the database's again and again."""

    name = "clock"

    async def begin(self, database: Database) -> None:
        """Compares them before anything else is done, if the database is there."""
        with contextlib.suppress(Exception):
            await self.run_batch(database)

    async def run_batch(self, database: Database) -> bool:
        """Compares them once; there is never more to do at once."""
        async with database.session() as db:
            ahead = await learn_time(db)
        if abs(ahead) > CLOCKS_DIFFER.total_seconds():
            log.warning("clocks_differ", extra={"fields": {"seconds_ahead": ahead}})
        return False


async def learn_time(db: AsyncSession) -> int:
    """Goes by PostgreSQL's clock from now on, which all machines of a site share. Returns how many seconds this
    machine's is ahead; 0 with SQLite, which has only one machine.
    """
    if db.get_bind().dialect.name == "sqlite":
        return 0
    asked_at = time.monotonic()
    there: datetime = (await execute(db, select(func.clock_timestamp()))).scalar_one()
    return clock.learn(there, asked_at)
