"""The pool: how many connections a process has, and that nobody is turned away for it."""

import asyncio

import pytest
from sqlalchemy import text

from webapp.database import Database, execute

pytestmark = pytest.mark.anyio

CONNECTIONS = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")


async def test_a_process_opens_eight_connections_to_postgresql_and_all_have_their_turn(postgres_url: str) -> None:
    database = Database(postgres_url)

    async def visit() -> int:
        async with database.session() as db:
            await execute(db, text("SELECT pg_sleep(0.1)"))
            return int((await execute(db, CONNECTIONS)).scalar_one())

    seen = await asyncio.gather(*(visit() for _number in range(30)))
    await database.aclose()

    assert max(seen) == 8
