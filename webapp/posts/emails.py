"""The email about mentions: one for all within a minute. It shows the posts themselves, without their links."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts.models import User
from webapp.authentication.emails import a_sample_person
from webapp.i18n import N_
from webapp.mail.kinds import Draft, email_kind
from webapp.mail.models import Claimed, Priority
from webapp.notifications import batching
from webapp.notifications.switches import reader, unsubscribe_link
from webapp.posts import timeline
from webapp.posts.timeline import Told
from webapp.settings import Settings
from webapp.web.words import without_links

EXPIRES_AFTER = timedelta(days=2)


def _samples(settings: Settings) -> list[Draft]:
    susan = a_sample_person()
    posts = [
        Told("john", 7, "@susan, your tomatoes are ripe!\nI've watered them."),
        Told("ann_the_second", 8, "Look what @susan grew: https://tomatoes.example/"),
        Told("john", 9, "Thanks, @susan."),
    ]
    return [_draft(settings, susan, posts[:1]), _draft(settings, susan, posts * 4)]


@email_kind(
    "mention", expires_after=EXPIRES_AFTER, samples=_samples, label=N_("Mentions of you"), priority=Priority.CAN_WAIT
)
async def mention(db: AsyncSession, settings: Settings, email: Claimed) -> Draft | None:
    """To a person whom others have mentioned. Not sent if those posts are gone."""
    user = await reader(db, email)
    if user is None:
        return None
    posts = await timeline.mentions(db, user.id, *batching.period(email))
    return _draft(settings, user, posts) if posts else None


def _draft(settings: Settings, user: User, posts: list[Told]) -> Draft:
    shown = quotes(settings, posts[: timeline.MOST_QUOTED])
    values: dict[str, Any] = {
        "username": user.username,
        "posts": shown,
        "count": len(posts),
        "others": len(posts) - len(shown),
        "unsubscribe_link": unsubscribe_link(settings, user.id, "mention", user.email),
    }
    return Draft("mention", user.email, values, user.id)


def quotes(settings: Settings, posts: Sequence[Told]) -> list[tuple[str, str, str]]:
    """Of each post its author's username, where it stands, and its words."""
    base = f"{settings.base_url}/user"
    return [(name, f"{base}/{name}/{post_id}", without_links(body)) for name, post_id, body in posts]
