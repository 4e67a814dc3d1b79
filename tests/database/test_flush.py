"""A commit on SQLite is on the disk when it returns, and those that wait share a flush."""

import asyncio
import errno
import os
import stat
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.inspection import wait_for_rows
from webapp.database import Database, execute, migrations

pytestmark = pytest.mark.anyio

WRITE = text("INSERT INTO limit_window (key, count, ends) VALUES (hex(randomblob(8)), 0, 0)")


class Disk:
    """How often it was asked to flush; each time something else happens first, or it fails."""

    def __init__(self, before: Callable[[], object] = lambda: None) -> None:
        self.before = before
        self.flushes = 0
        self.is_broken = False

    def sync(self, file: int) -> None:
        self.flushes += 1
        self.before()
        if self.is_broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        os.fsync(file)


@pytest.fixture
async def database(sqlite_url: str) -> AsyncIterator[Database]:
    database = Database(sqlite_url)
    yield database
    await database.aclose()


async def write(database: Database) -> None:
    async with database.session(is_writing=True) as db:
        await execute(db, WRITE)
        await db.commit()


async def write_directly(database: Database, *, waits_for_disk: bool = True) -> None:
    async with database.direct(is_writing=True, waits_for_disk=waits_for_disk) as db:
        await db.run(WRITE.text, ())
        await db.commit()


@pytest.mark.parametrize("way", [write, write_directly])
async def test_a_commit_is_on_the_disk_when_it_returns(database: Database, way: object) -> None:
    disk = Disk()
    database.flush.sync = disk.sync

    for count in (1, 2, 3):
        await way(database)  # type: ignore[operator]
        assert disk.flushes == count


async def test_commits_share_a_flush_and_keep_nobody_from_the_database_meanwhile(
    database: Database, sqlite_url: str
) -> None:
    disk = Disk(before=lambda: wait_for_rows(sqlite_url, "SELECT key FROM limit_window", 20))
    database.flush.sync = disk.sync

    await asyncio.gather(*(write(database) for _number in range(20)))

    assert disk.flushes <= 3, "the first goes ahead, and the others wait for the next"


async def test_nobody_waits_for_more_than_the_flush_under_way_and_the_next(database: Database) -> None:
    disk, begun = Disk(before=lambda: time.sleep(0.02)), list[int]()
    database.flush.sync, wait = disk.sync, database.flush.wait

    async def counted() -> None:
        before = disk.flushes
        await wait()
        begun.append(disk.flushes - before)

    database.flush.wait = counted  # type: ignore[method-assign]
    for _round in range(3):
        await asyncio.gather(*(write(database) for _visitor in range(20)))

    assert len(begun) == 60
    assert max(begun) <= 2


async def test_reading_waits_for_no_flush(database: Database) -> None:
    await write(database)
    has_begun, may_end = threading.Event(), threading.Event()

    def sync(_file: int) -> None:
        has_begun.set()
        may_end.wait(20)

    database.flush.sync = sync
    writing = asyncio.create_task(write(database))
    await asyncio.to_thread(has_begun.wait, 20)

    async with database.session() as db:
        await execute(db, text("SELECT count(*) FROM outbox_email"))

    assert not writing.done()
    may_end.set()
    await writing


async def test_what_cannot_be_flushed_is_not_promised(database: Database) -> None:
    disk = Disk()
    database.flush.sync = disk.sync
    disk.is_broken = True
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        await write(database)

    disk.is_broken = False
    await write(database)

    assert disk.flushes == 2


async def test_a_commit_that_changed_nothing_needs_no_flush(database: Database) -> None:
    disk = Disk()
    database.flush.sync = disk.sync

    async with database.session(is_writing=True) as db:
        await execute(db, text("UPDATE outbox_email SET kind = 'none' WHERE id = 0"))
        await db.commit()

    assert disk.flushes == 0


async def test_what_may_happen_again_is_flushed_without_anybody_waiting(database: Database) -> None:
    has_begun, may_end = threading.Event(), threading.Event()

    def sync(_file: int) -> None:
        has_begun.set()
        may_end.wait(20)

    database.flush.sync = sync
    await write_directly(database, waits_for_disk=False)

    assert await asyncio.to_thread(has_begun.wait, 20)
    may_end.set()


async def test_the_log_tells_when_that_fails(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    disk = Disk()
    disk.is_broken = True
    database.flush.sync = disk.sync

    await write_directly(database, waits_for_disk=False)

    async with asyncio.timeout(20):
        while "flush_failed" not in caplog.text:
            await asyncio.sleep(0.001)


async def test_nobody_but_its_owner_may_read_a_new_database(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'new.db'}"
    await asyncio.to_thread(migrations.upgrade, url)
    database = Database(url)
    async with database.session(is_writing=True) as db:
        await execute(db, text("CREATE TABLE note (id integer)"))
        await db.commit()
        found = modes(tmp_path)
    await database.aclose()

    assert found == {"new.db": 0o600, "new.db-wal": 0o600, "new.db-shm": 0o600}


def modes(folder: Path) -> dict[str, int]:
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}
