"""The site behind PgBouncer, as platforms have it before their databases, and before a database that is frozen."""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil  # type: ignore[import-untyped]
import pytest
import trustme
from argon2 import PasswordHasher
from sqlalchemy import URL, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from tests.databases import named
from tests.inspection import query
from tests.neighbours.neighbours import procfile, running
from tests.neighbours.pooled_work import TABLE
from tests.neighbours.poolers import pgbouncer
from tests.neighbours.visiting import MEMBERS, PASSWORD, a_crowd, resets
from tests.processes import KEPT, PYTHON, SECRET_KEY, free_port, wait_for_page
from webapp.database import migrations
from webapp.settings import ROOT
from webapp.settings.database_url import read

pytestmark = pytest.mark.neighbours
POOLED = "?pgbouncer=true"
PATIENCE = 12.0  # seconds: what the time limits add up to at worst, and a busy machine


@pytest.mark.parametrize("said", ["", POOLED])
@pytest.mark.parametrize("rounds", [300, pytest.param(5000, marks=pytest.mark.soak)])
def test_no_value_meets_another_statement(postgres_url: str, rounds: int, said: str) -> None:
    """Four processes share four connections, each by every way that the site has to its database.

    That there is a pooler is said to them, or found out.
    """
    asyncio.run(run_sql(postgres_url, TABLE))
    with pgbouncer(postgres_url, "transaction", 4) as url:
        command = [PYTHON, "-W", "ignore", "-m", "tests.neighbours.pooled_work", url + said]
        workers = [
            subprocess.Popen([*command, str(seed), str(rounds)], cwd=ROOT, env=KEPT, stdout=subprocess.PIPE)
            for seed in range(4)
        ]
        results = [json.loads(worker.communicate(timeout=300)[0]) for worker in workers]
    assert [(result["mixed"], result["lost"], result["errors"]) for result in results] == [(0, 0, {})] * 4


@pytest.mark.parametrize("count", [1200, pytest.param(20_000, marks=pytest.mark.soak)])
def test_four_processes_behind_a_pooler(postgres_url: str, tmp_path: Path, count: int) -> None:
    """No error, and nobody sees another's page."""
    with (
        pgbouncer(postgres_url, "transaction", 4) as url,
        site(tmp_path, url, WEB_CONCURRENCY="4") as base_url,
    ):
        import_members(tmp_path, postgres_url)
        answers = asyncio.run(a_crowd(base_url, count))
    assert {status for status, _seconds in answers} <= {200, 303, 404}
    assert len(answers) == count


def test_migrations_run_behind_a_pooler(postgres: URL) -> None:
    name = f"empty_{os.getpid()}"
    address = postgres.set(drivername="postgresql").render_as_string(hide_password=False)
    asyncio.run(run_sql(address, f"CREATE DATABASE {name}"))
    with pgbouncer(address, "transaction", 2) as url:
        migrations.upgrade(make_url(url).set(database=name).render_as_string(hide_password=False))
    migrated = query(
        named(postgres, name), "SELECT version_num, (SELECT count(*) FROM user_account) FROM alembic_version"
    )
    asyncio.run(run_sql(address, f"DROP DATABASE {name} WITH (FORCE)"))
    assert migrated == [(migrations.newest(), 0)]


def test_too_few_connections_are_an_answer_and_no_silence(postgres_url: str, tmp_path: Path) -> None:
    """PgBouncer lends two connections for whole sessions; the site's two processes would like sixteen."""
    with pgbouncer(postgres_url, "session", 2) as url, site(tmp_path, url, WEB_CONCURRENCY="2") as base_url:
        answers = asyncio.run(resets(base_url, 30))
    statuses = Counter(status for status, _seconds in answers)
    assert statuses.keys() <= {303, 503}
    assert statuses[303]
    assert max(seconds for _status, seconds in answers) < PATIENCE


@pytest.mark.parametrize("mode", ["direct", "transaction", "session"])
def test_a_frozen_database_is_an_answer_and_no_silence(postgres_url: str, tmp_path: Path, mode: str) -> None:
    with contextlib.ExitStack() as stack:
        url = postgres_url if mode == "direct" else stack.enter_context(pgbouncer(postgres_url, mode, 20))
        base_url = stack.enter_context(site(tmp_path, url))
        before = asyncio.run(resets(base_url, 10))
        with frozen(postgres_url):
            during = asyncio.run(resets(base_url, 10, first=100))
        thawed = time.monotonic()
        people = itertools.count(200)
        while asyncio.run(resets(base_url, 1, first=next(people)))[0][0] != 303:
            assert time.monotonic() - thawed < 10
            time.sleep(0.1)
        after = asyncio.run(resets(base_url, 10, first=900))
    assert {status for status, _seconds in before + after} == {303}
    assert {status for status, _seconds in during} == {503}
    assert max(seconds for _status, seconds in during) < PATIENCE


@pytest.mark.parametrize(
    ("parameters", "is_taken"),
    [
        ("sslmode=require", True),
        ("sslmode=verify-full&sslrootcert={authority}", True),
        ("sslmode=verify-ca&sslrootcert={authority}", True),
        ("sslmode=require&sslrootcert={authority}", True),
        ("sslmode=require&sslrootcert={another}", False),
        ("sslmode=verify-full&sslrootcert={another}", False),
        ("sslmode=verify-full&sslrootcert=system", False),
        ("sslmode=require&channel_binding=require", False),
        ("sslmode=disable", False),
    ],
)
def test_tls_is_as_the_address_says(pooler_with_tls: tuple[str, Path], parameters: str, is_taken: bool) -> None:
    url, folder = pooler_with_tls
    words = parameters.format(authority=folder / "authority.pem", another=folder / "another.pem")
    assert asyncio.run(can_connect(f"{url}?{words}&connect_timeout=5&application_name=blog")) is is_taken


@pytest.fixture
def pooler_with_tls(postgres_url: str, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A pooler whom one authority vouches for; another is there, too."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    trustme.CA().cert_pem.write_to_path(tmp_path / "another.pem")
    leaf = authority.issue_cert("127.0.0.1", "localhost")
    with pgbouncer(postgres_url, "transaction", 2, certificate=leaf) as url:
        yield url, tmp_path


async def can_connect(url: str) -> bool:
    address, arguments = read(url)
    engine = create_async_engine(address, connect_args=arguments)
    try:
        async with engine.connect() as connection:
            return (await connection.exec_driver_sql("SELECT 1")).scalar() == 1
    except (OSError, DBAPIError):
        return False
    finally:
        await engine.dispose()


@contextlib.contextmanager
def site(folder: Path, database_url: str, **more: str) -> Iterator[str]:
    """The site of the Procfile, whose emails wait for another process."""
    port = free_port()
    base_url = f"http://127.0.0.1:{port}"
    environment = {
        "BASE_URL": base_url,
        "SECRET_KEY": SECRET_KEY,
        "DATABASE_URL": database_url,
        "TRUSTED_PROXIES": "1",
        "PORT": str(port),
        "MAILER": "process",
        "MAIL_SERVER": "localhost",
        **more,
    }
    with running(procfile("web"), environment, folder / "site.log") as process:
        wait_for_page(f"{base_url}/health", process, lambda page: page.status_code == 200)
        yield base_url


@contextlib.contextmanager
def frozen(server_url: str) -> Iterator[None]:
    """All processes of a server on this machine stand still."""
    folder = make_url(server_url).query["host"]
    main = psutil.Process(int((Path(str(folder)) / "postmaster.pid").read_text().split()[0]))
    processes = [main, *main.children()]
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)


async def run_sql(url: str, statement: str) -> None:
    address = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(address)
    await connection.execute(statement)
    await connection.close()


def import_members(folder: Path, database_url: str) -> None:
    hashed = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1).hash(PASSWORD)
    file = folder / "members.csv"
    lines = [f'{name},{name}@example.com,"{hashed}"' for name in MEMBERS]
    file.write_text("\n".join(["username,email,password_hash", *lines]) + "\n")
    environment = {**KEPT, "DATABASE_URL": database_url, "BASE_URL": "http://127.0.0.1:1", "SECRET_KEY": SECRET_KEY}
    command = [PYTHON, "-W", "ignore", "-m", "webapp", "import-users", str(file)]
    subprocess.run(command, cwd=ROOT, env=environment | {"MAILER": "off"}, check=True, capture_output=True)
