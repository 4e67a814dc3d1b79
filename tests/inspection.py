"""Looks into a site's database from outside of the site, as its host might with a shell."""

import sqlite3
import time
from contextlib import aclosing, closing
from typing import Any

from anyio.from_thread import start_blocking_portal
from sqlalchemy import text

from webapp.database import Database


def query(database_url: str, statement: str, **values: object) -> list[tuple[Any, ...]]:
    """The rows of one statement; what it changed is committed."""
    if database_url.startswith("sqlite"):
        with closing(sqlite3.connect(database_url.partition(":///")[2], timeout=10)) as connection, connection:
            return connection.execute(statement, values).fetchall()

    async def run() -> list[tuple[Any, ...]]:
        async with aclosing(Database(database_url)) as database, database.session(is_writing=True) as db:
            result = await (await db.connection()).execute(text(statement), values)
            rows = [tuple(row) for row in result] if result.returns_rows else []
            await db.commit()
        return rows

    with start_blocking_portal() as portal:
        return portal.call(run)


def wait_for_rows(database_url: str, statement: str, count: int = 1, patience: float = 30.0) -> list[tuple[Any, ...]]:
    """The rows of a query, once there are at least `count`."""
    deadline = time.monotonic() + patience
    while len(rows := query(database_url, statement)) < count:
        if time.monotonic() > deadline:
            everything = query(database_url, "SELECT id, kind, state, attempts, code, reason FROM outbox_email")
            raise AssertionError(f"{len(rows)} of {count} for {statement}: {everything}")
        time.sleep(0.02)
    return rows
