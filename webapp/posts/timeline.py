"""Timelines: home, everybody's posts, one person's posts.

Pages are cut at a post's number, not after a count, so a page stays the same while new posts arrive.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from markupsafe import Markup
from sqlalchemy import Select, case, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts.models import User
from webapp.database import execute, execute_together, table
from webapp.people import blocks
from webapp.people.follows import ListedPerson
from webapp.posts import statements
from webapp.posts.models import Mention, Post
from webapp.posts.statements import Query
from webapp.posts.text import markup

LAST = 2**63 - 1  # no post has a higher number
MOST_QUOTED = 10  # in an email

_posts = table(Post)
_users = table(User)
_mentions = table(Mention)


@dataclass(frozen=True)
class Card:
    """A post as it is shown. `names` are the people it mentions, in lower case."""

    id: int
    author_id: int
    username: str
    is_public: bool
    body: str
    created_at: datetime
    picture: int = 0
    edited_at: datetime | None = None
    reply_to_id: int | None = None
    names: frozenset[str] = frozenset()

    @property
    def changed_at(self) -> datetime:
        return self.edited_at or self.created_at

    @property
    def markup(self) -> Markup:
        return markup(self.body, self.names)


@dataclass(frozen=True)
class Page:
    """Posts, newest first. The next page starts before the number `older`; None on the last page.

    Of replies, oldest first, it starts after that number.
    """

    cards: list[Card]
    older: int | None

    @property
    def newest(self) -> int:
        return self.cards[0].id if self.cards else 0


# Each page is for a viewer; None is a stranger. To strangers, who hides from them is as good as nobody; members don't
# see whom they have muted, and nobody sees whom they have blocked or who has blocked them: people/blocks.py.
async def home(db: AsyncSession, user_id: int, most: int, before: int = LAST) -> Page:
    """A person's own posts and those of the people they follow."""
    parameters = {"user_id": user_id, "before": before}
    return await _page(db, statements.home(_is_sqlite(db), most + 1), parameters, most, user_id)


async def explore(db: AsyncSession, most: int, before: int = LAST, *, viewer_id: int | None) -> Page:
    """Everybody's posts.

    Looks through MOST_SCANNED posts, however many of them are shown: there may be fewer than `most`, and older ones.
    """
    query = statements.earlier(most + 1, only_public=viewer_id is None)
    rows = (await execute(db, query, _of_viewer(viewer_id) | {"before": before})).all()
    page = of_rows(rows, most)
    if page.older is None:
        end = rows[0].floor if rows else (await execute(db, statements.FLOOR, {"before": before})).scalar_one()
        return replace(page, older=end + 1 if end > 0 else None)
    return page


async def of(
    db: AsyncSession,
    author_id: int,
    most: int,
    before: int = LAST,
    *,
    viewer_id: int | None,
    links_public: bool = False,
) -> Page:
    """One person's posts, by date, also if the viewer has muted them; with `links_public` no mention leads to somebody
    who hides from strangers.
    """
    query = statements.of(most + 1, is_first=before == LAST, only_public=viewer_id is None, links_public=links_public)
    return await _page(db, query, {"author_id": author_id, "before": before}, most, viewer_id)


async def one(db: AsyncSession, post_id: int, *, viewer_id: int | None) -> Card | None:
    """A single post, even of somebody who is muted; None if it can't be seen."""
    page = await _page(db, statements.one(only_public=viewer_id is None), {"post_id": post_id}, 1, viewer_id)
    return page.cards[0] if page.cards else None


async def about(db: AsyncSession, user_id: int, most: int, before: int, since: datetime) -> tuple[list[Card], Page]:
    """Others' posts that mention a person or reply to them: of one page, those that do so since a time, and the
    rest.
    """
    asked = statements.about(most + 1), statements.END_OF_MENTIONS
    rows, end = await execute_together(db, {"before": before} | _of_viewer(user_id), *asked)
    page, new = _until(end, of_rows(rows, most), 1), {row.id for row in rows if row.mentioned_at > since}
    older = [card for card in page.cards if card.id not in new]
    return [card for card in page.cards if card.id in new], replace(page, cards=older)


async def replies(db: AsyncSession, post_id: int, most: int, after: int, *, viewer_id: int | None) -> Page:
    """The replies under a post, oldest first."""
    asked = statements.replies(most + 1, only_public=viewer_id is None), statements.END_OF_REPLIES
    rows, end = await execute_together(db, {"post_id": post_id, "after": after} | _of_viewer(viewer_id), *asked)
    return _until(end, of_rows(rows, most), -1)


async def news_at_home(db: AsyncSession, user_id: int, after: int) -> int:
    """How many posts by people they follow are newer than a post, up to MOST_NEWS."""
    return await _number(db, statements.news_at_home(_is_sqlite(db)), {"user_id": user_id, "after": after})


async def news_to_explore(db: AsyncSession, user_id: int, after: int) -> int:
    """How many posts by everybody else are newer than a post, up to MOST_NEWS."""
    return await _number(db, statements.NEWS_TO_EXPLORE, {"user_id": user_id, "after": after})


class Told(NamedTuple):
    """A post that an email tells of: its author's username, its number and its text."""

    username: str
    id: int
    body: str


async def mentions(
    db: AsyncSession, user_id: int, start: datetime, end: datetime, *, newest_first: bool = False
) -> list[Told]:
    """Posts by others that mention a person, in that time. Only the first have their text: there may be thousands."""
    at_that_time = _mentions.c.created_at >= start, _mentions.c.created_at < end
    order = _posts.c.id.desc() if newest_first else _posts.c.id.asc()
    words = case((func.row_number().over(order_by=order) <= MOST_QUOTED, _posts.c.body), else_="")
    query = (
        select(_users.c.username, _posts.c.id, words)
        .join_from(_mentions, _posts, _mentions.c.post_id == _posts.c.id)
        .join(_users, _posts.c.author_id == _users.c.id)
        .where(_mentions.c.user_id == user_id, _mentions.c.ended_at.is_(None), *at_that_time)
        .where(*statements.shown(), statements.is_news(), _users.c.disabled_at.is_(None))
        .where(_posts.c.author_id != user_id, blocks.not_hidden("post.author_id"))
        .order_by(order)
    )
    return [Told(*row) for row in await execute(db, query, _of_viewer(user_id))]


async def people_to_follow(db: AsyncSession, user_id: int, most: int) -> list[ListedPerson]:
    """The people who posted most recently, for a newcomer to follow."""
    rows = (await execute(db, statements.WRITERS, {"user_id": user_id})).all()
    writers = {row.id: row for row in rows}  # each once, the last to post first
    return [ListedPerson(*row, is_followed=False) for row in list(writers.values())[:most]]


async def _page(
    db: AsyncSession, query: Query, parameters: Mapping[str, object], most: int, viewer_id: int | None
) -> Page:
    """One statement, however many posts; it finds one more than a page was asked for."""
    return of_rows((await execute(db, query, {**parameters, **_of_viewer(viewer_id)})).all(), most)


def _until(end: Sequence[Any], page: Page, step: int) -> Page:
    """The page, with the way on from where its statement stopped looking; see MOST_SCANNED."""
    return replace(page, older=end[0].id + step) if end and page.older is None else page


def _of_viewer(viewer_id: int | None) -> dict[str, object]:
    return {} if viewer_id is None else {"viewer_id": viewer_id}


def of_rows(rows: Sequence[Any], most: int) -> Page:
    """The page of what one of the statements has found: one more than `most` if there are more."""
    cards = [_card(row) for row in rows[:most]]
    return Page(cards, cards[-1].id if len(rows) > most else None)


def _card(row: Any) -> Card:
    first = row.id, row.author_id, row.username, row.is_public, row.body, row.created_at
    return Card(*first, row.picture, row.edited_at, row.reply_to_id, frozenset((row.names or "").split()))


async def _number(db: AsyncSession, query: Select[int], parameters: dict[str, int]) -> int:
    return (await execute(db, query, parameters)).scalar_one()


def _is_sqlite(db: AsyncSession) -> bool:
    return db.get_bind().dialect.name == "sqlite"
