"""What PostgreSQL needs: time limits, few trips, and care with the poolers that platforms put in front of it."""

import json
import re
from collections import namedtuple
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import DateTime, ExceptionContext, ScalarSelect, Select, Text, TextualSelect, cast, func, select
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.util import await_
from sqlmodel.sql.sqltypes import UTCDateTime

from webapp.settings.database_url import POOLED

if TYPE_CHECKING:
    import asyncpg

# Seconds for opening a connection, and for a statement: a database that is frozen or overrun is a page that says so,
# within ten seconds. They are the driver's, since poolers refuse the server's own as startup parameters.
TIME_LIMITS = {"timeout": 5.0, "command_timeout": 6.0}
# The same for commands, which would otherwise wait for a frozen server for ever, and say nothing.
PATIENT_LIMITS = {"timeout": 10.0, "command_timeout": 600.0}


# Takes 128 kB of the disk for a moment: what is left of the pages that tables have says nothing about it.
GROWS = (
    "DO $$ BEGIN IF has_database_privilege(current_database(), 'TEMPORARY') THEN"
    " CREATE TEMPORARY TABLE try_to_grow ON COMMIT DROP AS SELECT repeat('x', 2000) FROM generate_series(1, 64);"
    " END IF; END $$"
)


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


Query = Select[*tuple[Any, ...]] | TextualSelect


def as_one(queries: Sequence[Query]) -> Select[*tuple[Any, ...]]:
    """Several queries as a single one, so that one trip answers all: for each a column, with its rows as JSON."""
    return select(*(_as_json(query).label(f"of_{number}") for number, query in enumerate(queries)))


def rows_of(query: Query, answer: str | None) -> list[Any]:
    """The rows of one of them. They have what the query would have given, in columns of the same names."""
    columns = list(query.selected_columns)
    row = _row(*(column.key or "" for column in columns))
    moments = [place for place, column in enumerate(columns) if isinstance(column.type, DateTime | UTCDateTime)]
    values = json.loads(answer) if answer else []
    for each in values:
        for place in moments:
            each[place] = each[place] and datetime.fromisoformat(each[place]).astimezone(UTC)
    return [row(*each) for each in values]


def _as_json(query: Query) -> ScalarSelect[str]:
    rows = query.subquery()
    return select(cast(func.json_agg(func.json_build_array(*rows.c)), Text)).select_from(rows).scalar_subquery()


@cache
def _row(*names: str) -> Any:
    return namedtuple("Row", names, rename=True)


@cache
def as_one_text(*statements: str) -> str:
    """Statements in the driver's own syntax as a single one: for each a column, with its rows as an array.

    Its parameters are theirs, one after the other.
    """
    taken, named = 0, []
    for number, text in enumerate(statements):
        named.append(f"of_{number} AS ({_PARAMETER.sub(partial(_renumbered, taken), text)})")
        taken += len(set(_PARAMETER.findall(text)))
    rows = (f"(SELECT array_agg(of_{number}) FROM of_{number})" for number in range(len(statements)))
    return f"WITH {', '.join(named)} SELECT {', '.join(rows)}"


def _renumbered(taken: int, parameter: re.Match[str]) -> str:
    return f"${int(parameter[1]) + taken}"


_PARAMETER = re.compile(r"\$(\d+)")


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
