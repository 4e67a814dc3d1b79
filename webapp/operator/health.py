"""Can this process do its work? For load balancers, monitors and the log."""

import contextlib

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.database import Database, refusals, release
from webapp.delivery.pace import watch_time
from webapp.mail import status

TRIED_EVERY = 5.0  # seconds, because anybody can open the page


async def problems(database: Database, db: AsyncSession, *, is_mailer_missing: bool) -> list[str]:
    """What keeps this process from its work, in words; an empty list if nothing does."""
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
            await watch_time(db)
        return False
