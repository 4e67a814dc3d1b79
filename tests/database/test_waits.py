"""Who waits for a connection while none can be opened."""

import asyncio
import time
from contextlib import aclosing
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from webapp.database import Database, execute
from webapp.database.waits import MOST_SECONDS


def test_nobody_waits_to_the_end_for_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    """C72: those who wait behind the one that tries aren't told that it failed, and try in turn."""

    async def ask(database: Database) -> float:
        began = time.monotonic()
        try:
            async with database.session() as db:
                await execute(db, text("SELECT 1"))
        except OperationalError:
            return time.monotonic() - began
        raise AssertionError("there is no such file")

    async def ask_at_once() -> list[float]:
        async with aclosing(Database(f"sqlite+aiosqlite:///{tmp_path / 'no such folder' / 'site.db'}")) as database:
            return await asyncio.gather(*(ask(database) for _time in range(20)))

    assert max(asyncio.run(ask_at_once())) < MOST_SECONDS
