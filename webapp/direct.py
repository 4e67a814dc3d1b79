"""Transactions of the hot paths: prepared statements on the driver's own connection, lent by the engine's pool.

Around a short statement SQLAlchemy's session, connection and adapter cost several times what driver and database do.
What is asked for most goes past them: here is only what a transaction needs. Everything else uses a session.
"""

from collections.abc import Callable, Sequence
from typing import Any, NoReturn, Protocol, Self

import asyncpg
from sqlalchemy import Connection, Dialect, PoolProxiedConnection
from sqlalchemy.exc import PendingRollbackError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import greenlet_spawn
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.sqlite import BEGIN_WRITING, OneTripConnection

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
