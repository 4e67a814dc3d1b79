"""Uploaded archives as rows: stored, claimed, imported, reported. And the pass that lets a browser send one."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import NamedTuple

from itsdangerous import BadSignature
from sqlalchemy import case, delete, insert, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import signing
from webapp.accounts.models import User
from webapp.archive_imports.models import ARRIVING, DONE, ArchiveImport, ImportChunk
from webapp.archives import exports
from webapp.archives.exports import Lease, Queue
from webapp.archives.models import WAITING
from webapp.database import Database, execute, now, table
from webapp.settings import Settings

PIECE = 256 * 1024
PASS_SECONDS = 30 * 60
ARRIVES = timedelta(hours=1)  # at most, or the process that stores it has died
WAITS = timedelta(days=3)  # for a process to import it
REPORTED = timedelta(days=7)

_imports, _chunks, _users = table(ArchiveImport), table(ImportChunk), table(User)
_is_live = (_users.c.id == _imports.c.user_id) & (_users.c.epoch == _imports.c.epoch) & _users.c.disabled_at.is_(None)

# Whoever leased it before and didn't hand it back has crashed.
_crashed = case((_imports.c.leased_until.is_(None), 0), else_=1)
queue = Queue(_imports, _is_live, crashes=_imports.c.crashes + _crashed)


class Latest(NamedTuple):
    """How far an upload has got, or its result."""

    state: str
    done: int
    total: int
    added: int
    report: str
    asked_at: datetime
    leased_until: datetime | None

    @property
    def is_late(self) -> bool:
        return exports.is_late(self.asked_at, self.leased_until)


def pass_for(settings: Settings, user_id: int, epoch: int) -> str:
    """The pass for the browser of somebody who has just proved who they are. Without one, no request brings a large
    body.
    """
    return _signer(settings).sign(f"{user_id}.{epoch}").decode()


def pass_in(settings: Settings, cookie: str) -> str:
    """The account and epoch that a pass is for; "" if it isn't ours, or is too old. Asks no database."""
    try:
        signed: bytes = _signer(settings).unsign(cookie, max_age=PASS_SECONDS)
        return signed.decode()
    except BadSignature:
        return ""


async def begin(db: AsyncSession, user_id: int, epoch: int) -> int:
    """Begins to store an upload; returns its number. Until it is whole, nobody sees it."""
    begun = ArchiveImport(user_id=user_id, epoch=epoch, state=ARRIVING, expires_at=now() + ARRIVES)
    db.add(begun)
    await db.flush()
    return begun.id


async def add_piece(db: AsyncSession, import_id: int, number: int, piece: bytes) -> None:
    await execute(db, insert(_chunks), [{"import_id": import_id, "number": number, "content": piece}])


async def keep(db: AsyncSession, user_id: int, import_id: int) -> None:
    """Says that an upload is whole. It replaces an earlier one."""
    earlier = _imports.c.user_id == user_id, _imports.c.state != ARRIVING
    await execute(db, delete(_imports).where(*earlier))
    whole = update(_imports).where(_imports.c.id == import_id)
    await execute(db, whole.values(state=WAITING, asked_at=now(), expires_at=now() + WAITS))


async def latest(db: AsyncSession, user_id: int) -> Latest | None:
    columns = [_imports.c[name] for name in Latest._fields]
    is_whole = (_imports.c.state == DONE) | (_is_live & (_imports.c.state == WAITING))
    mine = _imports.c.user_id == user_id, _imports.c.expires_at > now(), is_whole
    query = select(*columns).join(_users, _users.c.id == _imports.c.user_id).where(*mine)
    row = (await execute(db, query.order_by(_imports.c.id.desc()).limit(1))).first()
    return Latest(*row) if row else None


async def crashes(db: AsyncSession, lease: Lease) -> int:
    """How many processes have crashed over an upload."""
    query = select(_imports.c.crashes).where(_imports.c.id == lease.id)
    return (await execute(db, query)).scalar() or 0


async def add(db: AsyncSession, lease: Lease, count: int) -> None:
    """Counts new posts in the transaction that adds them, so that after a crash they aren't counted as already here."""
    counted = update(_imports).where(_imports.c.id == lease.id).values(added=_imports.c.added + count)
    await execute(db, counted)


def content(database: Database, lease: Lease) -> AsyncIterator[bytes]:
    """The file, piece by piece."""
    return exports.pieces(database, _chunks, _chunks.c.import_id == lease.id)


async def finish(db: AsyncSession, lease: Lease, report: str) -> datetime:
    """Deletes the file and stores the report; returns until when. Raises LeaseLost."""
    until = now() + REPORTED
    await queue.hold(db, lease, state=DONE, report=report, expires_at=until)
    await execute(db, delete(_chunks).where(_chunks.c.import_id == lease.id))
    return until


def _signer(settings: Settings) -> signing.Signer:
    return signing.signer(settings, "upload", "upload")
