"""Moves the data of a stopped site to another database, of either kind, and compares every row."""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from alembic.util import CommandError
from sqlalchemy import Table, delete, inspect, make_url, select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import SQLModel

from webapp.backups import Refused, endpoints
from webapp.backups.endpoints import Key
from webapp.database import migrations, refusals
from webapp.database.migrations import MOVING
from webapp.i18n import gettext as _
from webapp.settings import database_url

Say = Callable[[str], None]


class _Differs(Exception):
    """A row differs between the two databases; says which."""


def run(source: str, to: str, say: Say) -> None:
    """Copies all rows, compares them, and says what it did. Raises Refused.

    Rows are committed as they arrive. After an interruption, run it again: it compares what is there and goes on. If
    the old database has changed meanwhile, it starts over. Until the end, the new database has no revision that a site
    would start with. The old one stays as it is.
    """
    _must_differ(source, to)
    named = "--to"
    try:
        if not asyncio.run(_is_begun(to, _mark(source))):
            migrations.upgrade(to)
        named = "DATABASE_URL"
        asyncio.run(_move(source, to, say))
    except (SQLAlchemyError, sqlite3.Error, OSError, CommandError) as error:
        words = _("The data can't be moved: %(reason)s")
        reason = refusals.with_advice(error).replace("DATABASE_URL", named)
        raise Refused(words % {"reason": reason}) from None


def _must_differ(source: str, to: str) -> None:
    try:
        is_same = database_url.read(source) == database_url.read(to)
    except ValueError as refused:
        raise Refused(str(refused).replace("DATABASE_URL", "--to")) from None
    old, new = endpoints.file_of(source), endpoints.file_of(to)
    if is_same or (new and new == old):
        raise Refused(_("--to names the database that the site already uses."))
    if old and not old.is_file():
        raise Refused(_("There is no database at %(source)s.") % {"source": old})
    if new and not new.parent.is_dir():
        raise Refused(_("There is no folder %(file)s.") % {"file": new.parent})


def _mark(source: str) -> str:
    """Stands in for the revision of the new database during the move: where its rows come from, and their schema."""
    where = str(endpoints.file_of(source) or make_url(database_url.read(source)[0]).set(password=None))
    return f"{MOVING}{blake2b(f'{where} {migrations.newest()}'.encode(), digest_size=8).hexdigest()}"


async def _is_begun(to: str, mark: str) -> bool:
    """Whether an earlier run of this move has begun to fill the database. Raises Refused if it holds anything else."""
    if (file := endpoints.file_of(to)) and not file.exists():
        return False
    async with endpoints.connected(to, _("The database of --to")) as new:
        version = await migrations.version(new)
        if version == mark:
            return True
        names = set(await new.run_sync(lambda connection: inspect(connection).get_table_names()))
        if version is None and names:
            raise Refused(
                _("The database of --to is not empty: it has a table %(table)s. Nothing was moved.")
                % {"table": min(names)}
            )
        for table in SQLModel.metadata.sorted_tables:
            if table.name in names and (await new.execute(select(table).limit(1))).first():
                raise Refused(
                    _("The database of --to is not empty: it has rows in %(table)s. Nothing was moved.")
                    % {"table": table.name}
                )
    return False


async def _move(source: str, to: str, say: Say) -> None:
    tables = SQLModel.metadata.sorted_tables
    async with (
        endpoints.connected(source, _("The database")) as old,
        endpoints.connected(to, _("The database of --to")) as new,
    ):
        if await migrations.version(old) != migrations.newest():
            raise Refused(_("The database is not up to date: run `python -m webapp migrate` first."))
        await endpoints.keep_writers_out(old)
        await _begin(old, new, _mark(source), say)
        for table in tables:
            say(f"{await _copy(old, new, table):9,} {table.name}")
        for table in tables:
            await _compare(old, new, table)
            await endpoints.go_on_counting(old, new, table)
        await _set_version(new, migrations.newest())
    say(_("Every row is the same in both. Now set DATABASE_URL to the new one, and start the site."))


async def _begin(old: AsyncConnection, new: AsyncConnection, mark: str, say: Say) -> None:
    """Marks the new database as half filled, or finds out how far an earlier run got."""
    if await migrations.version(new) != mark:
        return await _set_version(new, mark)
    try:
        for table in SQLModel.metadata.sorted_tables:
            await _reached(old, new, table)
    except _Differs:
        say(_("The old database has changed since this move began: it starts over."))
        for table in reversed(SQLModel.metadata.sorted_tables):
            await new.execute(delete(table))
        await new.commit()
    else:
        say(_("Continuing a move that was cut short."))


async def _set_version(new: AsyncConnection, version: str) -> None:
    await new.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})
    await new.commit()


async def _copy(old: AsyncConnection, new: AsyncConnection, table: Table) -> int:
    """Copies the rows that aren't there yet; returns how many."""
    count, last = 0, await _last(new, table)
    async for rows in endpoints.pages(old, table, last):
        await _insert(new, table, [row._mapping for row in rows])
        await new.commit()
        count += len(rows)
    return count


async def _last(new: AsyncConnection, table: Table) -> Key | None:
    last = None
    async for rows in endpoints.pages(new, table, None):
        last = endpoints.key(table, rows[-1])
    return last


async def _insert(new: AsyncConnection, table: Table, rows: Sequence[Mapping[Any, Any]]) -> None:
    values = [{column.name: row[column] for column in table.columns} for row in rows]
    try:
        await new.execute(table.insert(), values)
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        await new.rollback()
        await _insert_each(new, table, values)


async def _insert_each(new: AsyncConnection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Finds the row that doesn't fit. SQLite stores texts of any length, and NULs in them; PostgreSQL doesn't."""
    for row in rows:
        try:
            await new.execute(table.insert(), row)
        except DBAPIError as error:
            which = ", ".join(f"{column.name} {row[column.name]}" for column in table.primary_key.columns)
            raise Refused(
                _("The row of %(table)s with %(which)s does not fit there: %(reason)s")
                % {"table": table.name, "which": which, "reason": refusals.in_words(error)}
            ) from None


async def _compare(old: AsyncConnection, new: AsyncConnection, table: Table) -> None:
    try:
        last = await _reached(old, new, table)
        if await endpoints.page(old, table, last, 1):
            raise _Differs(_("rows of %(table)s are missing") % {"table": table.name})
    except _Differs as found:
        raise Refused(_("After copying, %(found)s. Run this again: it starts over.") % {"found": found}) from None


async def _reached(old: AsyncConnection, new: AsyncConnection, table: Table) -> Key | None:
    """The key of the new database's last row. Raises _Differs if the rows up to it differ from the old ones."""
    last = None
    async for there in endpoints.pages(new, table, None):
        ours = await endpoints.page(old, table, last, len(there))
        for mine, copy in zip(ours, there, strict=False):
            if tuple(mine) != tuple(copy):
                raise _Differs(
                    _("%(table)s %(row)s is not the same in both")
                    % {"table": table.name, "row": endpoints.key(table, mine)}
                )
        if len(ours) < len(there):
            raise _Differs(_("%(table)s has more rows than before") % {"table": table.name})
        last = endpoints.key(table, there[-1])
    return last
