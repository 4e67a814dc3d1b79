"""Who waits for a connection, and who is next."""

import asyncio
import time
from contextlib import AsyncExitStack, aclosing
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


def test_whoever_asks_as_a_connection_comes_back_is_behind_those_who_wait(database_url: str) -> None:
    """C65: otherwise one visitor of a busy site waits until the end while all others pass."""
    order: list[str] = []

    async def ask(database: Database, who: str) -> None:
        async with database.engine.connect():
            order.append(who)

    async def ask_in_turn() -> None:
        async with aclosing(Database(database_url)) as database, AsyncExitStack() as others:
            for _number in range(1 if database.is_sqlite else 8):
                last = await others.enter_async_context(database.engine.connect())
            waiting = asyncio.create_task(ask(database, "first"))
            while not database.waits.waiting:
                await asyncio.sleep(0)
            await last.close()
            await ask(database, "second")
            await waiting

    asyncio.run(ask_in_turn())

    assert order == ["first", "second"]
