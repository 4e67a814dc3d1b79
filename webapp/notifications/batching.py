"""One email for everything that happens to a person within a minute, not one for each thing; after a few such emails,
one for everything until the hour is over. So nobody who posts all day fills a mailbox with it.
"""

from datetime import datetime, timedelta

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import rate_limits
from webapp.mail import kinds
from webapp.mail.models import Claimed
from webapp.rate_limits import Limit, Rate
from webapp.settings import Settings

PERIOD = timedelta(seconds=60)
# It leaves when all transactions of the period have surely ended.
LATER = timedelta(seconds=5)
ONCE = Rate(1, int(PERIOD.total_seconds()))
SOON = Rate(5, 3600)  # emails of a minute each, in an hour
# An event and its count read the clock one after the other. Better to tell twice than not at all.
LEEWAY = timedelta(seconds=1)


async def tell(
    db: AsyncSession, settings: Settings, kind: str, address: str, *, user_id: int, language: str, since: datetime
) -> None:
    """Posts an email about everything from `since` on, unless one that covers it is waiting."""
    already, _ends = await rate_limits.tally(db, settings, Limit(kind, (ONCE,)), str(user_id))
    if already > 1:
        return
    times, ends = await rate_limits.tally(db, settings, Limit(f"{kind}_soon", (SOON,)), str(user_id))
    if times > SOON.times + 1:
        return
    until = since + PERIOD if times <= SOON.times else max(ends, since + PERIOD)
    await kinds.post(
        db,
        settings,
        kind,
        address,
        user_id=user_id,
        language=language,
        delay=until - since + LATER,
        since=since.isoformat(),
        until=until.isoformat(),
    )


def period(email: Claimed) -> tuple[datetime, datetime]:
    """The start and end of the time that the email covers."""
    since = datetime.fromisoformat(email.parameters.get("since", email.created_at.isoformat()))
    until = email.parameters.get("until")
    return since - LEEWAY, (datetime.fromisoformat(until) if until else since + PERIOD) + LEEWAY
