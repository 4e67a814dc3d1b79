"""Prepared statements on both databases, in a session and directly: what they take and give, and what goes wrong."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy import bindparam, insert, make_url, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError, PendingRollbackError

from tests.depth import deep
from tests.mailbox import PATIENCE
from webapp.database import Database, hot, wake_after_commit
from webapp.database.hot import DRIVERS, Prepared, Transaction, rows_together
from webapp.database.refusals import is_away
from webapp.mail.outbox import emails

pytestmark = pytest.mark.anyio

MOMENT = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
EMAIL = {
    "id": 7,
    "kind": "register",
    "recipient": "susan@example.com",
    "parameters": {"count": 3, "name": "Zoë"},
    "language": "en",
    "user_id": None,
    "message_id": "<7@blog.example>",
    "created_at": MOMENT,
    "due_at": MOMENT,
    "expires_at": MOMENT + timedelta(hours=1),
}
ADD = Prepared(
    insert(emails).values(priority=2, state="ready", attempts=0, crashes=0, fence=0).returning(emails.c.priority > 1),
    *EMAIL,
)
ADD_BARE = Prepared(insert(emails).values(priority=2, state="ready", attempts=0, crashes=0, fence=0), *EMAIL)
OLDEST = Prepared(
    select(emails.c.id, emails.c.parameters, emails.c.created_at, emails.c.user_id)
    .where(emails.c.due_at <= bindparam("moment"))
    .order_by(emails.c.id)
    .limit(1)
)
MOVE = Prepared(update(emails).where(emails.c.id == bindparam("email")).values(kind=bindparam("new_kind")))
KINDS = Prepared(select(emails.c.kind).order_by(emails.c.id))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.aclose()


Begin = Callable[..., AbstractAsyncContextManager[Transaction]]


@pytest.fixture(params=["session", "direct"])
def begin(request: pytest.FixtureRequest, database: Database) -> Begin:
    """Begins a transaction, in each of the two ways."""
    way: Begin = getattr(database, request.param)
    return way


async def add(database: Database, *ids: int) -> None:
    async with database.direct(is_writing=True) as db:
        for number in ids:
            assert await ADD.rows(db, EMAIL | {"id": number}) == [(True,)]
        await db.commit()


async def kinds(database: Database) -> list[str]:
    async with database.direct() as db:
        return [kind for (kind,) in await KINDS.rows(db, {})]


async def test_values_come_back_as_they_went_in(database: Database, begin: Begin) -> None:
    await add(database, 7, 8)

    async with begin() as db:
        found = await OLDEST.rows(db, {"moment": MOMENT})
        one = await OLDEST.row(db, {"moment": MOMENT})
        none = await OLDEST.row(db, {"moment": MOMENT - timedelta(microseconds=1)})

    assert found == [(7, {"count": 3, "name": "Zoë"}, MOMENT, None)]
    assert (one, none) == (found[0], None)


async def test_statements_that_run_together_give_what_each_gives_alone(database: Database, begin: Begin) -> None:
    await add(database, 7, 8)

    async with begin(is_writing=True) as db:
        calls = (ADD, EMAIL | {"id": 9}), (OLDEST, {"moment": MOMENT}), (OLDEST, {"moment": MOMENT - timedelta(days=1)})
        added, oldest, none = await rows_together(db, *calls)
        await db.commit()

    assert (added, oldest, none) == ([(True,)], [(7, {"count": 3, "name": "Zoë"}, MOMENT, None)], [])
    assert await kinds(database) == ["register"] * 3


async def test_a_statement_runs_for_each_of_many(database: Database, begin: Begin) -> None:
    await add(database, 7, 8, 9)

    async with begin(is_writing=True) as db:
        await MOVE.run_each(db, [{"email": 7, "new_kind": "one"}, {"email": 9, "new_kind": "two"}])
        await db.commit()

    assert await kinds(database) == ["one", "register", "two"]


async def test_what_was_not_committed_is_undone(database: Database, begin: Begin) -> None:
    async with begin(is_writing=True) as db:
        await ADD.rows(db, EMAIL)
        await db.rollback()
        await ADD.rows(db, EMAIL)

    assert await kinds(database) == []


async def test_a_missing_parameter_is_not_taken_for_nothing(begin: Begin) -> None:
    async with begin() as db:
        with pytest.raises(KeyError, match="moment"):
            await OLDEST.rows(db, {})


async def test_what_the_database_refuses_is_raised_as_sqlalchemy_raises_it(database: Database, begin: Begin) -> None:
    """Without a value in its words: errors are logged."""
    await add(database, 7)

    async with begin(is_writing=True) as db:
        with pytest.raises(IntegrityError) as refused:
            await ADD.rows(db, EMAIL)
        await db.rollback()
        assert await KINDS.rows(db, {}) == [("register",)], "the connection is good for the next transaction"
        with pytest.raises(IntegrityError):
            await ADD_BARE.run_each(db, [EMAIL, EMAIL])

    assert "susan@example.com" not in str(refused.value)


async def test_half_of_a_transaction_is_never_committed(database: Database) -> None:
    """SQLite would keep what ran before the failure, PostgreSQL would undo it and say that all is well."""
    await add(database, 7)

    async with database.direct(is_writing=True) as db:
        await ADD.rows(db, EMAIL | {"id": 8})
        with pytest.raises(IntegrityError):
            await ADD.rows(db, EMAIL)
        with pytest.raises(PendingRollbackError):
            await db.commit()
        await db.rollback()
        await ADD.rows(db, EMAIL | {"id": 9})
        await db.commit()

    assert await kinds(database) == ["register", "register"]


async def test_the_mailer_is_woken_by_the_commit(database: Database, begin: Begin) -> None:
    async with begin(is_writing=True) as db:
        wake_after_commit(db)
        await ADD.rows(db, EMAIL)
        assert not database.wake.is_set()
        await db.commit()

    assert database.wake.is_set()


@deep
async def test_a_request_that_is_cancelled_while_waiting_leaves_nothing_behind(
    database: Database, database_url: str
) -> None:
    await add(database, 7)
    other = Database(database_url)

    async with other.direct(is_writing=True) as db:
        await MOVE.run_each(db, [{"email": 7, "new_kind": "held"}])
        waiting = asyncio.create_task(change(database, 7, "late"))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await db.commit()
    await other.aclose()

    assert await kinds(database) == ["held"]
    await asyncio.gather(*(change(database, 7, f"kind {number}") for number in range(20)))
    assert [kind[:5] for kind in await kinds(database)] == ["kind "]
    assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


def failing(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A driver that can't undo anything."""

    async def fail() -> None:
        raise RuntimeError("no")

    def made(connection: Any) -> Any:
        driver = make(connection)
        driver.rollback = fail
        return driver

    return made


async def test_what_can_not_be_undone_is_thrown_away(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the next transaction on that connection would be a part of this one."""
    with monkeypatch.context() as broken:
        broken.setattr(hot, "DRIVERS", {name: failing(make) for name, make in DRIVERS.items()})
        with pytest.raises(Exception, match="no"):
            async with database.direct(is_writing=True) as db:
                await ADD.rows(db, EMAIL)

    await add(database, 8)
    async with database.direct() as db:
        assert await OLDEST.row(db, {"moment": MOMENT}) == (8, {"count": 3, "name": "Zoë"}, MOMENT, None)
    assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


async def change(database: Database, email: int, kind: str) -> None:
    async with database.direct(is_writing=True) as db:
        await MOVE.run_each(db, [{"email": email, "new_kind": kind}])
        await db.commit()


@pytest.mark.parametrize("way", ["session", "direct"])
async def test_what_refuses_a_connection_is_raised_as_sqlalchemy_raises_it(postgres_url: str, way: str) -> None:
    nowhere = Database(make_url(postgres_url).set(database="nowhere").render_as_string(hide_password=False))
    async with getattr(nowhere, way)() as db:
        with pytest.raises(DBAPIError, match="nowhere"):
            await KINDS.rows(db, {})
    await nowhere.aclose()


@pytest.mark.parametrize("way", ["session", "direct"])
async def test_nobody_is_given_a_connection_that_the_server_has_closed(postgres_url: str, way: str) -> None:
    """After a restart of the database nobody's request fails for a connection that was idle."""
    database = Database(postgres_url)
    async with AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(database.session()) for _number in range(3)]
        drivers = []
        for db in sessions:
            await KINDS.rows(db, {})
            raw = await (await db.connection()).get_raw_connection()
            assert raw.driver_connection
            drivers.append(raw.driver_connection)
    await end_connections(postgres_url)
    async with asyncio.timeout(PATIENCE):
        while not all(driver.is_closed() for driver in drivers):  # until the word of it arrives
            await asyncio.sleep(0.01)

    async with getattr(database, way)(is_writing=True) as db:
        found = await KINDS.rows(db, {})

    assert found == []
    assert await asyncio.gather(*(kinds(database) for _number in range(3))) == [[], [], []]
    await database.aclose()


@pytest.mark.parametrize("way", ["session", "direct"])
async def test_a_connection_that_is_lost_in_the_middle_is_thrown_away(postgres_url: str, way: str) -> None:
    database = Database(postgres_url)
    async with getattr(database, way)(is_writing=True) as db:
        await ADD.rows(db, EMAIL)
        await end_connections(postgres_url)
        with pytest.raises(DBAPIError) as lost:
            await ADD.rows(db, EMAIL | {"id": 8})

    assert lost.value.connection_invalidated
    assert is_away(lost.value)
    assert await kinds(database) == []
    assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    await database.aclose()


async def end_connections(url: str) -> None:
    """What a restart of the database does to its connections."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(plain)
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    await connection.execute(f"SELECT pg_terminate_backend(pid) {others}")
    while await connection.fetchval(f"SELECT count(*) {others}"):
        await asyncio.sleep(0.01)
    await connection.close()
