"""The hot paths: statements that bypass SQLAlchemy, compiled once and handed to the driver as they are.

For a short statement, SQLAlchemy's session, connection and adapter cost several times what the driver and the database
do. The most frequent requests bypass them, and all of that is in this module: a `Prepared` statement, and the `Direct`
transaction that runs it. Everything else uses a session. docs/architecture.md has the figures.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import chain
from typing import Any, Self

from sqlalchemy import Dialect, PoolProxiedConnection
from sqlalchemy.exc import PendingRollbackError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Session
from sqlalchemy.sql.base import Executable
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.selectable import ReturnsRows
from sqlalchemy.util import greenlet_spawn
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.database import postgresql, refusals, sqlite

Row = tuple[Any, ...]
Values = Sequence[Any]
Info = dict[str, Any]
AfterCommit = Callable[["Direct"], Awaitable[None]]
Convert = Callable[[Any], Any] | None
Driver = postgresql.HotPath | sqlite.HotPath
DRIVERS: Mapping[str, Callable[[Any], Driver]] = {"postgresql": postgresql.HotPath, "sqlite": sqlite.HotPath}


class Direct:
    """A transaction for prepared statements only (see `Prepared`), as a context manager that rolls back what wasn't
    committed.

    A writing one begins with its first statement. A reading one is no transaction: each statement stands alone, which
    saves the round trips for BEGIN and ROLLBACK.

    Raises what SQLAlchemy raises. After an error it can only be rolled back.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        info: Info,
        after_commit: AfterCommit,
        *,
        is_writing: bool,
        is_single: bool = False,
    ) -> None:
        self.dialect: Dialect = engine.dialect
        self.info = info
        self._engine = engine
        self._after_commit = after_commit
        self.is_writing = is_writing
        # To PostgreSQL a single statement is a transaction: that saves the round trips for BEGIN and COMMIT.
        self._begins = is_writing and not (is_single and self.dialect.name == "postgresql")
        self._connection: PoolProxiedConnection | None = None
        self._driver: Driver | None = None
        self._has_failed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._connection:
            await self.rollback()

    async def run(self, text: str, values: Values) -> list[Row]:
        """Runs a statement in the driver's own syntax; returns its rows."""
        async with self._refusals():
            driver = self._driver or await self._begin()
            return await driver.run(text, values)

    async def run_each(self, text: str, many_values: Sequence[Values]) -> None:
        """Runs a statement once for each of the values."""
        async with self._refusals():
            driver = self._driver or await self._begin()
            await driver.run_each(text, many_values)

    async def commit(self) -> None:
        if self._has_failed:
            raise PendingRollbackError("A statement has failed, so there is nothing to commit.")
        if self._driver and self._begins:
            async with self._refusals():
                await self._driver.commit()
        if self._driver and self.is_writing:
            self.info["has_written"] = True
        self._give_back()
        await self._after_commit(self)

    async def rollback(self) -> None:
        if self._driver and self._begins:
            try:
                async with self._refusals():
                    await self._driver.rollback()
            except BaseException:
                await self._throw_away()  # nobody else may continue in this transaction
                raise
        self._give_back()
        self._has_failed = False

    async def _begin(self) -> Driver:
        self._connection = await self._engine.raw_connection()
        self._driver = DRIVERS[self.dialect.name](self._connection.driver_connection)
        if self._begins:
            await self._driver.begin()
        return self._driver

    @asynccontextmanager
    async def _refusals(self) -> AsyncIterator[None]:
        """Raises what SQLAlchemy would raise, and drops a connection that is no longer usable."""
        try:
            yield
        except BaseException as error:
            self._has_failed = True
            adapter = self._connection and self._connection.dbapi_connection
            is_lost = refusals.loses_connection(error, self.dialect, adapter)
            if is_lost:
                await self._throw_away()
            refusals.reraise(error, self.dialect, is_lost=is_lost)

    def _give_back(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = self._driver = None

    async def _throw_away(self) -> None:
        if self._connection:
            await greenlet_spawn(self._connection.invalidate)
        self._connection = self._driver = None


Transaction = AsyncSession | Direct


class Prepared:
    """A statement with bind parameters for everything that varies; for an INSERT, also the columns it sets.

    It runs in the given transaction, past the ORM. Raises what SQLAlchemy raises.
    """

    def __init__(self, statement: Executable, *columns: str) -> None:
        self.statement = statement
        self.columns = columns
        self._compiled: dict[str, _Compiled] = {}

    async def rows(self, db: Transaction, parameters: Mapping[str, Any]) -> list[Row]:
        """Runs it once; returns its rows, each with the columns in their order."""
        compiled = self._for(db)
        values = compiled.values(parameters)
        if isinstance(db, Direct):
            return compiled.converted(await db.run(compiled.text, values))
        return compiled.converted(await db.run_sync(_run, "do_execute", compiled.text, values))

    async def row(self, db: Transaction, parameters: Mapping[str, Any]) -> Row | None:
        """Runs it once; returns the first row, or None if there is none."""
        rows = await self.rows(db, parameters)
        return rows[0] if rows else None

    async def run_each(self, db: Transaction, parameters: Sequence[Mapping[str, Any]]) -> None:
        """Runs it once for each of the parameters, in one trip where the driver can."""
        compiled = self._for(db)
        many_values = [compiled.values(each) for each in parameters]
        if isinstance(db, Direct):
            return await db.run_each(compiled.text, many_values)
        await db.run_sync(_run, "do_executemany", compiled.text, many_values)

    def _for(self, db: Transaction) -> "_Compiled":
        dialect = db.dialect if isinstance(db, Direct) else db.get_bind().dialect
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = self._compiled[dialect.name] = _Compiled(self.statement, self.columns, dialect)
        return compiled


Call = tuple[Prepared, Mapping[str, Any]]


async def rows_together(db: Transaction, *calls: Call) -> list[list[Row]]:
    """Runs statements that all return rows, and of which none needs what another does; returns the rows of each.

    In a direct transaction, that is a single trip to PostgreSQL.
    """
    if len(calls) == 1 or not isinstance(db, Direct) or db.dialect.name == "sqlite":
        return [await prepared.rows(db, parameters) for prepared, parameters in calls]
    each = [prepared._for(db) for prepared, _parameters in calls]
    values = [compiled.values(parameters) for compiled, (_, parameters) in zip(each, calls, strict=True)]
    [answers] = await db.run(postgresql.as_one_text(*(one.text for one in each)), [*chain.from_iterable(values)])
    return [compiled.converted(answer or ()) for compiled, answer in zip(each, answers, strict=True)]


class _Compiled:
    """A statement compiled for one kind of database."""

    def __init__(self, statement: Executable, columns: Sequence[str], dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=columns or None)  # type: ignore[attr-defined]
        assert isinstance(compiled, SQLCompiler)
        assert compiled.positiontup is not None
        self.text = compiled.string
        binds = [(name, compiled.binds[name]) for name in compiled.positiontup]
        types = [(name, bind.type.dialect_impl(dialect)) for name, bind in binds]
        self.binds = [(name, type_.bind_processor(dialect)) for name, type_ in types]
        self.own_values = {name: bind.value for name, bind in binds if not bind.required}
        answered = statement.exported_columns if isinstance(statement, ReturnsRows) else ()
        results = [column.type.dialect_impl(dialect) for column in answered]
        self.results: list[Convert] = [type_.result_processor(dialect, None) for type_ in results]

    def values(self, parameters: Mapping[str, Any]) -> tuple[Any, ...]:
        given = {**self.own_values, **parameters}
        return tuple([convert(given[name]) if convert else given[name] for name, convert in self.binds])

    def converted(self, rows: Sequence[Row]) -> list[Row]:
        if not any(self.results):
            return list(rows)
        return [
            tuple([convert(value) if convert else value for convert, value in zip(self.results, row, strict=True)])
            for row in rows
        ]


def _run(session: Session, method: str, text: str, values: Any) -> Sequence[Row]:
    """Runs a statement in a session's transaction. The method is one of PEP 249's, as the dialect provides it."""
    connection = session.connection()
    cursor = connection.connection.cursor()
    try:
        getattr(connection.dialect, method)(cursor, text, values)
        rows = cursor.fetchall() if cursor.description else []
    except BaseException as error:
        is_lost = refusals.loses_connection(error, connection.dialect, connection.connection.dbapi_connection)
        if is_lost:
            connection.invalidate(error)
        refusals.reraise(error, connection.dialect, is_lost=is_lost)
    cursor.close()
    return rows
