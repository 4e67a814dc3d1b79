"""Exports as rows: asked for, claimed, made piece by piece, handed over. Knows nothing of zip files."""

import itertools
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, Table, Update, delete, exists, insert, or_, select, update
from sqlmodel import col
from sqlmodel import select as select_rows
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts.models import Session, User
from webapp.archives.models import READY, WAITING, AccountExport, ExportChunk
from webapp.database import CLOCKS_DIFFER, Database, execute, now, table

KEPT = timedelta(hours=24)
WAITS = timedelta(days=3)  # for a process to make it
LEASE = timedelta(seconds=60)
LATE_AFTER = timedelta(minutes=2)

_exports, _chunks, _users, _sessions = table(AccountExport), table(ExportChunk), table(User), table(Session)


class Lease(NamedTuple):
    """A lease on an export that one process is making, or on an upload that it is importing."""

    id: int
    user_id: int
    fence: int


class LeaseLost(Exception):
    """Another process has it now, or it or its owner's account is gone."""


class CutOff(Exception):
    """The session that downloads the file has ended, or the file is gone."""


class Queue:
    """Exports, or uploads, that wait for a process: one leases each of them. `is_live` joins them to their owners'
    accounts, and `claimed` is what a claim sets.
    """

    def __init__(self, rows: Table, is_live: ColumnElement[bool], **claimed: object) -> None:
        self._rows, self._is_live, self._claimed = rows, is_live, claimed

    async def claim(self, db: AsyncSession) -> Lease | None:
        """Leases what has waited longest."""
        rows, until = self._rows, self._rows.c.leased_until
        is_free = or_(until.is_(None), until < now(), until > now() + LEASE + CLOCKS_DIFFER)
        waiting = (
            select(rows.c.id)
            .join_from(rows, _users, self._is_live)
            .where(rows.c.state == WAITING, is_free, rows.c.expires_at > now())
            .order_by(rows.c.id)
            .limit(1)
            .with_for_update(skip_locked=True, of=rows)
        )
        number = (await execute(db, waiting)).scalar()
        if number is None:
            return None
        leased = update(rows).where(rows.c.id == number)
        leased = leased.values(leased_until=now() + LEASE, fence=rows.c.fence + 1, **self._claimed)
        return Lease(*(await execute(db, leased.returning(rows.c.id, rows.c.user_id, rows.c.fence))).one())

    async def hold(self, db: AsyncSession, lease: Lease, **values: object) -> None:
        """Renews the lease, and records the progress. Raises LeaseLost."""
        is_live = select(_users.c.id).where(self._is_live).exists()
        held = self._leased(lease).where(is_live).values(leased_until=now() + LEASE, **values)
        if not (await execute(db, held)).rowcount:
            raise LeaseLost

    async def hand_back(self, db: AsyncSession, lease: Lease) -> None:
        """Ends the lease, so that anybody can claim it at once, unless another process has it now."""
        await execute(db, self._leased(lease).values(leased_until=None))

    def _leased(self, lease: Lease) -> Update:
        rows = self._rows
        return update(rows).where(rows.c.id == lease.id, rows.c.fence == lease.fence, rows.c.state == WAITING)


queue = Queue(_exports, (_users.c.id == _exports.c.user_id) & _users.c.disabled_at.is_(None), done=0)


async def ask(db: AsyncSession, user_id: int) -> None:
    """Records that a person wants an export. It replaces an earlier one."""
    await execute(db, delete(_exports).where(_exports.c.user_id == user_id))
    db.add(AccountExport(user_id=user_id, expires_at=now() + WAITS))
    await db.flush()


async def latest(db: AsyncSession, user_id: int) -> AccountExport | None:
    """The person's latest export, unless it is too old."""
    mine = col(AccountExport.user_id) == user_id, col(AccountExport.expires_at) > now()
    return (await db.exec(select_rows(AccountExport).where(*mine).order_by(col(AccountExport.id).desc()))).first()


def is_late(asked_at: datetime, leased_until: datetime | None) -> bool:
    """Whether something that was asked for has been waiting for a while, and nobody is at it."""
    is_held = leased_until is not None and leased_until > now()
    return not is_held and asked_at < now() - LATE_AFTER


async def begin(db: AsyncSession, lease: Lease) -> None:
    """Deletes what another process has made of it. Raises LeaseLost."""
    await queue.hold(db, lease)
    await execute(db, delete(_chunks).where(_chunks.c.export_id == lease.id))


async def add_chunks(db: AsyncSession, lease: Lease, first: int, chunks: list[bytes]) -> None:
    rows = [{"export_id": lease.id, "number": first + place, "content": each} for place, each in enumerate(chunks)]
    await execute(db, insert(_chunks), rows)


async def finish(db: AsyncSession, lease: Lease, size: int) -> datetime:
    """Makes it available to its owner; returns until when. Raises LeaseLost."""
    until = now() + KEPT
    await queue.hold(db, lease, state=READY, size=size, expires_at=until)
    return until


async def content(database: Database, export_id: int, size: int, session_id: int) -> AsyncIterator[bytes]:
    """The file, piece by piece, as long as the session is open. No connection is held while the visitor downloads.

    Raises CutOff.
    """
    is_open = exists(select(_sessions.c.id).where(_sessions.c.id == session_id))
    async for piece in pieces(database, _chunks, (_chunks.c.export_id == export_id) & is_open):
        size -= len(piece)
        yield piece
    if size:
        raise CutOff


async def pieces(database: Database, chunks: Table, is_of_file: ColumnElement[bool]) -> AsyncIterator[bytes]:
    """The pieces of an export or upload in order, each read in a transaction of its own."""
    for number in itertools.count():
        async with database.session() as db:
            piece = select(chunks.c.content).where(is_of_file, chunks.c.number == number)
            found = (await execute(db, piece)).scalar()
        if found is None:
            return
        yield found
