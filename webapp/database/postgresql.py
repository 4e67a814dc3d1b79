"""What PostgreSQL needs: limits of time, and care for the poolers that platforms put before it."""

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
    """Finds out, before the first connection of a process, whether a pooler stands before the server."""

    def __init__(self) -> None:
        self.is_there: bool | None = None

    def look(self, _dialect: object, _record: object, arguments: Any, parameters: dict[str, Any]) -> None:
        """SQLAlchemy's `do_connect`: then nothing is prepared under a name, for processes would give the same ones."""
        if "statement_cache_size" in parameters:
            return  # the address of the database says which it is
        if self.is_there is None:
            self.is_there = await_(_has_other_process(arguments, parameters))
        if self.is_there:
            parameters.update(POOLED)


async def _has_other_process(arguments: Any, parameters: dict[str, Any]) -> bool | None:
    """A pooler makes up the process id that it tells at the start; the server tells its own."""
    import asyncpg  # only where it is used: it costs every process of SQLite's time and memory

    own = {name: value for name, value in parameters.items() if not name.startswith("prepared_statement_")}
    try:
        connection = await asyncpg.connect(*arguments, **{**own, "statement_cache_size": 0})
    except (asyncpg.PostgresError, asyncpg.InterfaceError):
        return None  # the connection itself will be refused alike, and SQLAlchemy says so
    try:
        return bool(await connection.fetchval("SELECT pg_backend_pid()") != connection.get_server_pid())
    finally:
        connection.terminate()


def refuse_closed(connection: Any, _record: object, _lent: object) -> None:
    """The driver knows, without a trip, that a server hung up. After its restart nobody's request fails for that."""
    if connection.driver_connection.is_closed():
        raise InvalidatePoolError


def hang_up_after_silence(failure: ExceptionContext) -> None:
    """Gives up a connection whose statement took too long.

    Left to itself the driver would wait for the server to confirm a cancellation: two more seconds, and PgBouncer 1.18
    ends when the one who asked for that is gone before it was passed on (its issue 801).
    """
    if isinstance(failure.original_exception, TimeoutError) and failure.connection is not None:
        driver: Any = failure.connection.connection.driver_connection
        driver.terminate()
        failure.is_disconnect = True


class HotPath:
    """What `hot.py` asks of a driver, by asyncpg."""

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
