"""What SQLite needs to serve many: a log written ahead, its turn taken before it reads, and few trips to its thread."""

import random
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

import aiosqlite
from sqlalchemy import Connection

BUSY_SECONDS = 10.0
BEGIN_WRITING = "BEGIN IMMEDIATE"


class OneTripConnection(aiosqlite.Connection):
    """aiosqlite goes to its thread for each cursor, execute, fetch and close; here a statement is one trip.

    BEGIN goes along with the first statement of its transaction, so that the only lock of the database is not
    held while the event loop is busy with other things. Whoever has that lock then waits for nobody any more: what
    follows is a matter of microseconds and needs no trip at all, but for the COMMIT, which may have to flush.
    """

    begin: str | None = None
    has_lock = False

    def cursor(self) -> "OneTripCursor":  # type: ignore[override]
        return OneTripCursor(self)

    async def run(self, work: Callable[..., None], *arguments: Any) -> None:
        if self.has_lock:
            work(*arguments)
        else:
            await self._execute(work, *arguments)  # type: ignore[no-untyped-call]

    async def commit(self) -> None:
        self.has_lock = False
        if not self._has_not_begun():
            await super().commit()

    async def rollback(self) -> None:
        self.has_lock = False
        if not self._has_not_begun():
            await super().rollback()

    def _has_not_begun(self) -> bool:
        """Whether the transaction that ends had no statement; then there is nothing to end."""
        begin, self.begin = self.begin, None
        return begin is not None


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
        if statement.startswith("BEGIN"):
            self._connection.begin = statement
            return self
        await self._connection.run(self._run, sqlite3.Cursor.execute, statement, parameters)
        return self

    async def executemany(self, statement: str, parameters: Sequence[Sequence[Any]]) -> "OneTripCursor":
        await self._connection.run(self._run, sqlite3.Cursor.executemany, statement, parameters)
        return self

    async def fetchall(self) -> list[Any]:
        return self._rows

    async def close(self) -> None:
        """It was closed in the thread that ran it."""

    def _run(self, execute: Callable[..., sqlite3.Cursor], statement: str, parameters: Any) -> None:
        with closing(self._connection._conn.cursor()) as cursor:
            begin, self._connection.begin = self._connection.begin, None
            if begin:
                _in_turn(cursor.execute, begin)
                self._connection.has_lock = begin == BEGIN_WRITING
            _in_turn(execute, cursor, statement, parameters)
            self.description, self._rows = cursor.description, cursor.fetchall()
            self.rowcount, self.lastrowid = cursor.rowcount, cursor.lastrowid


def _in_turn(execute: Callable[..., object], *arguments: Any) -> None:
    """Executes as soon as no other process holds the lock.

    SQLite's own wait sleeps up to 100 ms at a time while the lock may long be free. Raises what SQLite raises.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            execute(*arguments)
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(random.uniform(0.0002, 0.002))


def connect(file: str, **options: Any) -> OneTripConnection:
    """A connection for SQLAlchemy's aiosqlite dialect; takes what `sqlite3.connect` takes."""
    connection = OneTripConnection(lambda: sqlite3.connect(file, **options | {"check_same_thread": False}), 64)
    connection._thread.daemon = True
    return connection


def set_up(connection: Any, _record: object) -> None:
    """For each new connection."""
    connection.isolation_level = None  # SQLAlchemy says BEGIN, not the driver
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "foreign_keys=ON", "busy_timeout=0", "synchronous=NORMAL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def begin(connection: Connection) -> None:
    """For each new transaction. One that reads first and writes later can lose its turn, so a writer says so now."""
    is_writing = connection.get_execution_options().get("is_writing")
    connection.exec_driver_sql(BEGIN_WRITING if is_writing else "BEGIN")
