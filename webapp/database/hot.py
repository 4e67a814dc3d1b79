"""The hot paths: statements that pass SQLAlchemy by, compiled once and handed to the driver as they are.

Around a short statement SQLAlchemy's session, connection and adapter cost several times what driver and database do.
What is asked for most goes past them, in one room: a `Prepared` statement, and the `Direct` transaction that runs it.
Everything else uses a session. docs/architecture.md has the figures.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, Protocol, Self

import asyncpg
from sqlalchemy import Connection, Dialect, PoolProxiedConnection
from sqlalchemy.exc import PendingRollbackError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Session
from sqlalchemy.sql.base import Executable
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.selectable import ReturnsRows
from sqlalchemy.types import TypeEngine
from sqlalchemy.util import greenlet_spawn
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.database.sqlite import BEGIN_WRITING, OneTripConnection

Row = tuple[Any, ...]
Values = Sequence[Any]


class Direct:
    """A transaction for prepared statements alone (see `Prepared`), as a context that undoes what was not committed.

    One that writes begins with its first statement. One that reads is no transaction: each of its statements stands
    by itself, and is spared the trips for BEGIN and ROLLBACK.

    Raises what SQLAlchemy raises; what has failed can only be rolled back.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        info: dict[str, Any],
        after_commit: Callable[["Direct"], None],
        *,
        is_writing: bool,
    ) -> None:
        self.dialect: Dialect = engine.dialect
        self.info = info
        self._engine = engine
        self._after_commit = after_commit
        self._is_writing = is_writing
        self._connection: PoolProxiedConnection | None = None
        self._driver: Driver | None = None
        self._has_failed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._connection:
            await self.rollback()

    async def run(self, text: str, values: Values) -> list[Row]:
        """Runs a statement in the driver's own words; returns its rows."""
        driver = self._driver or await self._begin()
        try:
            return await driver.run(text, values)
        except BaseException as error:
            await self._fail(error)

    async def run_each(self, text: str, many_values: Sequence[Values]) -> None:
        """Runs a statement once for each of the values."""
        driver = self._driver or await self._begin()
        try:
            await driver.run_each(text, many_values)
        except BaseException as error:
            await self._fail(error)

    async def commit(self) -> None:
        if self._has_failed:
            raise PendingRollbackError("A statement has failed, so there is nothing that could be committed.")
        if self._driver and self._is_writing:
            try:
                await self._driver.commit()
            except BaseException as error:
                await self._fail(error)
        self._give_back()
        self._after_commit(self)

    async def rollback(self) -> None:
        if self._driver and self._is_writing:
            try:
                await self._driver.rollback()
            except BaseException as error:
                try:
                    await self._fail(error)
                finally:
                    self._throw_away()
        self._give_back()
        self._has_failed = False

    async def _begin(self) -> "Driver":
        try:
            self._connection = await self._engine.raw_connection()
        except self.dialect.loaded_dbapi.Error as error:
            Connection._handle_dbapi_exception_noconnection(error, self.dialect, self._engine.sync_engine)
        self._driver = _DRIVERS[self.dialect.name](self._connection.driver_connection)
        if self._is_writing:
            try:
                await self._driver.begin()
            except BaseException as error:
                await self._fail(error)
        return self._driver

    def _give_back(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = self._driver = None

    def _throw_away(self) -> None:
        if self._connection:
            self._connection.invalidate()  # nobody else shall go on within this transaction
        self._give_back()

    async def _fail(self, error: BaseException) -> NoReturn:
        self._has_failed = True
        await greenlet_spawn(self._raise, error)
        raise AssertionError("SQLAlchemy raises what it is given")

    def _raise(self, error: BaseException) -> None:
        """As SQLAlchemy does: it tells whether the connection is lost, and wraps what a driver raises."""
        assert self._connection is not None
        connection = Connection(self._engine.sync_engine, self._connection)
        adapter: Any = self._connection.dbapi_connection
        try:
            adapter._handle_exception(error)
        except BaseException as translated:
            try:
                connection._handle_dbapi_exception(translated, None, None, None, None)
            finally:
                if connection.invalidated:
                    self._give_back()


Transaction = AsyncSession | Direct


class Driver(Protocol):
    """A driver's connection."""

    async def begin(self) -> None: ...

    async def run(self, text: str, values: Values) -> list[Row]: ...

    async def run_each(self, text: str, many_values: Sequence[Values]) -> None: ...

    async def commit(self) -> None: ...

    async def rollback(self) -> None: ...


class PostgreSQL:
    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection

    async def begin(self) -> None:
        await self.connection.execute("BEGIN")

    async def run(self, text: str, values: Values) -> list[Row]:
        return [tuple(row) for row in await self.connection.fetch(text, *values)]

    async def run_each(self, text: str, many_values: Sequence[Values]) -> None:
        await self.connection.executemany(text, many_values)

    async def commit(self) -> None:
        await self.connection.execute("COMMIT")

    async def rollback(self) -> None:
        await self.connection.execute("ROLLBACK")


class SQLite:
    def __init__(self, connection: OneTripConnection) -> None:
        self.connection = connection
        self.commit = connection.commit
        self.rollback = connection.rollback

    async def begin(self) -> None:
        self.connection.begin = BEGIN_WRITING  # which goes along with the first statement

    async def run(self, text: str, values: Values) -> list[Row]:
        return await (await self.connection.cursor().execute(text, values)).fetchall()

    async def run_each(self, text: str, many_values: Sequence[Values]) -> None:
        await self.connection.cursor().executemany(text, many_values)


_DRIVERS: dict[str, Callable[[Any], Driver]] = {"postgresql": PostgreSQL, "sqlite": SQLite}


Convert = Callable[[Any], Any] | None


class Prepared:
    """A statement with bind parameters for all that changes; for an INSERT, also the columns that it is given.

    It runs in the transaction that it is given, past the ORM. Raises what SQLAlchemy raises.
    """

    def __init__(self, statement: Executable, *columns: str) -> None:
        self.statement = statement
        self.columns = columns
        self._compiled: dict[str, _Compiled] = {}

    async def rows(self, db: Transaction, parameters: Mapping[str, Any]) -> list[Row]:
        """Runs it once; returns its rows, each with the columns in their order."""
        if isinstance(db, Direct):
            compiled = self._for(db.dialect)
            return compiled.converted(await db.run(compiled.text, compiled.values(parameters)))
        return await db.run_sync(self._run, parameters)

    async def row(self, db: Transaction, parameters: Mapping[str, Any]) -> Row | None:
        """Runs it once; returns the first row, or None if there is none."""
        rows = await self.rows(db, parameters)
        return rows[0] if rows else None

    async def run_each(self, db: Transaction, parameters: Sequence[Mapping[str, Any]]) -> None:
        """Runs it once for each of the parameters, in one trip where the driver can."""
        if isinstance(db, Direct):
            compiled = self._for(db.dialect)
            return await db.run_each(compiled.text, [compiled.values(each) for each in parameters])
        await db.run_sync(self._run_each, parameters)

    def _run(self, session: Session, parameters: Mapping[str, Any]) -> list[Row]:
        connection = session.connection()
        compiled = self._for(connection.dialect)
        values = compiled.values(parameters)
        return compiled.converted(_execute(connection, connection.dialect.do_execute, compiled.text, values))

    def _run_each(self, session: Session, parameters: Sequence[Mapping[str, Any]]) -> None:
        connection = session.connection()
        compiled = self._for(connection.dialect)
        values = [compiled.values(each) for each in parameters]
        _execute(connection, connection.dialect.do_executemany, compiled.text, values)

    def _for(self, dialect: Dialect) -> "_Compiled":
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = self._compiled[dialect.name] = _Compiled(self.statement, self.columns, dialect)
        return compiled


class _Compiled:
    """A statement as one kind of database takes it."""

    def __init__(self, statement: Executable, columns: Sequence[str], dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=columns or None)  # type: ignore[attr-defined]
        assert isinstance(compiled, SQLCompiler)
        assert compiled.positiontup is not None
        self.text = compiled.string
        binds = [(name, compiled.binds[name]) for name in compiled.positiontup]
        self.binds = [(name, _to_driver(bind.type, dialect)) for name, bind in binds]
        self.own_values = {name: bind.value for name, bind in binds if not bind.required}
        answered = statement.exported_columns if isinstance(statement, ReturnsRows) else ()
        self.results = [_from_driver(column.type, dialect) for column in answered]

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


def _execute(connection: Connection, do_execute: Callable[..., None], text: str, values: Any) -> Sequence[Row]:
    cursor = connection.connection.cursor()
    try:
        do_execute(cursor, text, values)
        rows = cursor.fetchall() if cursor.description else []
    except BaseException as error:
        # As Connection.execute does: it tells whether the connection is lost, and wraps what a driver raises.
        connection._handle_dbapi_exception(error, None, None, cursor, None)
    cursor.close()
    return rows


def _to_driver(type_: TypeEngine[Any], dialect: Dialect) -> Convert:
    return type_.dialect_impl(dialect).bind_processor(dialect)


def _from_driver(type_: TypeEngine[Any], dialect: Dialect) -> Convert:
    return type_.dialect_impl(dialect).result_processor(dialect, None)
