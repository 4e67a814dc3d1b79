"""Reports of posts, and how the admin settles them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Integer, Select, bindparam, func, select, text, update
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts.models import User
from webapp.database import execute, execute_together, now, table
from webapp.moderation.models import Report
from webapp.people import blocks
from webapp.posts.models import Post

MOST_SHOWN = 30  # posts on the admin's page, the longest waiting first
MOST_OPEN = 10  # reports of one person: the page would be full of one member's, and others' never reached
MOST_COMPLAINTS = 5  # shown for one post; the others are counted

_reports = table(Report)
_posts = table(Post)
_users = table(User)


class Outcome(StrEnum):
    """What the admin did about a report."""

    KEPT = "kept"
    REMOVED = "removed"
    DISABLED = "disabled"
    DELETED = "deleted"


@dataclass(frozen=True)
class Complaint:
    """Who reported a post, and why; and what it said then."""

    username: str
    reason: str
    created_at: datetime
    body: str


@dataclass(frozen=True)
class Case:
    """A post that may need a decision; `count` is how many open reports it has."""

    id: int
    author_id: int
    username: str
    email: str
    body: str
    created_at: datetime
    picture: int
    count: int
    complaints: Sequence[Complaint] = ()

    @property
    def others(self) -> int:
        """How many reports aren't shown."""
        return self.count - len(self.complaints)


async def file(db: AsyncSession, post_id: int, reporter_id: int, reason: str) -> bool:
    """Adds a report; False if this person has reported the post before."""
    row = {"post_id": post_id, "reporter_id": reporter_id, "reason": reason, "created_at": now()}
    return bool((await execute(db, _FILE, row)).rowcount)


async def has_filed(db: AsyncSession, post_id: int, reporter_id: int) -> bool:
    query = select(_reports.c.id).where(_reports.c.post_id == post_id, _reports.c.reporter_id == reporter_id)
    return (await execute(db, query)).first() is not None


async def open_of(db: AsyncSession, reporter_id: int) -> int:
    """How many reports of one person wait for a decision."""
    theirs = _reports.c.reporter_id == reporter_id, _reports.c.settled_at.is_(None)
    return (await execute(db, select(func.count()).where(*theirs))).scalar_one()


async def is_first(db: AsyncSession, post_id: int, reporter_id: int) -> bool:
    """Whether no other report of the post is open."""
    others = select(_reports.c.id).where(
        _reports.c.post_id == post_id, _reports.c.reporter_id != reporter_id, _reports.c.settled_at.is_(None)
    )
    return (await execute(db, others.limit(1))).first() is None


async def waiting(db: AsyncSession) -> list[Case]:
    """Reported posts waiting for a decision, in two statements and one trip however many there are."""
    rows, complained = await execute_together(db, {}, _WAITING, _COMPLAINTS)
    complaints: dict[int, list[Complaint]] = {}
    for post_id, username, reason, created_at, body in complained:
        complaints.setdefault(post_id, []).append(Complaint(username, reason, created_at, body))
    return [_case(row, complaints.get(row.id, ())) for row in rows]


async def case(db: AsyncSession, post_id: int, *, viewer_id: int | None) -> Case | None:
    """A post, reported or not; None if it is gone, its author is disabled, or a block hides it from the viewer.

    An admin who decides isn't a viewer: no block hides anything from them.
    """
    query = _ONE if viewer_id is None else _ONE.where(blocks.not_blocked("post.author_id"))
    parameters = {"post_id": post_id} if viewer_id is None else {"post_id": post_id, "viewer_id": viewer_id}
    row = (await execute(db, query, parameters)).first()
    return _case(row) if row else None


async def settle_post(db: AsyncSession, post_id: int, outcome: Outcome) -> int:
    """Closes the open reports of a post; returns how many."""
    return (await execute(db, _SETTLE.where(_reports.c.post_id == post_id).values(_now(outcome)))).rowcount


async def settle_author(db: AsyncSession, author_id: int, outcome: Outcome) -> int:
    """Closes the open reports of all of a person's posts; returns how many."""
    theirs = _reports.c.post_id.in_(select(_posts.c.id).where(_posts.c.author_id == author_id))
    return (await execute(db, _SETTLE.where(theirs).values(_now(outcome)))).rowcount


def _now(outcome: Outcome) -> dict[str, object]:
    return {"settled_at": now(), "outcome": outcome}


def _case(row: Any, complaints: Sequence[Complaint] = ()) -> Case:
    return Case(*(*row, complaints))


def _cases() -> Select[int, int, str, str, str, datetime, int, int]:
    """Visible posts, with the number of open reports of each."""
    is_open = (_reports.c.post_id == _posts.c.id) & _reports.c.settled_at.is_(None)
    return (
        select(
            _posts.c.id,
            _posts.c.author_id,
            _users.c.username,
            _users.c.email,
            _posts.c.body,
            _posts.c.created_at,
            _users.c.picture,
            func.count(_reports.c.id),
        )
        .join_from(_posts, _users, _users.c.id == _posts.c.author_id)
        .outerjoin(_reports, is_open)
        .where(_posts.c.deleted_at.is_(None), _posts.c.removed_at.is_(None), _users.c.disabled_at.is_(None))
        .group_by(_posts.c.id, _users.c.id)
    )


def _complaints() -> Select[int, str, str, datetime, str]:
    """The first few open reports of each post that waits."""
    place = func.row_number().over(partition_by=_reports.c.post_id, order_by=_reports.c.id).label("place")
    some = (
        select(*(_reports.c[name] for name in ("post_id", "reporter_id", "reason", "created_at", "body")), place)
        .where(_reports.c.settled_at.is_(None), _reports.c.post_id.in_(select(_WAITING.subquery().c.id)))
        .subquery()
    )
    return (
        select(some.c.post_id, _users.c.username, some.c.reason, some.c.created_at, some.c.body)
        .join_from(some, _users, _users.c.id == some.c.reporter_id)
        .where(some.c.place <= MOST_COMPLAINTS)
        .order_by(some.c.post_id, some.c.place)
    )


_ONE = _cases().where(_posts.c.id == bindparam("post_id", type_=BigInteger))
_WAITING = (
    _cases()
    .having(func.count(_reports.c.id) > 0)
    .where(_posts.c.id.in_(select(_reports.c.post_id).where(_reports.c.settled_at.is_(None))))
    .order_by(func.min(_reports.c.id))
    .limit(MOST_SHOWN)
)
_COMPLAINTS = _complaints()
_SETTLE = update(_reports).where(_reports.c.settled_at.is_(None))
# One report for each person and post: the primary key decides, not an earlier read. It keeps what the post says now.
_FILE = text(
    "INSERT INTO report (post_id, reporter_id, reason, created_at, outcome, body)"
    " SELECT id, :reporter_id, :reason, :created_at, '', body FROM post WHERE id = :post_id"
    " ON CONFLICT (post_id, reporter_id) DO NOTHING"
).bindparams(
    bindparam("post_id", type_=BigInteger),
    bindparam("reporter_id", type_=Integer),
    bindparam("created_at", type_=_reports.c.created_at.type),
)
