"""The email about new followers: one for all who came within a minute."""

from datetime import datetime, timedelta
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import rate_limits
from webapp.accounts.models import User
from webapp.authentication.emails import a_sample_person
from webapp.i18n import N_
from webapp.mail.kinds import Draft, email_kind
from webapp.mail.models import Claimed, Priority
from webapp.notifications import batching
from webapp.notifications.switches import reader, unsubscribe_link
from webapp.people import follows
from webapp.settings import Settings

NAMED = 10
EXPIRES_AFTER = timedelta(days=2)


async def tell_of_follower(
    db: AsyncSession, settings: Settings, followed: User, follower_id: int, since: datetime
) -> None:
    """Posts the email in the follow's transaction, unless one that covers it is already waiting.

    Somebody who unfollows and follows again is announced once a day.
    """
    times, _ends = await rate_limits.tally(db, settings, rate_limits.NEW_FOLLOWER, f"{follower_id} {followed.id}")
    if times > 1:
        return
    await batching.tell(
        db, settings, "new_follower", followed.email, user_id=followed.id, language=followed.language, since=since
    )


def _samples(settings: Settings) -> list[Draft]:
    susan = a_sample_person()
    names = ["ann", "bob", "carl_the_second", "dora", "emil", "fay", "gus", "hanna", "ida", "jon"]
    return [_draft(settings, susan, names[:1], 1), _draft(settings, susan, names, 12)]


@email_kind(
    "new_follower",
    expires_after=EXPIRES_AFTER,
    samples=_samples,
    label=N_("New followers"),
    default_on=False,
    priority=Priority.CAN_WAIT,
)
async def new_follower(db: AsyncSession, settings: Settings, email: Claimed) -> Draft | None:
    """To a person with new followers. Not sent if all of them have left again."""
    user = await reader(db, email)
    if user is None:
        return None
    names = await follows.began_between(db, user.id, *batching.period(email))
    return _draft(settings, user, names[:NAMED], len(names)) if names else None


def _draft(settings: Settings, user: User, names: list[str], count: int) -> Draft:
    values: dict[str, Any] = {
        "username": user.username,
        "followers": [(name, f"{settings.base_url}/user/{name}") for name in names],
        "count": count,
        "others": count - len(names),
        "list_link": f"{settings.base_url}/user/{user.username}/followers",
        "unsubscribe_link": unsubscribe_link(settings, user.id, "new_follower", user.email),
    }
    return Draft("new_follower", user.email, values, user.id)
