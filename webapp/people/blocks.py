"""Mute and block, and who is therefore hidden from whom.

Muting leaves somebody out wherever the site itself brings up people and posts: timelines, lists, searches, replies,
mentions, emails. Their page, and each of their posts, can still be opened. A block hides two people from each other
everywhere, and to the one who was blocked, the other might as well not exist.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Integer, Select, Table, TextClause, bindparam, delete, func, or_, select, text
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts.models import User
from webapp.database import execute, now, table
from webapp.people.models import Block, Follow, Mute

MOST_LISTED = 200

_users, _follows = table(User), table(Follow)
_mutes, _blocks = table(Mute), table(Block)

# Never a join, because a planner may then read all blocks. Each of the three looks up a primary key.
_BLOCKED = """
    SELECT 1 FROM block WHERE block.blocker_id = {viewer} AND block.blocked_id = {person}
    UNION ALL SELECT 1 FROM block WHERE block.blocker_id = {person} AND block.blocked_id = {viewer}
"""
_MUTED = "SELECT 1 FROM mute WHERE mute.muter_id = {viewer} AND mute.muted_id = {person}"
_HIDDEN = f"{_MUTED} UNION ALL {_BLOCKED}"
# The people a viewer doesn't see, to be subtracted from a count.
HIDDEN_PEOPLE = (
    text(
        "SELECT muted_id AS id FROM mute WHERE muter_id = :viewer_id"
        " UNION SELECT blocked_id FROM block WHERE blocker_id = :viewer_id"
        " UNION SELECT blocker_id FROM block WHERE blocked_id = :viewer_id"
    )
    .bindparams(bindparam("viewer_id", type_=Integer))
    .columns(id=Integer)
)


def not_hidden(person: str, viewer: str = ":viewer_id") -> TextClause:
    """A condition for statements: the viewer has not muted the person, and neither has blocked the other.

    Both are what the statement calls the numbers of their accounts: a column, or a parameter with a colon.
    """
    return _condition(_HIDDEN, person, viewer)


def not_blocked(person: str, viewer: str = ":viewer_id") -> TextClause:
    """The same for blocks alone: for pages that people open on purpose."""
    return _condition(_BLOCKED, person, viewer)


def _condition(rows: str, person: str, viewer: str) -> TextClause:
    condition = text(f"NOT EXISTS ({rows.format(person=person, viewer=viewer)})")
    parameters = [each[1:] for each in (person, viewer) if each.startswith(":")]
    return condition.bindparams(*(bindparam(name, type_=Integer) for name in parameters))


@dataclass(frozen=True)
class Relation:
    """What somebody has done about another person, and whether that person has blocked them."""

    is_followed: bool = False
    is_muted: bool = False
    is_blocked: bool = False
    is_blocked_by: bool = False

    @property
    def has_block(self) -> bool:
        return self.is_blocked or self.is_blocked_by

    @property
    def is_gone(self) -> bool:
        """Whether the person seems not to exist for the viewer. Not if the viewer has blocked them, too: then nothing
        gives it away.
        """
        return self.is_blocked_by and not self.is_blocked


@dataclass(frozen=True)
class Listed:
    """Somebody who was muted or blocked."""

    id: int
    username: str
    picture: int
    since: datetime


async def relation(db: AsyncSession, viewer_id: int, person_id: int) -> Relation:
    row = (await execute(db, _RELATION, {"viewer_id": viewer_id, "person_id": person_id})).one()
    return Relation(*(bool(value) for value in row))


async def hidden(db: AsyncSession, viewer_id: int, names: Collection[str]) -> set[str]:
    """Which of these usernames, in lower case, belong to people the viewer doesn't see."""
    seen = select(_users.c.username_key).where(_users.c.username_key.in_(names), not_hidden("user_account.id"))
    return set(names) - set((await execute(db, seen, {"viewer_id": viewer_id})).scalars())


async def mute(db: AsyncSession, muter_id: int, muted_id: int) -> None:
    """Mutes a person. A second time changes nothing."""
    await execute(db, _MUTE, {"one": muter_id, "other": muted_id, "moment": now()})


async def unmute(db: AsyncSession, muter_id: int, muted_id: int) -> None:
    pair = _mutes.c.muter_id == muter_id, _mutes.c.muted_id == muted_id
    await execute(db, delete(_mutes).where(*pair))


async def block(db: AsyncSession, blocker_id: int, blocked_id: int) -> None:
    """Blocks a person, and ends the follows between the two. A second time changes nothing."""
    await hold_pair(db, blocker_id, blocked_id)
    await execute(db, _BLOCK, {"one": blocker_id, "other": blocked_id, "moment": now()})
    await _end_follows(db, blocker_id, blocked_id)


async def unblock(db: AsyncSession, blocker_id: int, blocked_id: int) -> None:
    """Ends a block. The follows that it ended don't come back."""
    pair = _blocks.c.blocker_id == blocker_id, _blocks.c.blocked_id == blocked_id
    await execute(db, delete(_blocks).where(*pair))


async def hold_pair(db: AsyncSession, one: int, other: int) -> None:
    """Lets two people follow and block each other in turn, until the transaction ends: PostgreSQL shows neither what
    the other has yet to commit, so a follow and a block would both stand. SQLite has one writer anyway.
    """
    if db.get_bind().dialect.name == "postgresql":
        await execute(db, select(func.pg_advisory_xact_lock(min(one, other), max(one, other))))


async def muted(db: AsyncSession, user_id: int) -> Sequence[Listed]:
    """The people somebody has muted, latest first, without those hidden by a block: at most MOST_LISTED, plus one if
    there are more.
    """
    query = _listed(_mutes.c.muter_id, _mutes.c.muted_id, _mutes.c.created_at).where(not_blocked("user_account.id"))
    return [Listed(*row) for row in await execute(db, query, {"viewer_id": user_id})]


async def blocked(db: AsyncSession, user_id: int) -> Sequence[Listed]:
    """The people somebody has blocked, in the same way."""
    query = _listed(_blocks.c.blocker_id, _blocks.c.blocked_id, _blocks.c.created_at)
    return [Listed(*row) for row in await execute(db, query, {"viewer_id": user_id})]


def _listed(
    whose: ColumnElement[int], person: ColumnElement[int], since: ColumnElement[datetime]
) -> Select[int, str, int, datetime]:
    query = select(_users.c.id, _users.c.username, _users.c.picture, since)
    theirs = query.where(whose == bindparam("viewer_id"), _users.c.id == person, _users.c.disabled_at.is_(None))
    return theirs.order_by(since.desc(), _users.c.id.desc()).limit(MOST_LISTED + 1)


async def _end_follows(db: AsyncSession, one: int, other: int) -> None:
    there = (_follows.c.follower_id == one) & (_follows.c.followed_id == other)
    back = (_follows.c.follower_id == other) & (_follows.c.followed_id == one)
    await execute(db, delete(_follows).where(or_(there, back)))


def relation_to(person_id: ColumnElement[int]) -> tuple[ColumnElement[bool], ...]:
    """The columns of the viewer's relation, for a statement that finds the person."""
    viewer_id = bindparam("viewer_id", type_=Integer)
    return (
        _is_there(_follows, viewer_id, person_id),
        _is_there(_mutes, viewer_id, person_id),
        _is_there(_blocks, viewer_id, person_id),
        _is_there(_blocks, person_id, viewer_id),
    )


def _is_there(pairs: Table, one: ColumnElement[int], other: ColumnElement[int]) -> ColumnElement[bool]:
    """Whether there is such a pair: the columns of each such table begin with who does it, and to whom."""
    mine = pairs.alias()
    who, whom = list(mine.columns)[:2]
    return select(who).where(who == one, whom == other).exists()


_RELATION = select(*relation_to(bindparam("person_id", type_=Integer)))
# Two at the same moment count once, and nobody can do it to themselves.
_ADD = """
    INSERT INTO {pairs} ({one}, {other}, created_at)
    SELECT :one, id, :moment FROM user_account WHERE id = :other AND id <> :one
    ON CONFLICT ({one}, {other}) DO NOTHING
"""
_NEW = (
    bindparam("one", type_=Integer),
    bindparam("other", type_=Integer),
    bindparam("moment", type_=_mutes.c.created_at.type),
)
_MUTE = text(_ADD.format(pairs="mute", one="muter_id", other="muted_id")).bindparams(*_NEW)
_BLOCK = text(_ADD.format(pairs="block", one="blocker_id", other="blocked_id")).bindparams(*_NEW)
