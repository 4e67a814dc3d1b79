"""For load balancers and monitors: can this process do its work?"""

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.database import Database, refusals, release
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
