"""Background work that is done again and again in small pieces, so that nobody waits for it: mostly deleting old rows.

Every web process does it. What one has done, the others don't find any more.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import ColumnElement, case, delete, func, select, tuple_
from sqlmodel import SQLModel, col

from webapp.database import Database, execute, now, table
from webapp.database.refusals import is_away
from webapp.logs import Report

log = logging.getLogger("webapp.housekeeping")

BATCH = 500
LOOKED_AT = 2000
PAUSE_SECONDS = 0.5
EVERY_SECONDS = 600.0


def past(column: datetime | None, kept: timedelta = timedelta()) -> Callable[[], ColumnElement[bool]]:
    """The SQL condition of rows whose time in a column is past, by at least the span for which they are kept."""
    return lambda: col(column) < now() - kept


class Work(Protocol):
    """Something that is done every few minutes."""

    @property
    def name(self) -> str: ...

    async def run_batch(self, database: Database) -> bool:
        """Does some of it in its own transaction; returns whether there is more to do now."""


@dataclass
class CleanupTask:
    """Deletes the rows of a table that meet a condition, which is computed each time."""

    model: type[SQLModel]
    condition: Callable[[], ColumnElement[bool]]

    @property
    def name(self) -> str:
        return str(self.model.__tablename__)

    async def run_batch(self, database: Database) -> bool:
        """Deletes a batch."""
        rows, over = table(self.model), self.condition()
        key = tuple_(*rows.primary_key.columns)
        batch = select(*rows.primary_key.columns).where(over).limit(BATCH)
        async with database.session(is_writing=True) as db:
            # Found first: within the other statement PostgreSQL may look for them again for each row of the table.
            if not (some := [tuple(row) for row in await execute(db, batch)]):
                return False
            # Asked twice, since somebody may just have renewed a row.
            gone = await execute(db, delete(rows).where(key.in_(some), over))
            await db.commit()
        return gone.rowcount == BATCH


@dataclass
class CleanupWalk(CleanupTask):
    """Deletes the rows of a table that meet a condition without an index for it: an index would slow down every write.

    Each batch looks at the next rows along the primary key, so nobody waits for the whole table to be read.
    """

    _after: str = ""

    async def run_batch(self, database: Database) -> bool:
        """Looks at a batch, and only then writes if there is something to delete."""
        rows, over = table(self.model), self.condition()
        [key] = rows.primary_key.columns
        next_ones = select(key, case((over, 1), else_=0).label("is_over")).where(key > self._after).order_by(key)
        batch = next_ones.limit(LOOKED_AT).subquery()
        async with database.session() as db:
            found = select(func.max(batch.c[0]), func.count(), func.sum(batch.c.is_over))
            last, looked_at, ended = (await execute(db, found)).one()
        if ended:
            async with database.session(is_writing=True) as db:
                await execute(db, delete(rows).where(key > self._after, key <= last, over))
                await db.commit()
        self._after = last if looked_at == LOOKED_AT else ""
        return bool(self._after)


async def run(
    database: Database,
    works: Sequence[Work],
    report: Report,
    *,
    every: float = EVERY_SECONDS,
    pause: float = PAUSE_SECONDS,
) -> None:
    """Does all the work again and again, until cancelled. What goes wrong is reported, and tried again."""
    while True:
        # Processes that start together must not all clean at once.
        await asyncio.sleep(every * random.uniform(0.5, 1.5))
        for work in works:
            try:
                await do_all(database, work, pause)
            except Exception as error:
                log.warning("work_failed", extra={"fields": {"work": work.name}}, exc_info=not is_away(error))
                await report(error, work.name)


async def do_all(database: Database, work: Work, pause: float = PAUSE_SECONDS) -> None:
    """Does all there is to do now, with a pause after each batch."""
    while await work.run_batch(database):
        await asyncio.sleep(pause)
