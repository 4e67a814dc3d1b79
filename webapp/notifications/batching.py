"""One email for all that happens to a person within a minute, and not one for each."""

from datetime import datetime, timedelta

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import rate_limits
from webapp.mail import kinds
from webapp.mail.models import Claimed
from webapp.rate_limits import Limit, Rate, TooOften
from webapp.settings import Settings

PERIOD = timedelta(seconds=60)
# It leaves when all of the period's transactions have ended.
DELAY = PERIOD + timedelta(seconds=5)
# What happens and its count look at the clock one after the other. Better told of twice than not at all.
LEEWAY = timedelta(seconds=1)


async def tell(
    db: AsyncSession, settings: Settings, kind: str, address: str, *, user_id: int, language: str, since: datetime
) -> None:
    """Posts an email of the kind for all that happens from `since` on, unless one that covers it waits already."""
    try:
        await rate_limits.count(db, settings, (Limit(kind, (Rate(1, int(PERIOD.total_seconds())),)), str(user_id)))
    except TooOften:
        return
    await kinds.post(
        db, settings, kind, address, user_id=user_id, language=language, delay=DELAY, since=since.isoformat()
    )


def period(email: Claimed) -> tuple[datetime, datetime]:
    """From when until when that happened which the email tells of."""
    since = datetime.fromisoformat(email.parameters["since"])
    return since - LEEWAY, since + PERIOD + LEEWAY
