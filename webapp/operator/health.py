"""For load balancers and monitors: can this process do its work?"""

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.database import refusals
from webapp.mail import status


async def problems(db: AsyncSession, *, is_mailer_missing: bool) -> list[str]:
    """What keeps this process from its work, in words; an empty list if nothing does."""
    found = ["the mailer is not running"] if is_mailer_missing else []
    try:
        await status.oldest_waiting(db)
    except Exception as error:
        if not refusals.is_away(error):
            raise
        found.append("the database can't be used; was `python -m webapp migrate` run?")
    return found
