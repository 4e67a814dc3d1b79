"""The email itself. It shows the posts themselves, without their links."""

from datetime import timedelta
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts.models import User
from webapp.authentication.emails import a_sample_person
from webapp.digests import missed
from webapp.digests.missed import Missed
from webapp.i18n import N_
from webapp.mail.kinds import Draft, email_kind
from webapp.mail.models import Claimed, Priority
from webapp.notifications.switches import reader, unsubscribe_link
from webapp.posts.emails import quotes
from webapp.posts.timeline import Told
from webapp.settings import Settings

KIND = "digest"
EXPIRES_AFTER = timedelta(days=1)  # after that, the next digest is better
LINKED = 10
MENTIONS_LINKED = 5
FOLLOWERS_NAMED = 5


def _samples(settings: Settings) -> list[Draft]:
    susan = a_sample_person()
    some = [
        Told("ann", 9, "The first tomatoes are ripe, @susan!"),
        Told("carl_the_second", 8, "Rain at last, @susan.\nMore of it: https://weather.example/"),
        Told("ann", 7, "@susan, have you seen my watering can?"),
    ]
    return [
        _draft(settings, susan, Missed(some * 3, some * 5, True, ["bob", "dora", "emil", "fay", "gus", "ida", "jon"])),
        _draft(settings, susan, Missed([], some[:1], False, [])),
        _draft(settings, susan, Missed(some[:1], [], False, ["bob"])),
    ]


@email_kind(
    KIND,
    expires_after=EXPIRES_AFTER,
    samples=_samples,
    label=N_("Once a week, what you missed"),
    default_on=False,
    priority=Priority.CAN_WAIT,
)
async def digest(db: AsyncSession, settings: Settings, email: Claimed) -> Draft | None:
    """To a person who missed something. Not sent if there is nothing to tell, or they have come back meanwhile."""
    user = await reader(db, email)
    what = await missed.by(db, user) if user else None
    return _draft(settings, user, what) if user and what else None


def _draft(settings: Settings, user: User, what: Missed) -> Draft:
    mentions = what.mentions[:MENTIONS_LINKED]
    posts = what.posts[: LINKED - len(mentions)]
    values: dict[str, Any] = {
        "username": user.username,
        "mentions": quotes(settings, mentions),
        "mention_count": len(what.mentions),
        "posts": quotes(settings, posts),
        "post_count": len(what.posts),
        "is_more": what.is_more,
        "followers": what.followers[-FOLLOWERS_NAMED:][::-1],
        "follower_count": len(what.followers),
        "home_link": f"{settings.base_url}/",
        "unsubscribe_link": unsubscribe_link(settings, user.id, KIND, user.email),
    }
    return Draft(KIND, user.email, values, user.id)
