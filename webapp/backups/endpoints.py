"""The two databases of a move: nobody else uses them, rows have one order in both, and new numbers continue the old."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, closing
from pathlib import Path
from typing import Any

from sqlalchemy import Column, ColumnElement, Row, String, Table, collate, func, literal, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import SQLModel

from webapp.backups import Refused
from webapp.database import Database
from webapp.i18n import gettext as _
from webapp.settings.database_url import sqlite_file

AT_ONCE = 500
PATIENCE = 1.0  # seconds for connections that are just closing
OTHERS = """
    SELECT count(*), coalesce(string_agg(DISTINCT nullif(application_name, ''), ', '), 'by itself unnamed')
    FROM pg_stat_activity WHERE backend_type = 'client backend'
    AND datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
"""
Key = Sequence[Any]


def file_of(url: str) -> Path | None:
    """SQLite's file, by the one path that leads to it whatever the URL says; None for PostgreSQL."""
    file = sqlite_file(url)
    return file.resolve() if file else None


@asynccontextmanager
async def connected(url: str, what: str) -> AsyncIterator[AsyncConnection]:
    """One connection, provided that nobody else has one. Raises Refused."""
    if file := file_of(url):
        _must_be_alone_with(file, what)
    async with aclosing(Database(url, is_patient=True)) as database:
        async with database.writing.connect() as connection:
            if file is None:
                await _must_be_alone(connection, what)
            yield connection
        await database.flush.wait()


def _must_be_alone_with(file: Path, what: str) -> None:
    """Takes an exclusive lock, which SQLite refuses while anybody has the file open, even if they are idle."""
    if not file.exists():
        return
    with closing(sqlite3.connect(file, timeout=PATIENCE, isolation_level=None)) as db:
        try:
            db.execute("PRAGMA locking_mode=EXCLUSIVE")
            db.execute("BEGIN EXCLUSIVE")
            db.execute("ROLLBACK")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            raise Refused(_in_use(what, _("`fuser %(file)s` names it") % {"file": file})) from None


async def _must_be_alone(connection: AsyncConnection, what: str) -> None:
    """Checks, as far as the server tells, that nobody else is connected with this log-in.

    A pooler keeps its connections for a while.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        count, names = (await connection.execute(text(OTHERS))).one()
        await connection.commit()  # within a transaction, the view is a snapshot
        if not count:
            return
        if time.monotonic() > deadline:
            raise Refused(_in_use(what, _("connections: %(count)s, %(names)s") % {"count": count, "names": names}))
        await asyncio.sleep(0.1)


def _in_use(what: str, who: str) -> str:
    words = _("%(what)s is in use: stop the site, its mailer and whatever else has it open (%(who)s), then try again.")
    return words % {"what": what, "who": who}


async def keep_writers_out(connection: AsyncConnection) -> None:
    """Keeps others from writing until the transaction ends. On SQLite the lock is there from the beginning."""
    if connection.dialect.name == "postgresql":
        names = ", ".join(table.name for table in SQLModel.metadata.sorted_tables)
        await connection.execute(text(f"LOCK TABLE {names} IN SHARE MODE"))


async def pages(connection: AsyncConnection, table: Table, after: Key | None) -> AsyncIterator[Sequence[Row[Any]]]:
    """The rows after a key, in the same order on both kinds of database."""
    while rows := await page(connection, table, after, AT_ONCE):
        yield rows
        after = key(table, rows[-1])


async def page(connection: AsyncConnection, table: Table, after: Key | None, count: int) -> Sequence[Row[Any]]:
    columns = list(table.primary_key.columns)
    order = [_bytewise(connection, column) for column in columns]
    query = select(table).order_by(*order).limit(count)
    if after is not None:
        values = [literal(value, column.type) for column, value in zip(columns, after, strict=True)]
        query = query.where(tuple_(*order) > tuple_(*values))
    return (await connection.execute(query)).all()


def key(table: Table, row: Row[Any]) -> Key:
    return tuple(row._mapping[column] for column in table.primary_key.columns)


def _bytewise(connection: AsyncConnection, column: Column[Any]) -> ColumnElement[Any]:
    """Compares bytes, as SQLite does; a PostgreSQL server may use the order of some language."""
    kind = getattr(column.type, "impl_instance", column.type)  # SQLModel wraps it
    is_text = isinstance(kind, String) and connection.dialect.name == "postgresql"
    return collate(column, "C") if is_text else column


async def go_on_counting(old: AsyncConnection, new: AsyncConnection, table: Table) -> None:
    """Makes sure that new rows get numbers no row ever had, not even a deleted one: links to posts contain them."""
    column = table.autoincrement_column
    if column is None:
        return
    highest = (await old.execute(select(func.max(column)))).scalar_one() or 0
    if reached := max(highest, await _given(old, table.name, column.name)):
        await _continue(new, table.name, column.name, reached)


async def _given(connection: AsyncConnection, table: str, column: str) -> int:
    """The last number that was given out, as far as the database remembers."""
    if connection.dialect.name == "sqlite":
        if not await _is_remembered(connection, table):
            return 0
        query, names = "SELECT seq FROM sqlite_sequence WHERE name = :table", {"table": table}
    else:
        query = "SELECT pg_sequence_last_value(pg_get_serial_sequence(:table, :column)::regclass)"
        names = {"table": table, "column": column}
    return (await connection.execute(text(query), names)).scalar_one_or_none() or 0


async def _continue(connection: AsyncConnection, table: str, column: str, reached: int) -> None:
    if connection.dialect.name == "postgresql":
        query = text("SELECT setval(pg_get_serial_sequence(:table, :column), :reached)")
        await connection.execute(query, {"table": table, "column": column, "reached": reached})
    elif await _is_remembered(connection, table):
        await connection.execute(text("DELETE FROM sqlite_sequence WHERE name = :table"), {"table": table})
        query = text("INSERT INTO sqlite_sequence (name, seq) VALUES (:table, :reached)")
        await connection.execute(query, {"table": table, "reached": reached})


async def _is_remembered(connection: AsyncConnection, table: str) -> bool:
    """Whether SQLite remembers the numbers it gave out; if not, it continues from the highest."""
    query = text("SELECT sql FROM sqlite_master WHERE name = :table")
    return "AUTOINCREMENT" in ((await connection.execute(query, {"table": table})).scalar() or "")
