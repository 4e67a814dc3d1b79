"""Clears away what is no longer needed, a little at a time, so that nobody waits behind it.

Every web process does so; what one has cleared away the others no longer find.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Table, delete, select, tuple_
from sqlmodel import SQLModel

from webapp.database import Database

log = logging.getLogger("webapp.housekeeping")

BATCH = 500
PAUSE_SECONDS = 0.5
EVERY_SECONDS = 600.0


@dataclass(frozen=True)
class Chore:
    """The rows of a table that may go: those that the condition, made at that moment, names."""

    model: type[SQLModel]
    condition: Callable[[], ColumnElement[bool]]

    async def do(self, database: Database) -> int:
        """Deletes a batch in a transaction of its own; returns how many rows went."""
        table: Table = self.model.__table__  # type: ignore[attr-defined]
        key = tuple_(*table.primary_key.columns)
        batch = select(*table.primary_key.columns).where(self.condition()).limit(BATCH)
        async with database.session(is_writing=True) as db:
            connection = await db.connection()
            gone = await connection.execute(delete(table).where(key.in_(batch)))
            await db.commit()
        return gone.rowcount


async def run(database: Database, chores: Sequence[Chore]) -> None:
    """Does the chores again and again, until it is cancelled."""
    while True:
        # Processes that started together shall not all come at once.
        await asyncio.sleep(EVERY_SECONDS * random.uniform(0.5, 1.5))
        for chore in chores:
            try:
                await _do_all(database, chore)
            except Exception:
                log.exception("chore_failed", extra={"fields": {"table": chore.model.__tablename__}})


async def _do_all(database: Database, chore: Chore) -> None:
    while await chore.do(database) == BATCH:
        await asyncio.sleep(PAUSE_SECONDS)
