"""What a test may see of a running site that its visitors can't: the rows, the statements, the hashes."""

import logging
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import unquote

import anyio
import pytest
from argon2 import PasswordHasher
from sqlalchemy import Executable, select, text
from sqlmodel import SQLModel

from tests.mailbox import PATIENCE
from tests.sites import CHEAP, SECRET_KEY, Site
from webapp import logs
from webapp.database import now
from webapp.database.hot import Direct
from webapp.mail.outbox import emails
from webapp.settings import Settings


def execute(site: Site, statement: str | Executable, **parameters: object) -> list[tuple[Any, ...]]:
    """Runs one statement in a transaction of its own; returns its rows, if it has any."""

    [found] = execute_each(site, [statement], **parameters)
    return found


def execute_each(site: Site, each: Sequence[str | Executable], **parameters: object) -> list[list[tuple[Any, ...]]]:
    """Runs several statements in one transaction; returns the rows of each."""

    async def run() -> list[list[tuple[Any, ...]]]:
        async with site.app.state.database.session(is_writing=True) as db:
            connection = await db.connection()
            found = []
            for statement in each:
                query = text(statement) if isinstance(statement, str) else statement
                result = await connection.execute(query, parameters)
                found.append([tuple(row) for row in result.all()] if result.returns_rows else [])
            await db.commit()
        return found

    return site.run(run)  # type: ignore[return-value]


def table(site: Site, name: str) -> list[tuple[Any, ...]]:
    return sorted(execute(site, f"SELECT * FROM {name}"), key=repr)


def dump(site: Site, *, is_settled: bool = True) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table; if it shall be settled, once the mailer has noted what became of the emails."""
    if is_settled and site.settings.mailer == "web":
        wait_until_posted(site)
    names = list(SQLModel.metadata.tables)
    tables = execute_each(site, [f"SELECT * FROM {name}" for name in names])
    return {name: sorted(rows, key=repr) for name, rows in zip(names, tables, strict=True)}


def give_passkey(site: Site) -> None:
    """The account 1 has the passkey 1, which no device has."""
    columns = "id, user_id, epoch, credential_id, public_key, handle, name, counter, is_synced, created_at"
    values = "1, id, epoch, 'AAAA', 'AAAA', 'AAAA', 'A phone', 0, false, created_at"
    row = f"INSERT INTO passkey ({columns}) SELECT {values} FROM user_account WHERE id = 1 ON CONFLICT DO NOTHING"
    execute(site, row)


def disable(site: Site, username: str) -> None:
    execute(site, "UPDATE user_account SET disabled_at = created_at WHERE username = :name", name=username)


def wait_until_posted(site: Site) -> None:
    """Waits until the mailer has sent or discarded every email, but for those that wait minutes for more to tell."""
    deadline = time.perf_counter() + PATIENCE
    while waiting := execute(site, _unfinished()):
        assert time.perf_counter() < deadline, f"{len(waiting)} emails are still in the outbox"
        time.sleep(0.01)


def _unfinished() -> Executable:
    is_put_off = (emails.c.attempts == 0) & (emails.c.due_at > now() + timedelta(seconds=10))
    return select(emails.c.id).where(emails.c.finished_at.is_(None), ~is_put_off)


@contextmanager
def fillings(site: Site) -> Iterator[list[str]]:
    """The templates that the site fills in meanwhile, in their order."""
    templates, names = site.app.state.templates, []
    get_template = templates.get_template

    def get_and_note(name: str, *more: Any) -> object:
        names.append(name)
        return get_template(name, *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(templates, "get_template", get_and_note)
        yield names


@contextmanager
def statements(site: Site) -> Iterator[list[str]]:
    """The statements that are sent to the database for requests meanwhile, in their order.

    Not those of the mailer and of what tidies up, which come when they come.
    """
    seen: list[str] = []
    dialect = site.app.state.database.engine.dialect

    def noting(run: Callable[..., Any]) -> Callable[..., Any]:
        def run_and_note(cursor_or_transaction: Any, statement: str, *rest: Any) -> Any:
            if logs.current_request.get():
                seen.append(statement)
            return run(cursor_or_transaction, statement, *rest)

        return run_and_note

    with pytest.MonkeyPatch.context() as patch:
        for owner, names in ((dialect, ("do_execute", "do_executemany")), (Direct, ("run", "run_each"))):
            for name in names:
                patch.setattr(owner, name, noting(getattr(owner, name)))
        yield seen


@contextmanager
def configured_log(settings: Settings) -> Iterator["logging.StreamHandler[TextIO]"]:
    """The log as a process of the site writes it, and afterwards as it was."""
    loggers = [logging.getLogger(name) for name in (*logs.SPEAKERS, "uvicorn.access")]
    before = [(logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    logs.configure(settings)
    [handler] = logging.getLogger("webapp").handlers
    assert isinstance(handler, logging.StreamHandler)
    try:
        yield handler
    finally:
        for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
            logger.handlers[:], logger.propagate = handlers, propagate
            logger.setLevel(level)


@contextmanager
def standing_site(
    migrated_sqlite: Path, folder: Path, hashed_as: PasswordHasher = CHEAP, /, **changes: Any
) -> Iterator[Site]:
    """A site for the tests of a whole module that leave it as they found it."""
    shutil.copy(migrated_sqlite, folder / "site.db")
    values: dict[str, Any] = {
        "base_url": "https://blog.example",
        "secret_key": SECRET_KEY,
        "database_url": f"sqlite+aiosqlite:///{folder / 'site.db'}",
        "mailbox": folder / "mailbox",
        "trusted_proxies": 1,
    }
    with Site(Settings(**(values | changes)), hashed_as) as site:
        yield site


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    text: str


def ask(site: Site, method: str, path: str, headers: Sequence[tuple[str, str]] = (), *chunks: bytes) -> Answer:
    """Asks as no client library would: any headers, however often, and a body that comes in chunks."""
    waiting = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    waiting.append({"type": "http.request", "body": b"", "more_body": False})
    sent: list[Any] = []

    async def receive() -> Any:
        return waiting.pop(0) if waiting else await anyio.sleep_forever()

    async def send(message: Any) -> None:
        sent.append(message)

    target, _mark, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": unquote(target),
        "raw_path": target.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
    }
    site.run(site.app, scope, receive, send)
    start = sent[0]
    body = b"".join(message.get("body", b"") for message in sent[1:]).decode("utf-8", "replace")
    return Answer(start["status"], [(name.decode(), value.decode()) for name, value in start["headers"]], body)
