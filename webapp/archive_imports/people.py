"""The people of an archive whom its owner followed, muted and blocked, as far as they are here now."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Integer, Table, bindparam, select, text
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts.models import User
from webapp.database import execute, now, table
from webapp.names.usernames import KeptUsername
from webapp.people import blocks, follows
from webapp.people.models import Block, Follow, Mute

AT_ONCE = 400  # names in a statement
_users, _kept = table(User), table(KeptUsername)


class PeopleList(NamedTuple):
    """Where such pairs are stored, and what adds one; adding it twice changes nothing."""

    pairs: Table
    add: Callable[[AsyncSession, int, int], Awaitable[Any]]


class Plan(NamedTuple):
    """What to do about a list: the ids of those to add, how many are already there, and the names that nobody has.

    Its owner is none of these.
    """

    new: Sequence[int]
    already: int
    unknown: Sequence[str]


KINDS = {
    "following": PeopleList(table(Follow), follows.follow),
    "muted": PeopleList(table(Mute), blocks.mute),
    "blocked": PeopleList(table(Block), blocks.block),
}
# To a blocked person, the other seems not to exist. Nobody can follow or mute somebody they have blocked.
_NOT_BLOCKED_BY = text(
    "NOT EXISTS (SELECT 1 FROM block WHERE block.blocker_id = user_account.id AND block.blocked_id = :viewer_id)"
).bindparams(bindparam("viewer_id", type_=Integer))
_REACHABLE = {"following": blocks.not_blocked("user_account.id"), "muted": blocks.not_blocked("user_account.id")}


async def plan(db: AsyncSession, user_id: int, kind: str, names: Sequence[str]) -> Plan:
    typed = {name.lower(): name for name in names}
    keys, known = list(typed), dict[str, int]()
    for start in range(0, len(keys), AT_ONCE):
        known |= await _known(db, user_id, kind, keys[start : start + AT_ONCE])
    who, whom = list(KINDS[kind].pairs.columns)[:2]
    there = set((await execute(db, select(whom).where(who == user_id))).scalars()) if known else set()
    found = dict.fromkeys(number for number in known.values() if number != user_id)
    new = [number for number in found if number not in there]
    return Plan(new, len(found) - len(new), [name for key, name in typed.items() if key not in known])


async def add(db: AsyncSession, user_id: int, kind: str, numbers: Sequence[int]) -> None:
    """Adds them, always in the same order: three who import each other at once don't wait for each other's locks."""
    for number in sorted(numbers):
        await KINDS[kind].add(db, user_id, number)


async def _known(db: AsyncSession, user_id: int, kind: str, keys: Sequence[str]) -> dict[str, int]:
    """Who is known by these names, or was until a short while ago: a new name is no way out of a block."""
    here = _users.c.disabled_at.is_(None), _REACHABLE.get(kind, _NOT_BLOCKED_BY)
    named = select(_users.c.username_key, _users.c.id).where(_users.c.username_key.in_(keys), *here)
    renamed = select(_kept.c.username_key, _users.c.id).join_from(_kept, _users, _users.c.id == _kept.c.user_id)
    renamed = renamed.where(_kept.c.username_key.in_(keys), _kept.c.kept_until > now(), *here)
    found = await execute(db, renamed, {"viewer_id": user_id}), await execute(db, named, {"viewer_id": user_id})
    return {key: number for rows in found for key, number in rows}
