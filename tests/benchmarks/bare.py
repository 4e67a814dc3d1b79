"""A bare driver on the site's own statements: what a page costs that does nothing else.

The site is asked once, and each statement that its driver sends is kept, with its values. A server with two workers
then runs these, as asyncpg or sqlite3 run them by themselves, with the site's promise that a commit is on the disk. A
page that hashes a password does so here, too.
"""

import os
import pickle
import random
import re
import secrets
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import asyncpg
from asyncpg.prepared_stmt import PreparedStatement
from sqlalchemy import event, make_url
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from tests.benchmarks import crowds
from webapp.passwords.hasher import ARGON2

CONNECTIONS = 8  # to PostgreSQL for each worker, as the site has
WARMING, PEOPLE = 2, 40
UNIQUE = re.compile(r"\b[0-9a-f]{32,64}\b")  # ids and hashes that a second row must not have


@dataclass(frozen=True)
class Statement:
    text: str
    values: tuple[Any, ...] = ()
    is_many: bool = False

    def anew(self) -> "Statement":
        """The same, but what is inserted differs from what was inserted before."""
        if "INSERT INTO" not in self.text.upper():
            return self
        values = tuple(_anew(value) if isinstance(value, str) else value for value in self.values)
        return replace(self, text=_anew(self.text), values=values)


def _anew(text: str) -> str:
    return UNIQUE.sub(lambda old: secrets.token_hex(32)[: len(old[0])], text)


Ask = Callable[[str, int], bytes]


class Recorder:
    """Listens to the drivers of a site's database; has the statements that they sent."""

    def __init__(self, app: Starlette) -> None:
        self.statements: list[Statement] = []
        event.listen(app.state.database.engine.sync_engine, "connect", self._listen)

    def of(self, ask: Ask, visitor: TestClient) -> list[list[Statement]]:
        """What a page sends for each of some people, but for the first who ask for it."""
        found = []
        for number in range(WARMING + PEOPLE):
            self.statements.clear()
            visitor.cookies.clear()
            _send(visitor, ask("127.0.0.1", number))
            found.append(list(self.statements))
        return found[WARMING:]

    def _listen(self, connection: Any, _record: object) -> None:
        driver = connection.driver_connection
        if isinstance(driver, asyncpg.Connection):
            driver.add_query_logger(self._note)
        else:
            driver.opened.set_trace_callback(self._note_text)

    def noting(self, fetch: Callable[..., Any]) -> Callable[..., Any]:
        """What SQLAlchemy prepares has no logger of its own."""

        def fetch_and_note(statement: Any, *values: Any, **options: Any) -> Any:
            self.statements.append(Statement(statement.get_query(), values))
            return fetch(statement, *values, **options)

        return fetch_and_note

    def _note(self, asked: Any) -> None:
        is_many = bool(asked.args) and isinstance(asked.args[0], tuple)
        self.statements.append(Statement(asked.query, tuple(asked.args), is_many))

    def _note_text(self, text: str) -> None:
        if not text.startswith("--"):  # as a trigger's are
            self.statements.append(Statement(text))


def record(app: Starlette, pages: Mapping[str, Ask], file: Path) -> None:
    """Asks a site for some pages, and keeps what each needs of the database in a file for `create_app`."""
    recorder = Recorder(app)
    noting = patch.object(PreparedStatement, "fetch", recorder.noting(PreparedStatement.fetch))
    with noting, TestClient(app, base_url=app.state.settings.base_url, follow_redirects=False) as visitor:
        found = {path: recorder.of(ask, visitor) for path, ask in pages.items()}
    file.write_bytes(pickle.dumps(found))


def _send(visitor: TestClient, written: bytes) -> None:
    head, _blank_line, body = written.partition(b"\r\n\r\n")
    asked, *headers = head.decode().split("\r\n")
    method, path, _version = asked.split(" ")
    answer = visitor.request(method, path, headers=dict(line.split(": ", 1) for line in headers), content=body)
    assert answer.status_code < 400, answer.text


def create_app() -> Starlette:
    """The server: it answers each page that was recorded when its statements have run."""
    pages = pickle.loads(Path(os.environ["BARE_STATEMENTS"]).read_bytes())
    url = make_url(os.environ["DATABASE_URL"])
    driver = (
        _Sqlite(str(url.database)) if url.get_backend_name() == "sqlite" else _Postgres(url.render_as_string(False))
    )
    password_hash = ARGON2.hash(crowds.PASSWORD)

    async def page(request: Request) -> Response:
        await request.body()
        await driver.run([statement.anew() for statement in random.choice(pages[request.url.path])])
        if request.url.path == "/login":
            await run_in_threadpool(ARGON2.verify, password_hash, crowds.PASSWORD)
        return PlainTextResponse("done")

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with driver.opened():
            yield

    return Starlette(routes=[Route(path, page, methods=["GET", "POST"]) for path in pages], lifespan=lifespan)


class _Sqlite:
    def __init__(self, file: str) -> None:
        self._file = file

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        self._connection = sqlite3.connect(self._file, isolation_level=None, timeout=10)
        self._connection.execute("PRAGMA synchronous=FULL")
        yield
        self._connection.close()

    async def run(self, statements: list[Statement]) -> None:
        for statement in statements:
            self._connection.execute(statement.text).fetchall()


class _Postgres:
    def __init__(self, url: str) -> None:
        self._url = url

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        async with asyncpg.create_pool(self._url, min_size=1, max_size=CONNECTIONS) as self._pool:
            yield

    async def run(self, statements: list[Statement]) -> None:
        async with self._pool.acquire() as connection:
            for statement in statements:
                if statement.is_many:
                    await connection.executemany(statement.text, statement.values)
                elif statement.values:
                    await connection.fetch(statement.text, *statement.values)
                else:
                    await connection.execute(statement.text)
