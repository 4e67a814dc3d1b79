"""What SQLite needs to serve many: a log written ahead, its lock held as shortly as can be, few trips to a thread.

Who writes takes the lock from the event loop, does all of it there in one go, and commits: some hundred
microseconds. With a trip to a thread for each statement the lock would be held over turns of a busy event loop, and
everybody else would wait. Reading needs no lock and may take longer, so it is done in aiosqlite's thread.
"""

import asyncio
import os
import random
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from typing import Any

import aiosqlite
from sqlalchemy import Connection

BUSY_SECONDS = 10.0
# Another process holds the lock, or mends what a crashed one left. SQLite's own wait sleeps up to 100 ms at a time.
BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_BUSY_RECOVERY}
BEGIN_READING, BEGIN_WRITING = "BEGIN", "BEGIN IMMEDIATE"
# A commit only appends to the log. After so many the log is written back, in the thread: that may have to flush.
COMMITS_A_CHECKPOINT = 200


class OneTripConnection(aiosqlite.Connection):
    """aiosqlite goes to its thread for each cursor, execute, fetch and close; here a statement is one trip, or none.

    BEGIN goes along with the first statement of its transaction.
    """

    begin: str | None = None
    has_lock = False
    commits = 0
    after_commit: Callable[[], None] = staticmethod(lambda: None)

    def cursor(self) -> "OneTripCursor":  # type: ignore[override]
        return OneTripCursor(self)

    async def run(self, work: Callable[[], None]) -> None:
        begin, self.begin = self.begin, None
        if begin == BEGIN_WRITING:
            await self._take_lock()
        if self.has_lock:
            work()
        else:
            await self._execute(self._read, begin, work)  # type: ignore[no-untyped-call]

    async def commit(self) -> None:
        if not self.has_lock:
            return await self.rollback()  # nothing was written
        self.has_lock = False
        self._conn.commit()
        self.after_commit()
        self.commits += 1
        if self.commits % COMMITS_A_CHECKPOINT == 0:
            await self._execute(self._checkpoint)  # type: ignore[no-untyped-call]

    async def rollback(self) -> None:
        begin, self.begin = self.begin, None
        if self.has_lock:
            self.has_lock = False
            self._conn.rollback()
        elif begin is None:  # else it had no statement yet
            await super().rollback()

    async def _take_lock(self) -> None:
        deadline = time.monotonic() + BUSY_SECONDS
        while not _has_run(lambda: self._conn.execute(BEGIN_WRITING), deadline):
            await asyncio.sleep(_pause())
        self.has_lock = True

    def _read(self, begin: str | None, work: Callable[[], None]) -> None:
        if begin:
            self._conn.execute(begin)
        deadline = time.monotonic() + BUSY_SECONDS
        while not _has_run(work, deadline):
            time.sleep(_pause())

    async def empty_log(self) -> bool:
        """Takes from the log what was overwritten in the database since; False while somebody is reading it."""
        return bool(await self._execute(self._truncate))  # type: ignore[no-untyped-call]

    def _truncate(self) -> bool:
        deadline = time.monotonic() + BUSY_SECONDS
        while self._conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            if time.monotonic() > deadline:
                return False
            time.sleep(_pause())
        return True

    def _checkpoint(self) -> None:
        self._conn.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


class OneTripCursor:
    """A cursor whose rows are there once the statement has run (PEP 249, as far as SQLAlchemy asks for it)."""

    def __init__(self, connection: OneTripConnection) -> None:
        self._connection = connection
        self._rows: list[Any] = []
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.arraysize = 1

    async def __aenter__(self) -> "OneTripCursor":
        return self

    async def execute(self, statement: str, parameters: Sequence[Any] = ()) -> "OneTripCursor":
        await self._connection.run(lambda: self._run(sqlite3.Cursor.execute, statement, parameters))
        return self

    async def executemany(self, statement: str, parameters: Sequence[Sequence[Any]]) -> "OneTripCursor":
        await self._connection.run(lambda: self._run(sqlite3.Cursor.executemany, statement, parameters))
        return self

    async def fetchall(self) -> list[Any]:
        return self._rows

    async def close(self) -> None:
        """It was closed when its statement had run."""

    def _run(self, execute: Callable[..., sqlite3.Cursor], statement: str, parameters: Any) -> None:
        with closing(self._connection._conn.cursor()) as cursor:
            execute(cursor, statement, parameters)
            self.description, self._rows = cursor.description, cursor.fetchall()
            self.rowcount, self.lastrowid = cursor.rowcount, cursor.lastrowid


def _has_run(statement: Callable[[], object], deadline: float) -> bool:
    """Whether it ran, or must be tried again. Raises what SQLite raises; that it is busy only after the deadline."""
    try:
        statement()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode not in BUSY or time.monotonic() > deadline:
            raise
        return False
    return True


def _pause() -> float:
    return random.uniform(0.0001, 0.0004)


def connect(file: str, **options: Any) -> OneTripConnection:
    """A connection for SQLAlchemy's aiosqlite dialect; takes what `sqlite3.connect` takes."""
    options["check_same_thread"] = False  # one at a time, the event loop or the thread
    connection = OneTripConnection(lambda: _open(file, options), iter_chunk_size=64)
    connection._thread.daemon = True
    return connection


def _open(file: str, options: dict[str, Any]) -> sqlite3.Connection:
    """Opens the file; if it isn't there, it is made for the eyes of its owner alone, its log then like it."""
    if not (options.get("uri") or file == ":memory:"):
        with suppress(OSError):  # which SQLite says in its own words
            os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
    opened: sqlite3.Connection = sqlite3.connect(file, **options)
    return opened


def set_up(connection: Any, _record: object) -> None:
    """For each new connection."""
    connection.isolation_level = None  # SQLAlchemy says BEGIN, not the driver; and `flush` sees to what NORMAL leaves
    cursor = connection.cursor()
    pragmas = ["busy_timeout=0", "journal_mode=WAL", "foreign_keys=ON", "synchronous=NORMAL", "wal_autocheckpoint=0"]
    pragmas.append("secure_delete=ON")  # what is deleted is overwritten: an account that is gone leaves no byte
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def begin(connection: Connection) -> None:
    """For each new transaction. One that reads first and writes later can lose its turn, so a writer says so now."""
    is_writing = connection.get_execution_options().get("is_writing")
    driver: OneTripConnection = connection.connection.driver_connection  # type: ignore[assignment]
    driver.begin = BEGIN_WRITING if is_writing else BEGIN_READING
