"""Follow, unfollow, and who follows whom."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from sqlalchemy import ColumnElement, Integer, Select, and_, bindparam, delete, func, or_, select, text
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts.models import User
from webapp.database import LAST_ID, execute, now, table
from webapp.names.identities import USERNAME
from webapp.people import blocks
from webapp.people.blocks import Relation
from webapp.people.models import Follow

PAGE = 30
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Rows = Select[int, str, str, int, datetime, bool]

_follows = table(Follow)
_users = table(User)


@dataclass(frozen=True)
class Key:
    """Where a page of people ends and the next one starts, whoever comes or goes meanwhile."""

    created_at: datetime
    id: int

    def __str__(self) -> str:
        return f"{(self.created_at - _EPOCH) // timedelta(microseconds=1)}-{self.id}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Reads a key from an address; None if it isn't one."""
        microseconds, _dash, number = text.partition("-")
        if not all(part.isascii() and part.isdecimal() and len(part) < 17 for part in (microseconds, number)):
            return None
        if int(number) > LAST_ID:
            return None
        return cls(_EPOCH + timedelta(microseconds=int(microseconds)), int(number))


@dataclass(frozen=True)
class ListedPerson:
    """Somebody in a list of followers, as the person looking at it sees them."""

    id: int
    username: str
    about_me: str
    picture: int
    created_at: datetime
    is_followed: bool

    @property
    def key(self) -> Key:
        return Key(self.created_at, self.id)


@dataclass(frozen=True)
class Counts:
    followers: int
    following: int


@dataclass(frozen=True)
class Seen:
    """A person as the one looking at their page sees them."""

    person: User
    counts: Counts
    relation: Relation


async def follow(
    db: AsyncSession, follower_id: int, followed_id: int, since: datetime | None = None
) -> datetime | None:
    """Makes one person follow another, from now on or since a given time. Returns that time if it is new.

    None if they already did, or can't: nobody follows themselves, a disabled account, or somebody a block parts them
    from.
    """
    await blocks.hold_pair(db, follower_id, followed_id)
    parameters = {"follower_id": follower_id, "followed_id": followed_id, "created_at": (created_at := since or now())}
    added = await execute(db, _FOLLOW, parameters)
    return created_at if added.rowcount else None


async def follow_all(db: AsyncSession, pairs: Sequence[tuple[int, int, datetime]]) -> None:
    """Makes many follow others, each since a given time: (follower, followed, time). Existing follows stay."""
    names = ("follower_id", "followed_id", "created_at")
    await execute(db, _FOLLOW, [dict(zip(names, pair, strict=True)) for pair in pairs])


async def unfollow(db: AsyncSession, follower_id: int, followed_id: int) -> bool:
    """Stops following; returns whether there was anything to stop."""
    pair = (_follows.c.follower_id == follower_id, _follows.c.followed_id == followed_id)
    return bool((await execute(db, delete(_follows).where(*pair))).rowcount)


async def counts(db: AsyncSession, user_id: int, viewer_id: int) -> Counts:
    """How many people follow a person, and how many they follow, counting those whom the viewer can see in the
    lists.
    """
    return Counts(*(await execute(db, _COUNTS, {"user_id": user_id, "viewer_id": viewer_id})).one())


async def seen(db: AsyncSession, name: str, viewer_id: int) -> Seen | None:
    """The person with the username in a path, as a viewer sees them; a stranger's number is 0. All in one trip."""
    parameters = {"name": name.lower(), "viewer_id": viewer_id}
    found = (await db.exec(_SEEN, params=parameters)).first() if USERNAME.fullmatch(name) else None
    return Seen(found[0], Counts(found[1], found[2]), Relation(*map(bool, found[3:]))) if found else None


async def followers(db: AsyncSession, user_id: int, viewer_id: int, after: Key | None = None) -> list[ListedPerson]:
    """Who follows a person, newest first: a page, plus one if there are more."""
    query = _people(_follows.c.follower_id).where(_follows.c.followed_id == user_id)
    return await _page(db, query, viewer_id, after)


async def following(db: AsyncSession, user_id: int, viewer_id: int, after: Key | None = None) -> list[ListedPerson]:
    """The people a person follows, in the same way."""
    query = _people(_follows.c.followed_id).where(_follows.c.follower_id == user_id)
    return await _page(db, query, viewer_id, after)


async def began_between(db: AsyncSession, user_id: int, start: datetime, end: datetime) -> list[str]:
    """The usernames of those who began to follow a person in that time and still do, in that order."""
    begun = (_follows.c.followed_id == user_id, _follows.c.created_at >= start, _follows.c.created_at < end)
    query = select(_users.c.username).join_from(_follows, _users, _users.c.id == _follows.c.follower_id)
    in_order = query.where(*begun, _users.c.disabled_at.is_(None)).order_by(_follows.c.created_at, _users.c.id)
    seen = in_order.where(blocks.not_hidden("follow.follower_id"))
    return list((await execute(db, seen, {"viewer_id": user_id})).scalars())


async def _page(db: AsyncSession, query: Rows, viewer_id: int, after: Key | None) -> list[ListedPerson]:
    created_at, number = _follows.c.created_at, _users.c.id
    if after:
        query = query.where(or_(created_at < after.created_at, and_(created_at == after.created_at, number < after.id)))
    query = query.where(blocks.not_hidden("user_account.id")).order_by(created_at.desc(), number.desc())
    rows = await execute(db, query.limit(PAGE + 1), {"viewer_id": viewer_id})
    return [ListedPerson(*row) for row in rows]


def _people(who: ColumnElement[int]) -> Rows:
    is_followed = blocks.relation_to(_users.c.id)[0]
    return (
        select(_users.c.id, _users.c.username, _users.c.about_me, _users.c.picture, _follows.c.created_at, is_followed)
        .join_from(_follows, _users, _users.c.id == who)
        .where(_users.c.disabled_at.is_(None))
    )


Number = ColumnElement[int]


def _counts_of(whose: Number) -> tuple[Number, Number]:
    followers = _count(_follows.c.followed_id == whose, _follows.c.follower_id)
    return followers, _count(_follows.c.follower_id == whose, _follows.c.followed_id)


def _count(which: ColumnElement[bool], other: Number) -> Number:
    """All of them, minus the few the viewer doesn't see, so that no list has to be read through."""
    people, hidden = _users.alias(), blocks.HIDDEN_PEOPLE.subquery()
    theirs = which, people.c.disabled_at.is_(None)
    counted = select(func.count()).join_from(_follows, people, people.c.id == other).where(*theirs)
    unseen = select(func.count()).join_from(hidden, _follows, other == hidden.c.id).join(people, people.c.id == other)
    return counted.scalar_subquery() - unseen.where(*theirs).scalar_subquery()


_COUNTS = select(*_counts_of(bindparam("user_id", type_=Integer)))
_SEEN: Any = select(User, *_counts_of(_users.c.id), *blocks.relation_to(_users.c.id)).where(
    _users.c.username_key == bindparam("name")
)
# Two at the same moment count once: the primary key decides, not an earlier read.
_ADD = """
    INSERT INTO follow (follower_id, followed_id, created_at)
    SELECT :follower_id, id, :created_at FROM user_account
    WHERE id = :followed_id AND id <> :follower_id AND disabled_at IS NULL AND {not_blocked}
    ON CONFLICT (follower_id, followed_id) DO NOTHING
"""
_FOLLOW = text(_ADD.format(not_blocked=blocks.not_blocked("user_account.id", ":follower_id").text)).bindparams(
    bindparam("follower_id", type_=Integer),
    bindparam("followed_id", type_=Integer),
    bindparam("created_at", type_=_follows.c.created_at.type),
)
