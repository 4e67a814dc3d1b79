"""The pool: how many connections a process has, and that nobody is turned away for it."""

import asyncio

import pytest
from sqlalchemy import text

from tests.mailbox import PATIENCE
from webapp.database import Database, execute

pytestmark = pytest.mark.anyio

# Without the server's own, such as that of an autovacuum that happens to look in.
CONNECTIONS = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
)


async def test_a_process_opens_eight_connections_to_postgresql_and_all_have_their_turn(postgres_url: str) -> None:
    database = Database(postgres_url)

    async def visit(seconds: float = 0.1) -> int:
        async with database.session() as db:
            await execute(db, text(f"SELECT pg_sleep({seconds})"))
            return int((await execute(db, CONNECTIONS)).scalar_one())

    async with asyncio.timeout(PATIENCE):
        while await visit(0) > 1:  # the first of a process also looks for a pooler, and hangs up
            await asyncio.sleep(0.01)
    seen = await asyncio.gather(*(visit() for _number in range(30)))
    await database.aclose()

    assert max(seen) == 8
