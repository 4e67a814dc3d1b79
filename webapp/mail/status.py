"""What the host sees of the mail, and may do to it: the counts, the troubles, pause, resume, send again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from sqlalchemy import ColumnElement, delete, func, select, text, update
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import database
from webapp.database import now
from webapp.mail.models import DEAD, EXPIRED, READY, SENT, SUPPRESSED, Outcome
from webapp.mail.outbox import letters, refusals
from webapp.mail.outbox import status as statuses

GIVEN_UP = (DEAD, EXPIRED, SUPPRESSED)
KEPT = timedelta(days=30)
PURGED_AT_ONCE = 500
# A trouble that no mailer has seen again for so long is over, even if no letter has proved it since.
TROUBLE_LASTS = timedelta(minutes=5)


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
    connection = await db.connection()
    row = await _row(db)
    unfinished = select(func.count(), func.min(letters.c.created)).where(letters.c.finished.is_(None))
    waiting, oldest = (await connection.execute(unfinished)).one()
    given_up = await _count(db, letters.c.state.in_(GIVEN_UP))
    recent = (letters.c.state == SENT) & (letters.c.finished > now() - timedelta(hours=1))
    sent = await _count(db, recent)
    sample = select(letters.c.created, letters.c.finished).where(recent).order_by(letters.c.finished.desc()).limit(200)
    times = [(finished - created).total_seconds() for created, finished in await connection.execute(sample)]
    return Status(
        paused_at=row.get("paused_at"),
        trouble=_trouble(row),
        waiting=waiting,
        oldest_waiting=oldest,
        sent_last_hour=sent,
        median_seconds=median(times) if times else None,
        given_up=given_up,
    )


async def is_delayed(db: AsyncSession) -> bool:
    """Whether letters are not leaving at the moment: the one thing that visitors are told."""
    row = await _row(db)
    return row.get("paused_at") is not None or _trouble(row) is not None


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
    connection = await db.connection()
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
    return (await connection.execute(query.order_by(letters.c.finished.desc()).limit(most))).all()


async def send_again(db: AsyncSession, lives: dict[str, timedelta], letter_id: int | None = None) -> int:
    """Makes one given-up letter due again, or all of them, with its whole lifetime; returns how many.

    What the address was refused for is forgotten, so that it is really tried.
    """
    connection = await db.connection()
    moment = now()
    count = 0
    for kind, lifetime in lives.items():
        chosen = [letters.c.state.in_(GIVEN_UP), letters.c.kind == kind]
        if letter_id is not None:
            chosen.append(letters.c.id == letter_id)
        values = {"state": READY, "due": moment, "expires": moment + lifetime, "finished": None, "attempts": 0}
        again = await connection.execute(update(letters).where(*chosen).values(**values, crashes=0))
        count += again.rowcount
    if count:
        await connection.execute(delete(refusals))
        database.ring_after_commit(db)
    return count


async def purge(db: AsyncSession) -> int:
    """Deletes a few of the letters that were finished long ago; returns how many."""
    connection = await db.connection()
    old = select(letters.c.id).where(letters.c.finished < now() - KEPT).limit(PURGED_AT_ONCE)
    return (await connection.execute(delete(letters).where(letters.c.id.in_(old)))).rowcount


async def _set(db: AsyncSession, values: dict[str, Any]) -> None:
    connection = await db.connection()
    await connection.execute(text("INSERT INTO mail_status (id) VALUES (1) ON CONFLICT DO NOTHING"))
    await connection.execute(update(statuses).where(statuses.c.id == 1).values(**values))


async def _row(db: AsyncSession) -> dict[str, Any]:
    connection = await db.connection()
    row = (await connection.execute(select(statuses))).mappings().first()
    return dict(row or {})


async def _count(db: AsyncSession, condition: ColumnElement[bool]) -> int:
    connection = await db.connection()
    return (await connection.execute(select(func.count()).select_from(letters).where(condition))).scalar_one()


def _trouble(row: dict[str, Any]) -> Trouble | None:
    since = row.get("trouble_since")
    if since is None or now() - row["trouble_seen"] > TROUBLE_LASTS:
        return None
    return Trouble(since, row["trouble_code"], row["trouble_reason"] or "")
