"""Prepared statements on both databases: what they take and give, and what becomes of what goes wrong."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from sqlalchemy import bindparam, insert, make_url, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from webapp.database import Database
from webapp.mail.outbox import letters
from webapp.prepared import Prepared

pytestmark = pytest.mark.anyio

MOMENT = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
LETTER = {
    "id": 7,
    "kind": "register",
    "recipient": "susan@example.com",
    "parameters": {"count": 3, "name": "Zoë"},
    "language": "en",
    "user_id": None,
    "message_id": "<7@blog.example>",
    "created": MOMENT,
    "due": MOMENT,
    "expires": MOMENT + timedelta(hours=1),
}
ADD = Prepared(
    insert(letters).values(can_wait=True, state="ready", attempts=0, crashes=0, fence=0).returning(letters.c.can_wait),
    *LETTER,
)
OLDEST = Prepared(
    select(letters.c.id, letters.c.parameters, letters.c.created, letters.c.user_id)
    .where(letters.c.due <= bindparam("moment"))
    .order_by(letters.c.id)
    .limit(1)
)
MOVE = Prepared(update(letters).where(letters.c.id == bindparam("letter")).values(kind=bindparam("new_kind")))
KINDS = Prepared(select(letters.c.kind).order_by(letters.c.id))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


async def add(database: Database, *ids: int) -> None:
    async with database.session(is_writing=True) as db:
        for number in ids:
            assert await ADD.rows(db, LETTER | {"id": number}) == [(True,)]
        await db.commit()


async def kinds(database: Database) -> list[str]:
    async with database.session() as db:
        return [kind for (kind,) in await KINDS.rows(db, {})]


async def test_values_come_back_as_they_went_in(database: Database) -> None:
    await add(database, 7, 8)

    async with database.session() as db:
        found = await OLDEST.rows(db, {"moment": MOMENT})
        one = await OLDEST.row(db, {"moment": MOMENT})
        none = await OLDEST.row(db, {"moment": MOMENT - timedelta(microseconds=1)})

    assert found == [(7, {"count": 3, "name": "Zoë"}, MOMENT, None)]
    assert (one, none) == (found[0], None)


async def test_a_statement_runs_for_each_of_many(database: Database) -> None:
    await add(database, 7, 8, 9)

    async with database.session(is_writing=True) as db:
        await MOVE.run_each(db, [{"letter": 7, "new_kind": "one"}, {"letter": 9, "new_kind": "two"}])
        await db.commit()

    assert await kinds(database) == ["one", "register", "two"]


async def test_it_is_part_of_the_sessions_transaction(database: Database) -> None:
    async with database.session(is_writing=True) as db:
        await ADD.rows(db, LETTER)
        await db.rollback()

    assert await kinds(database) == []


async def test_what_is_missing_is_not_taken_for_nothing(database: Database) -> None:
    async with database.session() as db:
        with pytest.raises(KeyError, match="moment"):
            await OLDEST.rows(db, {})


async def test_what_the_database_refuses_is_raised_as_ever(database: Database) -> None:
    """Without a value in its words: errors are logged."""
    await add(database, 7)

    async with database.session(is_writing=True) as db:
        with pytest.raises(IntegrityError) as refused:
            await ADD.rows(db, LETTER)
        await db.rollback()
        assert await KINDS.rows(db, {}) == [("register",)], "the connection is good for the next transaction"

    assert "susan@example.com" not in str(refused.value)


async def test_a_lost_connection_takes_the_rest_of_the_pool_with_it(postgres_url: str) -> None:
    """After a restart of the database one request fails, and not one for each connection."""
    database = Database(postgres_url)
    sessions = [database.open() for _number in range(3)]
    for db in sessions:
        await KINDS.rows(db, {})
    for db in sessions[1:]:
        await db.close()
    await end_connections(postgres_url)

    with pytest.raises(DBAPIError) as lost:
        await KINDS.rows(sessions[0], {})
    await sessions[0].close()

    assert lost.value.connection_invalidated
    assert await asyncio.gather(*(kinds(database) for _number in range(3))) == [[], [], []]
    await database.close()


async def end_connections(url: str) -> None:
    """What a restart of the database does to its connections."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(plain)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await connection.close()
