"""What happened on the site while a person was away."""

from dataclasses import dataclass
from datetime import timedelta

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts.models import User
from webapp.database import now
from webapp.people import follows
from webapp.posts import timeline
from webapp.posts.timeline import Told

AT_MOST_FROM = timedelta(days=7)
MOST_READ = 100  # posts by people they follow; beyond that it says "and more"


@dataclass(frozen=True)
class Missed:
    """Posts are newest first. None is in both lists."""

    mentions: list[Told]
    posts: list[Told]
    is_more: bool  # whether there are more posts; they aren't counted
    followers: list[str]

    def __bool__(self) -> bool:
        return bool(self.mentions or self.posts or self.followers)


async def by(db: AsyncSession, user: User) -> Missed:
    """What a person missed since their last visit, going back at most seven days."""
    end = now()
    since = max(user.last_seen_at or user.created_at, end - AT_MOST_FROM)
    mentions = await timeline.mentions(db, user.id, since, end, newest_first=True)
    page = await timeline.home(db, user.id, MOST_READ)
    fresh = [card for card in page.cards if card.created_at >= since]
    told = {post.id for post in mentions}
    untold = [card for card in fresh if card.author_id != user.id and card.id not in told]
    posts = [Told(card.username, card.id, card.body) for card in untold]
    is_more = page.older is not None and len(fresh) == MOST_READ
    return Missed(mentions, posts, is_more, await follows.began_between(db, user.id, since, end))
