"""What the host sees of the mail, and may do to it: the counts, the troubles, pause, resume, send again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from sqlalchemy import ColumnElement, bindparam, delete, func, select, text, update
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import database
from webapp.database import execute, now
from webapp.database.hot import Prepared
from webapp.mail import refusals
from webapp.mail.models import DEAD, EXPIRED, LEASED, READY, SENT, SUPPRESSED, Claimed, Outcome
from webapp.mail.outbox import TROUBLE_LASTS, letters
from webapp.mail.outbox import status as statuses

GIVEN_UP = (DEAD, EXPIRED, SUPPRESSED)
KEPT = timedelta(days=30)
PURGED_AT_ONCE = 500


@dataclass(frozen=True)
class Trouble:
    """Why the mail server can't be used, in its own words, and since when."""

    since: datetime
    code: int | None
    reason: str


@dataclass(frozen=True)
class Status:
    """The mail at one moment. `median_seconds` is from posting to sending, over the last hour's letters."""

    paused_at: datetime | None
    trouble: Trouble | None
    waiting: int
    oldest_waiting: datetime | None
    sent_last_hour: int
    median_seconds: float | None
    given_up: int


async def read(db: AsyncSession) -> Status:
    row = await _row(db)
    unfinished = select(func.count(), func.min(letters.c.created)).where(letters.c.finished.is_(None))
    waiting, oldest = (await execute(db, unfinished)).one()
    given_up = await _count(db, letters.c.state.in_(GIVEN_UP))
    recent = (letters.c.state == SENT) & (letters.c.finished > now() - timedelta(hours=1))
    sent = await _count(db, recent)
    sample = select(letters.c.created, letters.c.finished).where(recent).order_by(letters.c.finished.desc()).limit(200)
    times = [(finished - created).total_seconds() for created, finished in await execute(db, sample)]
    return Status(
        paused_at=row.get("paused_at"),
        trouble=_trouble(row),
        waiting=waiting,
        oldest_waiting=oldest,
        sent_last_hour=sent,
        median_seconds=median(times) if times else None,
        given_up=given_up,
    )


async def spent(db: AsyncSession, since: datetime) -> int:
    """How many letters were sent since then, or are in some mailer's hand."""
    sent = select(func.count()).where(letters.c.finished > since, letters.c.state == SENT)
    in_hand = letters.c.finished.is_(None), letters.c.due > now(), letters.c.state == LEASED
    leased = select(func.count()).where(*in_hand)
    query = select(sent.scalar_subquery() + leased.scalar_subquery())
    return int((await execute(db, query)).scalar_one())


async def oldest_waiting(db: AsyncSession) -> datetime | None:
    """When the oldest letter was posted that has neither been sent nor given up."""
    query = select(func.min(letters.c.created)).where(letters.c.finished.is_(None))
    oldest: datetime | None = (await execute(db, query)).scalar_one()
    return oldest


async def note_trouble(db: AsyncSession, since: datetime | None, outcome: Outcome) -> None:
    """Tells all processes that the mail server can't be used since then; or, with None, that it can again."""
    code, reason = (outcome.code, outcome.reason[:300]) if since else (None, None)
    values = {"trouble_since": since, "trouble_seen": now(), "trouble_code": code, "trouble_reason": reason}
    await _set(db, values)


async def pause(db: AsyncSession) -> None:
    """Letters wait until `resume`; new ones are still taken."""
    await _set(db, {"paused_at": now()})


async def resume(db: AsyncSession) -> None:
    await _set(db, {"paused_at": None})
    database.ring_after_commit(db)


async def given_up(db: AsyncSession, most: int = 50) -> Sequence[Any]:
    """The letters that were given up, newest first: id, kind, recipient, state, code, reason, created, finished."""
    query = select(
        letters.c.id,
        letters.c.kind,
        letters.c.recipient,
        letters.c.state,
        letters.c.code,
        letters.c.reason,
        letters.c.attempts,
        letters.c.created,
        letters.c.finished,
    ).where(letters.c.state.in_(GIVEN_UP))
    return (await execute(db, query.order_by(letters.c.finished.desc()).limit(most))).all()


async def sent_to(db: AsyncSession, user_id: int, kind: str, since: datetime, before: Claimed) -> int:
    """How many letters of a kind went, or are about to go, to a person before this one."""
    [(count,)] = await _SENT_TO.rows(db, {"owner": user_id, "kind": kind, "since": since, "before": before.id})
    return int(count)


async def send_again(db: AsyncSession, lives: dict[str, timedelta], letter_id: int | None = None) -> int:
    """Makes one given-up letter due again, or all of them, with its whole lifetime; returns how many.

    What the address was refused for is forgotten, so that it is really tried.
    """
    moment = now()
    count = 0
    for kind, lifetime in lives.items():
        chosen = [letters.c.state.in_(GIVEN_UP), letters.c.kind == kind]
        if letter_id is not None:
            chosen.append(letters.c.id == letter_id)
        values = {"state": READY, "due": moment, "expires": moment + lifetime, "finished": None, "attempts": 0}
        again = await execute(db, update(letters).where(*chosen).values(**values, crashes=0))
        count += again.rowcount
    if count:
        await refusals.forget(db)
        database.ring_after_commit(db)
    return count


async def purge(db: AsyncSession) -> int:
    """Deletes a few of the letters that were finished long ago; returns how many."""
    old = select(letters.c.id).where(letters.c.finished < now() - KEPT).limit(PURGED_AT_ONCE)
    return (await execute(db, delete(letters).where(letters.c.id.in_(old)))).rowcount


async def _set(db: AsyncSession, values: dict[str, Any]) -> None:
    await execute(db, text("INSERT INTO mail_status (id) VALUES (1) ON CONFLICT DO NOTHING"))
    await execute(db, update(statuses).where(statuses.c.id == 1).values(**values))


async def _row(db: AsyncSession) -> dict[str, Any]:
    row = (await execute(db, select(statuses))).mappings().first()
    return dict(row or {})


async def _count(db: AsyncSession, condition: ColumnElement[bool]) -> int:
    return (await execute(db, select(func.count()).select_from(letters).where(condition))).scalar_one()


def _trouble(row: dict[str, Any]) -> Trouble | None:
    since = row.get("trouble_since")
    if since is None or now() - row["trouble_seen"] > TROUBLE_LASTS:
        return None
    return Trouble(since, row["trouble_code"], row["trouble_reason"] or "")


_SENT_TO = Prepared(
    select(func.count()).where(
        letters.c.user_id == bindparam("owner"),
        letters.c.kind == bindparam("kind"),
        letters.c.created > bindparam("since"),
        letters.c.id < bindparam("before"),
    )
)
