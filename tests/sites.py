"""A running site, the browsers that visit it, and the servers that it talks to."""

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import CodeType
from typing import Any, Literal

import httpx2
import pytest
from anyio.from_thread import BlockingPortal
from argon2 import PasswordHasher
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from sqlalchemy import event
from starlette.applications import Starlette
from starlette.testclient import TestClient

from tests.in_process import InProcess
from tests.mailbox import Mailbox
from tests.mailserver import Certificates, MailServer
from webapp import i18n
from webapp.app import create_app, mailer
from webapp.database import cleanup
from webapp.delivery.pace import USUAL, Pace
from webapp.passwords.hasher import ARGON2, Hasher
from webapp.settings import Settings

SECRET_KEY = "a key for tests: 0123456789abcdef0123456789abcdef"

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class WatchedArgon2(PasswordHasher):
    """Hashes passwords as `usual` does. A test sees each run, and may do something before a hash or after a check."""

    def __init__(self, usual: PasswordHasher = CHEAP) -> None:
        super().__init__(usual.time_cost, usual.memory_cost, usual.parallelism)
        self.runs: list[str] = []  # "hash" or "verify"
        self.verified: list[str | bytes] = []  # the stored hashes that passwords were compared with
        self.meanwhile: Callable[[str], None] = lambda run: None

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self.runs.append("hash")
        self.meanwhile("hash")
        return super().hash(password, salt=salt)

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
        self.runs.append("verify")
        self.verified.append(hash)
        try:
            return super().verify(hash, password)
        finally:
            self.meanwhile("verify")


class OneCompilation(BytecodeCache):
    """Templates that are compiled once for all sites of a run that say the same to everybody, in each language."""

    def __init__(self) -> None:
        self._compiled: dict[tuple[str, ...], CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._compiled.get(_by_constants(bucket))

    def dump_bytecode(self, bucket: Bucket) -> None:
        assert bucket.code is not None
        self._compiled[_by_constants(bucket)] = bucket.code


def _by_constants(bucket: Bucket) -> tuple[str, ...]:
    """A template, and what it finds out when it is compiled: see webapp/web/constants.py."""
    environment = bucket.environment
    site = environment.globals["site"]
    return bucket.key, i18n.current(), repr(site), environment.code_generator_class.__name__


class OneTranslation(dict[Any, Any]):
    """Statements that are put into SQL once for each kind of database, not once for each site's engine.

    SQLAlchemy asks by the engine's dialect, the statement's shape, and more.
    """

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(_by_kind(key), default)

    def __setitem__(self, key: Any, compiled: Any) -> None:
        super().__setitem__(_by_kind(key), compiled)


def _by_kind(key: Any) -> Any:
    dialect, *rest = key
    return dialect.name, *rest


COMPILED = OneCompilation()
TRANSLATED = OneTranslation()
ONE_ID = "of-all-pages"


# A mailer that waits moments where that of a deployed site waits seconds.
QUICK = Pace(poll=0.1, retries=(0.1,), pauses=(0.05,))


def quick_app(settings: Settings, argon2: PasswordHasher, pace: Pace = USUAL) -> Starlette:
    """A site that compiles no template or statement twice, hashes as it is told and waits for no disk."""
    app = create_app(settings)
    database = app.state.database
    database.flush.sync = lambda _file: None  # nothing here outlives the power
    for engine in (database.engine, database.writing, database.reading):
        engine.update_execution_options(compiled_cache=TRANSLATED)
    app.state.templates.bytecode_cache = COMPILED
    app.state.hasher = Hasher(argon2)
    app.state.mailer = mailer(settings, app.state.database, app.state.templates, pace)
    if pace is USUAL:
        app.state.mailer.run = begun_when_asked(app.state.mailer.run, database.wake)
    for worker in (app.state.exports, app.state.imports):
        worker.run = begun_when_asked(worker.run, worker._asked)
    event.listen(app.state.database.reading.sync_engine, "before_cursor_execute", only_reads)
    return app


def begun_when_asked(work: Callable[..., Awaitable[None]], asked: asyncio.Event) -> Callable[..., Awaitable[None]]:
    """Looks a second later for what an earlier process left. At once, it took two thirds of a site's start."""

    async def begin(*arguments: object) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await asked.wait()
        await work(*arguments)

    return begin


def only_reads(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
    """A session that was opened for reading may have no transaction, so what it wrote could not be taken back."""
    assert statement.split(None, 1)[0].upper() in {"SELECT", "WITH", "SET"}, statement


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

    def __init__(self, settings: Settings, hashed_as: PasswordHasher = CHEAP, pace: Pace = USUAL) -> None:
        self.settings = settings
        self.argon2 = WatchedArgon2(hashed_as)
        self.app = quick_app(settings, self.argon2, pace)
        self.app.state.new_form_id = lambda: ONE_ID  # pages are compared byte by byte
        self.mailbox = Mailbox(settings.mailbox) if settings.mailbox else None
        self._networks = (f"203.0.113.{number}" for number in itertools.count(1))
        self._running = TestClient(self.app, base_url=settings.base_url)

    def __enter__(self) -> "Site":
        self._running.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._running.__exit__(*error)

    def browser(self, network: str = "", *, follow_redirects: bool = True) -> "Browser":
        """A browser with cookies of its own, from a network of its own unless one is given."""
        return Browser(self, network or next(self._networks), follow_redirects=follow_redirects)

    @property
    def portal(self) -> BlockingPortal | None:
        """The thread in which the site runs."""
        return self._running.portal

    def run(self, work: Callable[..., object], *arguments: object, **more: object) -> object:
        """Awaits an async function where the site runs."""
        assert self._running.portal is not None
        return self._running.portal.call(partial(work, *arguments, **more))


class Browser(httpx2.Client):
    """Asks a site for pages, follows its redirects and keeps its cookies."""

    def __init__(self, site: Site, network: str, *, follow_redirects: bool) -> None:
        assert site.portal is not None
        self.site = site
        # To pack and unpack each answer takes two fifths of a request's time.
        plain = {"accept-encoding": "identity", "user-agent": "a browser"}
        super().__init__(
            transport=InProcess(site.app, site.portal),
            base_url=site.settings.base_url,
            headers={"x-forwarded-for": network, **plain},
            follow_redirects=follow_redirects,
        )


@pytest.fixture
def pace() -> Pace:
    """How long the mailers of the test's sites wait; modules that wait for them have another."""
    return USUAL


@pytest.fixture
def cleanup_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a site does every few minutes is done every few moments, by those that are started after this."""
    monkeypatch.setattr(cleanup, "run", partial(cleanup.run, every=0.1))


@pytest.fixture
def start_site(request: pytest.FixtureRequest, pace: Pace) -> Iterator[Callable[..., Site]]:
    """Starts sites, and stops them after the test. Each has the test's pace, but for the changes of its own."""
    started: list[Site] = []
    hashed_as = ARGON2 if request.node.get_closest_marker("dear_passwords") else CHEAP

    def start(settings: Settings, **changed_pace: Any) -> Site:
        started.append(Site(settings, hashed_as, replace(pace, **changed_pace)).__enter__())
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
