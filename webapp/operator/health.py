"""Can this process do its work? For load balancers, monitors and the log."""

import logging

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.database import CLOCKS_DIFFER, Database, refusals, release
from webapp.delivery.pace import seconds_ahead
from webapp.mail import status

log = logging.getLogger("webapp.housekeeping")

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
    """Says in the log that this machine's clock isn't PostgreSQL's, for a process without a mailer, which would."""

    name = "clock"

    async def run_batch(self, database: Database) -> bool:
        """Looks; never has more to do now."""
        if database.is_sqlite:
            return False
        async with database.session() as db:
            ahead = await seconds_ahead(db)
        if abs(ahead) > CLOCKS_DIFFER.total_seconds():
            log.warning("clocks_differ", extra={"fields": {"seconds_ahead": ahead}})
        return False
