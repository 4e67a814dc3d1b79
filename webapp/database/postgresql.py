"""What PostgreSQL needs: time limits, and care with the poolers that platforms put in front of it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import ExceptionContext
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.util import await_

from webapp.settings.database_url import POOLED

if TYPE_CHECKING:
    import asyncpg

# Seconds for opening a connection, and for a statement: a database that is frozen or overrun is a page that says so,
# within ten seconds. They are the driver's, since poolers refuse the server's own as startup parameters.
TIME_LIMITS = {"timeout": 5.0, "command_timeout": 6.0}


class Pooler:
    """Finds out, before a process's first connection, whether a pooler stands in front of the server."""

    def __init__(self) -> None:
        self.is_there: bool | None = None

    def look(self, _dialect: object, _record: object, arguments: Any, parameters: dict[str, Any]) -> None:
        """SQLAlchemy's `do_connect`. Behind a pooler no prepared statement gets a name: processes would use the
        same.
        """
        if "statement_cache_size" in parameters:
            return  # the address of the database says which it is
        if self.is_there is None:
            self.is_there = await_(_has_other_process(arguments, parameters))
        if self.is_there:
            parameters.update(POOLED)


async def _has_other_process(arguments: Any, parameters: dict[str, Any]) -> bool | None:
    """A pooler makes up the process id in its greeting; a server gives its own."""
    import asyncpg  # imported here, so a site with SQLite doesn't pay for it

    own = {name: value for name, value in parameters.items() if not name.startswith("prepared_statement_")}
    try:
        connection = await asyncpg.connect(*arguments, **{**own, "statement_cache_size": 0})
    except (asyncpg.PostgresError, asyncpg.InterfaceError):
        return None  # the connection itself will fail the same way, and SQLAlchemy reports it
    try:
        return bool(await connection.fetchval("SELECT pg_backend_pid()") != connection.get_server_pid())
    finally:
        connection.terminate()


def refuse_closed(connection: Any, _record: object, _lent: object) -> None:
    """Refuses a connection that the server has closed, so no request fails after a restart.

    The driver knows without a round trip.
    """
    if connection.driver_connection.is_closed():
        raise InvalidatePoolError


def hang_up_after_silence(failure: ExceptionContext) -> None:
    """Closes a connection whose statement took too long.

    By itself the driver would wait for the server to confirm the cancellation: two more seconds. And PgBouncer 1.18
    crashes if the client is gone before the cancellation was passed on (its issue 801).
    """
    if isinstance(failure.original_exception, TimeoutError) and failure.connection is not None:
        driver: Any = failure.connection.connection.driver_connection
        driver.terminate()
        failure.is_disconnect = True


class HotPath:
    """What `hot.py` needs from a driver, for asyncpg."""

    def __init__(self, connection: "asyncpg.Connection") -> None:
        self.connection = connection

    async def begin(self) -> None:
        await self.connection.execute("BEGIN")

    async def run(self, text: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self.connection.fetch(text, *values)]

    async def run_each(self, text: str, many_values: Sequence[Sequence[Any]]) -> None:
        await self.connection.executemany(text, many_values)

    async def commit(self) -> None:
        await self.connection.execute("COMMIT")

    async def rollback(self) -> None:
        await self.connection.execute("ROLLBACK")


class OneStatement(HotPath):
    """A single statement is its own transaction, which saves the round trips for BEGIN and COMMIT."""

    async def begin(self) -> None: ...

    async def commit(self) -> None: ...

    async def rollback(self) -> None: ...
