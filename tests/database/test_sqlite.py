"""Who writes to SQLite takes turns with other processes, without holding up the event loop."""

import asyncio
import gc
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError, OperationalError

from tests.depth import deep
from webapp.database import Database, execute, sqlite

pytestmark = pytest.mark.anyio
ADD, COUNT = text("INSERT INTO limit_window VALUES (:key, 1, 0)"), text("SELECT count(*) FROM limit_window")


@pytest.fixture
async def database(sqlite_url: str) -> AsyncIterator[Database]:
    database = Database(sqlite_url)
    yield database
    await database.aclose()


@contextmanager
def another_process(file: Path, *statements: str) -> Iterator[sqlite3.Connection]:
    """Has said these statements, and stands in the way until it is closed."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        for statement in statements:
            other.execute(statement)
        yield other


async def wait_a_while(task: asyncio.Task[Any]) -> None:
    """Others have their turns meanwhile, and the task is not done."""
    for _turn in range(50):
        await asyncio.sleep(0.001)
        assert not task.done()


async def add(database: Database, key: str) -> None:
    async with database.session(is_writing=True) as db:
        await execute(db, ADD, {"key": key})
        await db.commit()


async def count(database: Database) -> int:
    async with database.session() as db:
        return int((await execute(db, COUNT)).scalar_one())


async def test_a_writer_waits_for_its_turn_and_nobody_else_with_it(database: Database, tmp_path: Path) -> None:
    with another_process(tmp_path / "site.db", "BEGIN IMMEDIATE") as other:
        writing = asyncio.create_task(add(database, "late"))
        await wait_a_while(writing)
        other.close()
        await writing

    assert await count(database) == 1


async def test_a_reader_waits_while_another_process_has_the_file_to_itself(database: Database, tmp_path: Path) -> None:
    """As one does that mends what a crashed process left."""
    alone = (
        "PRAGMA locking_mode=EXCLUSIVE",
        "BEGIN EXCLUSIVE",
        "INSERT INTO limit_window VALUES ('it', 1, 0)",
        "COMMIT",
    )
    with another_process(tmp_path / "site.db", *alone) as other:
        reading = asyncio.create_task(count(database))
        await wait_a_while(reading)
        other.close()

        assert await reading == 1


async def test_a_writer_that_waited_too_long_says_so_and_may_try_again(sqlite_url: str, tmp_path: Path) -> None:
    database = Database(sqlite_url, sqlite_patience=sqlite.Patience(seconds=0.05))
    with (
        another_process(tmp_path / "site.db", "BEGIN IMMEDIATE"),
        pytest.raises(OperationalError, match="locked"),
    ):
        await add(database, "too late")

    await add(database, "again")
    assert await count(database) == 1
    await database.aclose()


async def test_a_writer_that_is_cancelled_while_it_waits_holds_nothing(database: Database, tmp_path: Path) -> None:
    with another_process(tmp_path / "site.db", "BEGIN IMMEDIATE"):
        writing = asyncio.create_task(add(database, "never"))
        await wait_a_while(writing)
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

    await database.aclose()
    assert written_back == [0, 0, 3]


@deep
async def test_a_connection_that_nobody_got_is_closed(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its set-up fails, as the file is no database, or whoever asked is cancelled, after each number of turns."""
    opened: list[sqlite3.Connection] = []
    usual = sqlite3.connect

    def connect(file: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = usual(file, **options)
        if Path(file).parent == tmp_path:  # and not another site's of this process
            opened.append(connection)
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect)
    (tmp_path / "letter.db").write_bytes(b"Dear Susan, this is no database. " * 100)
    broken = Database(f"sqlite+aiosqlite:///{tmp_path / 'letter.db'}")
    with pytest.raises(DatabaseError, match="not a database"):
        await count(broken)
    for turns in range(30):
        database = Database(sqlite_url)
        asking = asyncio.create_task(count(database))
        for _turn in range(turns):
            await asyncio.sleep(0.0001)
        asking.cancel()
        await asyncio.wait([asking])
        await database.aclose()
    await broken.aclose()
    del asking
    gc.collect()

    assert opened
    for connection in opened:
        with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
            connection.execute("SELECT 1")
