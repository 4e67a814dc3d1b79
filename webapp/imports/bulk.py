"""Writes thousands of rows beside a running site: in short turns, and many rows in one statement.

With a statement for each row, 50,000 took four seconds of PostgreSQL's processor time. This takes 0.6.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import JSON, ColumnElement, Insert, String, TableValuedAlias, bindparam, cast, func, select
from sqlalchemy import Table as SqlTable
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.database import Database, execute
from webapp.i18n import gettext as _
from webapp.i18n import number
from webapp.logs import say

TURN = 0.08  # seconds of SQLite's write lock, and of the disk
AT_ONCE, FEWEST_AT_ONCE, MOST_AT_ONCE = 250, 50, 1000  # at first, and at least and at most from then on
LINES_A_REPORT = 5000
Item = TypeVar("Item")


async def in_turns(
    database: Database, items: Sequence[Item], work: Callable[[AsyncSession, Sequence[Item]], Awaitable[object]]
) -> None:
    """Writes as many at a time as a moment allows, and leaves a running site half as much time in between."""
    done, size = 0, AT_ONCE
    while done < len(items):
        began = time.monotonic()
        async with database.session(is_writing=True) as db:
            await work(db, items[done : done + size])
            await db.commit()
        took = time.monotonic() - began
        _report(done, done + size, len(items))
        done += size
        size = _next_size(size, took)
        await asyncio.sleep(took / 2)


def _report(before: int, done: int, everything: int) -> None:
    if done // LINES_A_REPORT > before // LINES_A_REPORT and done < everything:
        words = _("%(done)s of %(all)s ...") % {"done": number(done), "all": number(everything)}
        say(words, sys.stderr)


def _next_size(size: int, took: float) -> int:
    """How many fit into a turn, after `size` of them took so many seconds. Each turn waits for the disk once."""
    fitting = int(size * TURN / max(took, 0.001))
    return max(FEWEST_AT_ONCE, min(fitting, 2 * size, MOST_AT_ONCE))


async def insert(
    db: AsyncSession, into: SqlTable, columns: Sequence[str], rows: Sequence[Sequence[str]], defaults: Mapping[str, Any]
) -> None:
    """Inserts rows of texts, in their order; all other columns have the `defaults` values. Raises IntegrityError."""
    others = {name: value for name, value in defaults.items() if name not in columns and value is not None}
    statement = _statement(into, columns, list(others), db.get_bind().dialect.name == "sqlite")
    await execute(db, statement, {**others, "rows": json.dumps(rows)})


def _statement(into: SqlTable, columns: Sequence[str], others: Sequence[str], is_sqlite: bool) -> Insert:
    found = _unpacked(is_sqlite)
    cells = [_cell(found, number, is_sqlite) for number in range(len(columns))]
    values = [bindparam(name, type_=into.c[name].type) for name in others]
    return into.insert().from_select([*columns, *others], select(*cells, *values).select_from(found))


def _unpacked(is_sqlite: bool) -> TableValuedAlias:
    rows = bindparam("rows", type_=String())
    return (func.json_each(rows) if is_sqlite else func.json_array_elements(cast(rows, JSON))).table_valued("value")


def _cell(found: TableValuedAlias, number: int, is_sqlite: bool) -> ColumnElement[str]:
    if is_sqlite:
        return func.json_extract(found.c.value, f"$[{number}]")
    return found.c.value.op("->>")(number)
