"""The letter that tells of mentions: one for all within a minute.

It quotes nobody: what a stranger wrote shall not arrive as this site's mail, with a link in it.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts import users
from webapp.accounts.letters import unsubscribe_link
from webapp.accounts.models import User
from webapp.mail.models import Claimed
from webapp.mail.writing import Draft, letter
from webapp.posts import timeline
from webapp.posts.posts import TOLD_ONCE_IN
from webapp.settings import Settings
from webapp.subscriptions import choices

# A post and its count look at the clock one after the other. Better told of twice than not at all.
LEEWAY = timedelta(seconds=1)
LINKED = 10
LIVES = timedelta(days=2)


def _samples(settings: Settings) -> list[Draft]:
    susan = User(id=0, username="susan", username_key="susan", email="susan@example.com", password_hash="")
    posts = [("john", 7), ("ann_the_second", 8), ("john", 9)]
    return [_draft(settings, susan, posts[:1]), _draft(settings, susan, posts * 4)]


@letter("mention", lives=LIVES, samples=_samples, switch="A letter when somebody mentions me")
async def mention(db: AsyncSession, settings: Settings, letter: Claimed) -> Draft | None:
    """To a person whom others have mentioned; to nobody if what they wrote is gone again."""
    assert letter.user_id is not None
    user = await users.get(db, letter.user_id)
    if user is None or user.disabled_at is not None or not await choices.wants(db, letter.user_id, letter.kind):
        return None
    since = datetime.fromisoformat(letter.parameters["since"])
    posts = await timeline.mentions(db, letter.user_id, since - LEEWAY, since + TOLD_ONCE_IN + LEEWAY)
    return _draft(settings, user, posts) if posts else None


def _draft(settings: Settings, user: User, posts: list[tuple[str, int]]) -> Draft:
    assert user.id is not None
    unsubscribe = unsubscribe_link(settings, user.id, "mention")
    links = [(name, f"{settings.base_url}/user/{name}/{post_id}") for name, post_id in posts[:LINKED]]
    values: dict[str, Any] = {
        "username": user.username,
        "posts": links,
        "count": len(posts),
        "others": len(posts) - len(links),
        "unsubscribe_link": unsubscribe,
    }
    return Draft("mention", user.email, values, user.id, unsubscribe=unsubscribe)
