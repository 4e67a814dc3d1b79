"""What SQLite needs to serve many visitors: a write-ahead log, a lock held briefly, and few trips to a thread.

A writer takes the lock on the event loop, does everything there in one go and commits, all within a few hundred
microseconds. With a trip to a thread for each statement, the lock would be held across turns of a busy event loop, and
everybody else would wait. Reading needs no lock and may take longer, so a thread does it.
"""

import asyncio
import os
import random
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection

from webapp.database.refusals import NoDatabase

# Another process holds the lock, or mends what a crashed one left. SQLite's own wait sleeps up to 100 ms at a time.
BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_BUSY_RECOVERY}
BEGIN_READING, BEGIN_WRITING = "BEGIN", "BEGIN IMMEDIATE"

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Patience:
    """How long to wait for another process's lock, and after how many commits to checkpoint the log.

    A commit only appends to the log. A thread checkpoints it, since that may have to flush.
    """

    seconds: float = 10.0
    commits: int = 200


USUAL = Patience()


class OneTripConnection:
    """A connection with its own thread, as SQLAlchemy's dialect for aiosqlite expects.

    aiosqlite goes to its thread for each cursor, execute, fetch and close. Here a statement takes one trip, or none.
    BEGIN travels with the first statement of its transaction.
    """

    begin: str | None = None
    has_lock = False
    commits = 0
    changes = 0  # before this transaction
    after_commit: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, opened: sqlite3.Connection, thread: ThreadPoolExecutor, patience: Patience) -> None:
        self._connection: sqlite3.Connection | None = opened  # the dialect looks at this to see whether it is open
        self._thread = thread
        self._patience = patience

    def __del__(self) -> None:  # nobody got it who could close it: the set-up failed, or whoever asked was cancelled
        if self._connection is not None:
            self._connection.close()

    @property
    def opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise ValueError("no active connection")  # the dialect recognises a lost connection by these words
        return self._connection

    def cursor(self) -> "OneTripCursor":
        return OneTripCursor(self)

    async def create_function(self, *arguments: Any, **more: Any) -> None:
        await self._in_thread(partial(self.opened.create_function, *arguments, **more))

    async def run(self, work: Callable[[], None]) -> None:
        begin, self.begin = self.begin, None
        if begin == BEGIN_WRITING:
            await self._take_lock()
        if self.has_lock:
            work()
        else:
            await self._in_thread(self._read, begin, work)

    async def commit(self) -> None:
        if not self.has_lock:
            return await self.rollback()  # nothing was written
        self.has_lock = False
        self.opened.commit()
        if self.opened.total_changes > self.changes:
            self.after_commit()
        self.commits += 1
        if self.commits % self._patience.commits == 0:
            await self._in_thread(self._checkpoint)

    async def rollback(self) -> None:
        begin, self.begin = self.begin, None
        if self.has_lock:
            self.has_lock = False
            self.opened.rollback()
        elif begin is None:  # otherwise nothing has run yet
            await self._in_thread(self.opened.rollback)

    async def close(self) -> None:
        if (closed := self.stop()) is not None:
            await asyncio.shield(asyncio.wrap_future(closed))

    def stop(self) -> Future[None] | None:
        """Closes the connection when its thread has finished its work, without waiting for that."""
        opened, self._connection = self._connection, None
        closed = self._thread.submit(opened.close) if opened else None
        self._thread.shutdown(wait=False)
        return closed

    async def _in_thread(self, work: Callable[..., Answer], *arguments: Any) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    async def _take_lock(self) -> None:
        deadline = time.monotonic() + self._patience.seconds
        while not _has_run(lambda: self.opened.execute(BEGIN_WRITING), deadline):
            await asyncio.sleep(_pause())
        self.has_lock, self.changes = True, self.opened.total_changes

    def _read(self, begin: str | None, work: Callable[[], None]) -> None:
        if begin:
            self.opened.execute(begin)
        deadline = time.monotonic() + self._patience.seconds
        while not _has_run(work, deadline):
            time.sleep(_pause())

    async def empty_log(self) -> bool:
        """Removes overwritten data from the log; False while somebody is reading it."""
        return await self._in_thread(self._truncate)

    def _truncate(self) -> bool:
        deadline = time.monotonic() + self._patience.seconds
        while self.opened.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            if time.monotonic() > deadline:
                return False
            time.sleep(_pause())
        return True

    def _checkpoint(self) -> None:
        self.opened.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


class OneTripCursor:
    """A cursor whose rows are there once the statement has run (PEP 249, as far as SQLAlchemy needs it)."""

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
        """Does nothing: the cursor was closed when its statement had run."""

    def _run(self, execute: Callable[..., sqlite3.Cursor], statement: str, parameters: Any) -> None:
        with closing(self._connection.opened.cursor()) as cursor:
            execute(cursor, statement, parameters)
            self.description, self._rows = cursor.description, cursor.fetchall()
            self.rowcount, self.lastrowid = cursor.rowcount, cursor.lastrowid


class HotPath:
    """What `hot.py` needs from a driver."""

    def __init__(self, connection: OneTripConnection) -> None:
        self.connection = connection
        self.commit = connection.commit
        self.rollback = connection.rollback

    async def begin(self) -> None:
        self.connection.begin = BEGIN_WRITING  # which is sent with the first statement

    async def run(self, text: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return await (await self.connection.cursor().execute(text, values)).fetchall()

    async def run_each(self, text: str, many_values: Sequence[Sequence[Any]]) -> None:
        await self.connection.cursor().executemany(text, many_values)


def _has_run(statement: Callable[[], object], deadline: float) -> bool:
    """Whether the statement ran; if not, try it again. Raises what SQLite raises, and at last that it is busy."""
    try:
        statement()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode not in BUSY or time.monotonic() > deadline:
            raise
        return False
    return True


def _pause() -> float:
    return random.uniform(0.0001, 0.0004)


async def connect(file: str, patience: Patience = USUAL, **options: Any) -> OneTripConnection:
    """A connection for SQLAlchemy's aiosqlite dialect; takes the arguments of `sqlite3.connect`. Makes no file."""
    options["check_same_thread"] = False  # one at a time, the event loop or the thread
    options["isolation_level"] = None  # SQLAlchemy says BEGIN, not the driver
    thread = ThreadPoolExecutor(1, "sqlite")  # which ends with its last reference if the file can't be opened
    opening = partial(_open, file, options, thread, patience)
    return await asyncio.get_running_loop().run_in_executor(thread, opening)


def _open(file: str, options: dict[str, Any], thread: ThreadPoolExecutor, patience: Patience) -> OneTripConnection:
    if not (options.get("uri") or file == ":memory:" or os.path.exists(file)):
        raise NoDatabase(file)
    return OneTripConnection(sqlite3.connect(file, **options), thread, patience)


def set_up(connection: Any, _record: object) -> None:
    """Prepares a new connection."""
    cursor = connection.cursor()
    # `flush` does what NORMAL leaves out.
    pragmas = ["busy_timeout=0", "journal_mode=WAL", "foreign_keys=ON", "synchronous=NORMAL", "wal_autocheckpoint=0"]
    pragmas.append("secure_delete=ON")  # what is deleted is overwritten: an account that is gone leaves no byte
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def begin(connection: Connection) -> None:
    """Begins a transaction. One that reads first and writes later can lose its turn, so a writer says so at once."""
    is_writing = connection.get_execution_options().get("is_writing")
    driver: OneTripConnection = connection.connection.driver_connection  # type: ignore[assignment]
    driver.begin = BEGIN_WRITING if is_writing else BEGIN_READING
