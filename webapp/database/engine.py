"""The engine, and one session for each request.

A session opens its transaction with its first statement and holds a connection only until it commits or
closes; so a slow visitor, a password hash or a mail server never waits while holding one.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVarTuple, overload

from sqlalchemy import ColumnElement, CursorResult, Executable, Index, MetaData, SQLColumnExpression, Table, event, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.sql.expression import TextClause, bindparam
from sqlalchemy.sql.selectable import TypedReturnsRows
from sqlmodel import SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.clock import CLOCKS_DIFFER, now
from webapp.database import postgresql, sqlite
from webapp.database.flush import Flush
from webapp.database.hot import Direct, Transaction
from webapp.database.waits import LOOK_EVERY, OnlyConnection, TimedPool, Waits
from webapp.settings import database_url

Columns = TypeVarTuple("Columns")
Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None


SQLModel.metadata.naming_convention = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
).naming_convention
LAST_ID = 2**31 - 1  # no account or anything it owns has a higher id


def table(model: type[SQLModel]) -> Table:
    """The table of a model, for statements over plain columns: `table(User).c.email`."""
    columns: Table = model.__table__  # type: ignore[attr-defined]
    return columns


def partial_index(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """An index over some rows only, so that the others cost nothing."""
    return Index(name, *columns, unique=unique, postgresql_where=text(where), sqlite_where=text(where))


def recent(column: SQLColumnExpression[Any], span: timedelta) -> ColumnElement[bool]:
    """The SQL condition that something happened within the span. A time in the future came from a clock that was ahead,
    and isn't recent.
    """
    return column.between(now() - span, now() + CLOCKS_DIFFER)


def is_recent(moment: datetime, span: timedelta) -> bool:
    """The same for a time that has been read."""
    return now() - span <= moment <= now() + CLOCKS_DIFFER


class Database:
    """The database of one application.

    `wake` is set whenever a commit left work for a background task of this process. `visitors` is how many requests
    the process is answering; they go before such tasks. A patient database is for commands, such as migrations, whose
    statements may take minutes.
    """

    def __init__(self, url: str, *, is_patient: bool = False, sqlite_patience: sqlite.Patience = sqlite.USUAL) -> None:
        self.is_sqlite = url.startswith("sqlite")
        # SQLite: several connections would only wait for each other's locks, and slowly. PostgreSQL: those of two
        # processes fit into the twenty that a platform's smallest plan allows.
        url, arguments = database_url.read(url)
        limits = postgresql.PATIENT_LIMITS if is_patient else postgresql.TIME_LIMITS
        connect = {"async_creator_fn": partial(sqlite.connect, patience=sqlite_patience)}
        most, options = (1, connect) if self.is_sqlite else (8, limits | arguments)
        # Sessions end their transactions themselves; another ROLLBACK would be one more trip to SQLite's thread.
        reset = None if self.is_sqlite else "rollback"
        self.engine = create_async_engine(
            url,
            poolclass=OnlyConnection if self.is_sqlite else TimedPool,
            pool_size=most,
            max_overflow=0,
            pool_use_lifo=True,  # those in use know most statements; what is new to a connection takes a trip more
            pool_timeout=LOOK_EVERY if self.is_sqlite else 3.5,
            pool_reset_on_return=reset,
            connect_args=options,
            hide_parameters=True,  # so that no error message carries an address into the log
        )
        self.writing = self.engine.execution_options(is_writing=True)
        # PostgreSQL shows each statement what was committed before it, in a transaction or not. Without one, a page
        # saves two trips.
        reading = {} if self.is_sqlite else {"isolation_level": "AUTOCOMMIT"}
        self.reading = self.engine.execution_options(**reading)
        self.wake = asyncio.Event()
        self.visitors = 0
        self.flush = Flush()
        self._written_at = float("-inf")
        if self.is_sqlite:
            event.listen(self.engine.sync_engine, "connect", sqlite.set_up)
            event.listen(self.engine.sync_engine, "connect", self.flush.watch)
            event.listen(self.engine.sync_engine, "begin", sqlite.begin)
        else:
            event.listen(self.engine.sync_engine, "do_connect", postgresql.Pooler().look)
            event.listen(self.engine.sync_engine, "checkout", postgresql.refuse_closed)
            event.listen(self.engine.sync_engine, "handle_error", postgresql.hang_up_after_silence)

    @asynccontextmanager
    async def session(self, *, is_writing: bool = False) -> AsyncIterator[AsyncSession]:
        """A session that is rolled back unless it was committed."""
        db = self.open(is_writing=is_writing)
        try:
            yield db
        finally:
            await release(db)

    def open(self, *, is_writing: bool = False) -> AsyncSession:
        """A session that the caller must release."""
        engine = self.writing if is_writing else self.reading
        info = {"wake": self.wake, "flush": self.flush}
        return DurableSession(engine, expire_on_commit=False, info=info)

    def direct(self, *, is_writing: bool = False, is_single: bool = False, waits_for_disk: bool = True) -> Direct:
        """A transaction for prepared statements only, as a context manager. It has its own connection.

        If it has a single statement, PostgreSQL takes one round trip instead of three, and commits it at once. What may
        happen again after a power cut needn't wait for SQLite's disk.
        """
        then = partial(self._committed, waits_for_disk)
        return Direct(self.engine, {"wake": self.wake}, then, is_writing=is_writing, is_single=is_single)

    async def try_write(self, at_most_every: float = 0, *, must_grow: bool = False) -> None:
        """Writes and commits something that leaves no trace. Raises whatever a full or read-only disk, or server,
        raises. On a full disk PostgreSQL may find room for something small where `must_grow` finds none.

        If this worked a few seconds ago it isn't tried again, so asking often costs nothing.
        """
        if time.monotonic() < self._written_at + at_most_every:
            return
        async with self.session(is_writing=True) as db:
            await execute(db, text("INSERT INTO limit_window (key, count, ends) VALUES ('a try', 0, 0)"))
            await execute(db, text("DELETE FROM limit_window WHERE key = 'a try'"))
            if must_grow and not self.is_sqlite:
                await execute(db, text(postgresql.GROWS))
            await db.commit()
        self._written_at = time.monotonic()

    async def scrub(self) -> bool:
        """Removes what was deleted from SQLite's log, too; False if that has to wait. PostgreSQL vacuums by itself."""
        if not self.is_sqlite:
            return True
        async with self.engine.connect() as connection:
            driver = (await connection.get_raw_connection()).driver_connection
            assert isinstance(driver, sqlite.OneTripConnection)
            return await driver.empty_log()

    @property
    def waits(self) -> Waits:
        """How long requests waited for a connection."""
        pool = self.engine.pool
        assert isinstance(pool, TimedPool)
        return pool.waits

    async def aclose(self) -> None:
        await self.engine.dispose()
        self.flush.close()

    async def _committed(self, waits_for_disk: bool, transaction: Direct) -> None:
        _wake(transaction)
        if not waits_for_disk:
            self.flush.begin()
        elif transaction.is_writing:
            await self.flush.wait()


class DurableSession(AsyncSession):
    """A session whose commit returns once the data is on the disk. The connection is free meanwhile.

    Afterwards its `info` has `has_written`, if there was anything to commit.
    """

    async def commit(self) -> None:
        self.info["has_written"] = self.info.get("has_written") or self.in_transaction()
        await super().commit()
        await self.info["flush"].wait()


async def release(db: AsyncSession) -> None:
    """Ends the transaction and frees the connection before something slow. Objects that were read stay readable."""
    if db.in_transaction():
        await asyncio.shield(db.close())  # also when the request is cancelled meanwhile


@overload
async def execute(
    db: AsyncSession, statement: TypedReturnsRows[*Columns], parameters: Parameters = None
) -> CursorResult[*Columns]: ...
@overload
async def execute(
    db: AsyncSession, statement: Executable, parameters: Parameters = None
) -> CursorResult[*tuple[Any, ...]]: ...
async def execute(db: AsyncSession, statement: Executable, parameters: Parameters = None) -> CursorResult[Any]:
    """Runs a statement past the ORM: plain rows come back, and the session's objects stay untouched."""
    return await db.run_sync(_execute, statement, parameters)


def upsert(rows: Table, *columns: str) -> TextClause:
    """Adds a row with these columns, or gives them to the one that has its primary key."""
    names, values = ", ".join(columns), ", ".join(f":{name}" for name in columns)
    keys = ", ".join(column.name for column in rows.primary_key)
    changes = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in rows.primary_key.columns)
    added = f"INSERT INTO {rows.name} ({names}) VALUES ({values}) ON CONFLICT ({keys}) DO UPDATE SET {changes}"
    return text(added).bindparams(*(bindparam(name, type_=rows.c[name].type) for name in columns))


async def execute_together(
    db: AsyncSession, parameters: Mapping[str, Any], *queries: postgresql.Query
) -> list[Sequence[Any]]:
    """Runs several queries with the same parameters, in a single trip to PostgreSQL; returns the rows of each."""
    if db.get_bind().dialect.name == "sqlite":
        return [(await execute(db, query, parameters)).all() for query in queries]
    answers = (await execute(db, postgresql.as_one(queries), parameters)).one()
    return [postgresql.rows_of(query, answer) for query, answer in zip(queries, answers, strict=True)]


def _execute(session: Session, statement: Executable, parameters: Any) -> CursorResult[Any]:
    return session.connection().execute(statement, parameters)


def wake_after_commit(db: Transaction) -> None:
    """Wakes the background tasks of this process once this transaction has committed."""
    db.info["must_wake"] = True


@event.listens_for(Session, "after_commit")
def _wake(session: Session | Direct) -> None:
    if session.info.pop("must_wake", False):
        session.info["wake"].set()
