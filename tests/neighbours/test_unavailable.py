"""A real PostgreSQL that is away in each way that one can be is known to be away, and a fault of ours is not."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from tests.processes import SECRET_KEY, free_port
from webapp.cli import main
from webapp.database.refusals import is_away
from webapp.settings.database_url import read

pytestmark = pytest.mark.neighbours
SET_UP = """
CREATE ROLE blog LOGIN CONNECTION LIMIT 1;
CREATE TABLE note (id integer PRIMARY KEY);
GRANT ALL ON note TO blog;
"""


def changed(url: str, **changes: Any) -> str:
    return make_url(url).set(drivername="postgresql", **changes).render_as_string(hide_password=False)


@pytest.fixture
def url(postgres_url: str) -> str:
    async def set_up() -> None:
        connection = await asyncpg.connect(changed(postgres_url))
        await connection.execute("DROP ROLE IF EXISTS blog" if await has_role(connection) else "SELECT 1")
        await connection.execute(SET_UP)
        await connection.close()

    asyncio.run(set_up())
    return changed(postgres_url)


async def has_role(connection: asyncpg.Connection) -> bool:
    return bool(await connection.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = 'blog'"))


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[AsyncConnection]:
    address, arguments = read(url)
    engine = create_async_engine(address, connect_args=arguments)
    try:
        async with engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()


async def run(url: str, *statements: str) -> None:
    async with connected(url) as connection:
        for statement in statements:
            await connection.execute(text(statement))


async def a_second_connection(url: str) -> None:
    async with connected(changed(url, username="blog")):
        await run(changed(url, username="blog"), "SELECT 1")


async def a_backend_that_was_ended(url: str) -> None:
    await run(url, "SELECT pg_terminate_backend(pg_backend_pid())")


async def a_row_that_another_holds(url: str) -> None:
    async with connected(url) as holder:
        await holder.execute(text("INSERT INTO note VALUES (1)"))
        await run(url, "SET lock_timeout = '100ms'", "INSERT INTO note VALUES (1)")


AWAY: dict[str, Callable[[str], Any]] = {
    "too many connections": a_second_connection,
    "ended by the server": a_backend_that_was_ended,
    "locked": a_row_that_another_holds,
    "no such role": lambda url: run(changed(url, username="nobody"), "SELECT 1"),
    "no such database": lambda url: run(changed(url, database="nowhere"), "SELECT 1"),
    "read only": lambda url: run(url, "SET TRANSACTION READ ONLY", "INSERT INTO note VALUES (2)"),
    "statement too slow": lambda url: run(url, "SET statement_timeout = '100ms'", "SELECT pg_sleep(5)"),
    "nobody listens": lambda _url: run(f"postgresql://blog@127.0.0.1:{free_port()}/d", "SELECT 1"),
    "no such socket": lambda _url: run("postgresql://blog@/d?host=/nowhere", "SELECT 1"),
    "no route to it": lambda _url: run("postgresql://blog@[fd00::1]/d?connect_timeout=2", "SELECT 1"),
    "no such host": lambda _url: run("postgresql://blog@no-such-host.invalid/d", "SELECT 1"),
    "no tables": lambda url: run(url, "SELECT * FROM nothing"),
    "no rights": lambda url: run(changed(url, username="blog"), "SELECT * FROM account"),
    "no server takes writes": lambda url: run(
        f"{url}&target_session_attrs=read-write&options=-c%20default_transaction_read_only%3Don", "SELECT 1"
    ),
    "older than the site": lambda url: run(url, "SELECT nothing FROM note"),
}
OURS: dict[str, Callable[[str], Any]] = {
    "syntax": lambda url: run(url, "SELEC 1"),
    "unique": lambda url: run(url, "INSERT INTO note VALUES (3), (3)"),
    "division by zero": lambda url: run(url, "SELECT 1 / 0"),
}


@pytest.mark.parametrize("way", [*AWAY, *OURS])
def test_what_is_away_is_known(url: str, way: str) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011
        asyncio.run((AWAY | OURS)[way](url))
    assert is_away(raised.value) is (way in AWAY), repr(raised.value)


@pytest.mark.parametrize("command", [["users", "list"], ["migrate"], ["doctor"]], ids=" ".join)
def test_a_command_waits_for_no_frozen_server(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    """C72: the driver itself would wait for a minute to connect, and for ever for an answer."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("DATABASE_URL", f"postgresql://blog@127.0.0.1:{silent.getsockname()[1]}/d")
        for name, value in {"BASE_URL": "https://blog.example", "SECRET_KEY": SECRET_KEY, "MAILER": "off"}.items():
            monkeypatch.setenv(name, value)
        began = time.monotonic()

        assert main.main(command) == 1

    printed = capsys.readouterr()
    assert "it didn't answer in time" in printed.out + printed.err
    assert time.monotonic() - began < 45
