"""The letter that tells of new followers: one for all who came within a minute."""

from datetime import datetime, timedelta
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import limits
from webapp.accounts import users
from webapp.accounts.letters import unsubscribe_link
from webapp.accounts.models import User
from webapp.limits import Rate, TooOften
from webapp.mail import writing
from webapp.mail.models import Claimed
from webapp.mail.writing import Draft, letter
from webapp.people import follows
from webapp.settings import Settings
from webapp.subscriptions import choices

GATHERED = timedelta(seconds=60)
# The clocks of two processes, or of a follow and its count, differ by less. Better named twice than not at all.
LEEWAY = timedelta(seconds=1)
NAMED = 10
LIVES = timedelta(days=2)


async def tell_of_follower(
    db: AsyncSession, settings: Settings, followed: User, follower_id: int, since: datetime
) -> None:
    """Posts the letter, in the transaction of the follow; unless one that covers it waits already.

    Who goes and comes back is told of once a day.
    """
    assert followed.id is not None
    try:
        await limits.count(db, settings, ("follower", f"{follower_id} {followed.id}", (Rate(1, 86400),)))
        await limits.count(db, settings, ("new_follower", str(followed.id), (Rate(1, int(GATHERED.total_seconds())),)))
    except TooOften:
        return
    await writing.post(
        db,
        settings,
        "new_follower",
        followed.email,
        user_id=followed.id,
        language=followed.locale,
        delay=GATHERED,
        since=since.isoformat(),
    )


def _samples(settings: Settings) -> list[Draft]:
    susan = User(id=0, username="susan", username_key="susan", email="susan@example.com", password_hash="")
    names = ["ann", "bob", "carl_the_second", "dora", "emil", "fay", "gus", "hanna", "ida", "jon"]
    return [_draft(settings, susan, names[:1], 1), _draft(settings, susan, names, 12)]


@letter("new_follower", lives=LIVES, samples=_samples, switch="A letter when somebody follows me", is_usual=False)
async def new_follower(db: AsyncSession, settings: Settings, letter: Claimed) -> Draft | None:
    """To a person whom somebody has begun to follow; to nobody if all of them have gone again."""
    assert letter.user_id is not None
    user = await users.get(db, letter.user_id)
    if user is None or user.disabled_at is not None or not await choices.wants(db, letter.user_id, letter.kind):
        return None
    since = datetime.fromisoformat(letter.parameters["since"])
    names = await follows.began_between(db, letter.user_id, since - LEEWAY, since + GATHERED + LEEWAY)
    return _draft(settings, user, names[:NAMED], len(names)) if names else None


def _draft(settings: Settings, user: User, names: list[str], count: int) -> Draft:
    assert user.id is not None
    unsubscribe = unsubscribe_link(settings, user.id, "new_follower")
    values: dict[str, Any] = {
        "username": user.username,
        "followers": [(name, f"{settings.base_url}/user/{name}") for name in names],
        "count": count,
        "others": count - len(names),
        "list_link": f"{settings.base_url}/user/{user.username}/followers",
        "unsubscribe_link": unsubscribe,
    }
    return Draft("new_follower", user.email, values, user.id, unsubscribe=unsubscribe)
