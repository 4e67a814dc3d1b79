"""Looks into a site's database from outside of the site, as its host might with a shell."""

from collections.abc import Sequence
from typing import Any

from anyio.from_thread import start_blocking_portal
from sqlalchemy import Row, text

from webapp.database import Database


def query(database_url: str, statement: str, **values: object) -> Sequence[Row[Any]]:
    """The rows of one statement; what it changed is committed."""

    async def run() -> Sequence[Row[Any]]:
        database = Database(database_url)
        try:
            async with database.session(is_writing=True) as db:
                result = await (await db.connection()).execute(text(statement), values)
                rows = result.all() if result.returns_rows else []
                await db.commit()
        finally:
            await database.close()
        return rows

    with start_blocking_portal() as portal:
        return portal.call(run)
