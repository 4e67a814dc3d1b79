"""Who writes to SQLite takes turns with other processes, without holding up the event loop."""

import asyncio
import shutil
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from webapp.database import Database, execute, sqlite

pytestmark = pytest.mark.anyio
ADD, COUNT = text("INSERT INTO limit_window VALUES (:key, 1, 0)"), text("SELECT count(*) FROM limit_window")


@pytest.fixture
async def database(sqlite_url: str) -> AsyncIterator[Database]:
    database = Database(sqlite_url)
    yield database
    await database.close()


@contextmanager
def another_process(file: Path, *statements: str, seconds: float) -> Iterator[None]:
    """Has said these statements, and goes away after so many seconds."""
    is_in_the_way = threading.Event()

    def be() -> None:
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            for statement in statements:
                other.execute(statement)
            is_in_the_way.set()
            time.sleep(seconds)

    thread = threading.Thread(target=be)
    thread.start()
    assert is_in_the_way.wait(5)
    yield
    thread.join()


async def add(database: Database, key: str) -> None:
    async with database.session(is_writing=True) as db:
        await execute(db, ADD, {"key": key})
        await db.commit()


async def count(database: Database) -> int:
    async with database.session() as db:
        return int((await execute(db, COUNT)).scalar_one())


async def test_a_writer_waits_for_its_turn_and_nobody_else_with_it(database: Database, tmp_path: Path) -> None:
    turns = 0
    with another_process(tmp_path / "site.db", "BEGIN IMMEDIATE", seconds=0.3):
        writing = asyncio.create_task(add(database, "late"))
        while not writing.done():
            await asyncio.sleep(0.001)
            turns += 1

    await writing
    assert turns > 20
    assert await count(database) == 1


async def test_a_reader_waits_while_another_process_has_the_file_to_itself(database: Database, tmp_path: Path) -> None:
    """As one does that mends what a crashed process left."""
    alone = (
        "PRAGMA locking_mode=EXCLUSIVE",
        "BEGIN EXCLUSIVE",
        "INSERT INTO limit_window VALUES ('it', 1, 0)",
        "COMMIT",
    )
    with another_process(tmp_path / "site.db", *alone, seconds=0.3):
        found = await count(database)

    assert found == 1


async def test_a_writer_that_waited_too_long_says_so_and_may_try_again(sqlite_url: str, tmp_path: Path) -> None:
    database = Database(sqlite_url, sqlite_patience=sqlite.Patience(seconds=0.05))
    with (
        another_process(tmp_path / "site.db", "BEGIN IMMEDIATE", seconds=0.4),
        pytest.raises(OperationalError, match="locked"),
    ):
        await add(database, "too late")

    await add(database, "again")
    assert await count(database) == 1
    await database.close()


async def test_a_writer_that_is_cancelled_while_it_waits_holds_nothing(database: Database, tmp_path: Path) -> None:
    with another_process(tmp_path / "site.db", "BEGIN IMMEDIATE", seconds=0.2):
        writing = asyncio.create_task(add(database, "never"))
        await asyncio.sleep(0.05)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing

    await add(database, "next")
    assert await count(database) == 1


async def test_a_failed_statement_takes_the_whole_transaction_back(database: Database) -> None:
    async with database.session(is_writing=True) as db:
        await execute(db, ADD, {"key": "one"})
        with pytest.raises(OperationalError, match="no such table"):
            await execute(db, text("INSERT INTO nowhere VALUES (1)"))

    assert await count(database) == 0


async def test_the_log_is_written_back_now_and_then(sqlite_url: str, tmp_path: Path) -> None:
    database = Database(sqlite_url, sqlite_patience=sqlite.Patience(commits=3))
    written_back = []
    for key in "abc":
        await add(database, key)
        shutil.copy(tmp_path / "site.db", tmp_path / "without-its-log.db")
        with closing(sqlite3.connect(tmp_path / "without-its-log.db")) as copy:
            written_back.append(copy.execute("SELECT count(*) FROM limit_window").fetchone()[0])

    await database.close()
    assert written_back == [0, 0, 3]
