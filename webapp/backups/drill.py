"""Restores a backup elsewhere, and checks that people could use the site with it."""

import asyncio
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette

from webapp import temporary_files
from webapp.accounts import users
from webapp.app import create_app
from webapp.audit.events import ClientInfo
from webapp.backups import Refused, copies, postgresql
from webapp.backups.visitor import Page, Visitor
from webapp.database import Database, execute, migrations, refusals, table
from webapp.i18n import decimal
from webapp.i18n import gettext as _
from webapp.mail.models import OutboxEmail
from webapp.mail_preview import inbox
from webapp.settings import Settings
from webapp.settings.database_url import sqlite_file

PATIENCE = 30.0  # seconds for the email
SQLITE = b"SQLite format 3\0"
PG_DUMP = b"PGDMP"
ROOM = 3  # times the backup's size: the copy, its log, and the mailbox


def run(settings: Settings, file: Path, into: str | None = None) -> Iterator[str]:
    """Reports each step that works, and how long it took. Raises Refused at the first one that doesn't.

    A SQLite backup is copied into a temporary folder; a PostgreSQL dump needs `into`, an empty database. No email
    leaves: those waiting in the backup are deleted from the copy, and new ones are caught in the folder.
    """
    clock = _Clock()
    with temporary_files.folder("microblog-drill-") as folder:
        with _about_the_file(file):
            url, what = _restore(file, folder, into)
        yield clock.line(_("restored: %(what)s") % {"what": what})
        migrations.upgrade(url)
        yield clock.line(_("migrated to what this version expects"))
        yield from asyncio.run(_live(_aside(settings, url, folder / "mailbox"), clock))
    yield _("The backup is good: restored in %(seconds)s s.") % {"seconds": decimal(clock.seconds)}
    if url == into:
        yield _("The database that it was restored into is still there; drop it whenever you like.")


def _restore(file: Path, folder: Path, into: str | None) -> tuple[str, str]:
    """The URL of the restored database, and what is in it."""
    if not file.is_file():
        raise Refused(_("There is no file %(file)s.") % {"file": file})
    with file.open("rb") as opened:
        beginning = opened.read(len(SQLITE))
    if beginning != SQLITE and not beginning.startswith(PG_DUMP):
        raise Refused(_("%(file)s is damaged, or is not a backup of a site.") % {"file": file})
    if beginning == SQLITE:
        _must_have_room(file, folder)
        copy = folder / "site.db"
        shutil.copyfile(file, copy)
        copy.chmod(0o600)
        return f"sqlite+aiosqlite:///{copy}", copies.describe(copy)
    what = postgresql.describe(file)
    if into is None or sqlite_file(into):
        raise Refused(
            _("%(file)s is a dump of PostgreSQL: name an empty database with --into postgresql://…") % {"file": file}
        )
    try:
        is_filled = asyncio.run(_has_tables(into))
    except ValueError as refused:
        raise Refused(str(refused).replace("DATABASE_URL", "--into")) from None
    except (SQLAlchemyError, OSError) as error:
        words = _("The database can't be used: %(reason)s") % {"reason": refusals.with_advice(error)}
        raise Refused(words.replace("DATABASE_URL", "--into")) from None
    if is_filled:
        raise Refused(_("The database of --into is not empty; nothing was changed in it."))
    postgresql.restore(file, into)
    return into, what


def _must_have_room(file: Path, folder: Path) -> None:
    if shutil.disk_usage(folder).free < ROOM * file.stat().st_size:
        words = _("%(folder)s has too little room to restore it there. TMPDIR names another folder.")
        raise Refused(words % {"folder": folder.parent})


@contextmanager
def _about_the_file(file: Path) -> Iterator[None]:
    try:
        yield
    except Refused as refused:
        raise Refused(re.sub(r"\S*/microblog-drill-\S+/site\.db", str(file), str(refused))) from None


def _aside(settings: Settings, url: str, mailbox: Path) -> Settings:
    """The site with the restored data, without visitors, and with nowhere to send emails."""
    return replace(
        settings, database_url=url, mailbox=mailbox, mailer="web", mail_connections=1, admins=(), trusted_proxies=0
    )


async def _has_tables(url: str) -> bool:
    async with aclosing(Database(url, is_patient=True)) as database, database.engine.connect() as connection:
        names = await connection.run_sync(lambda plain: plain.dialect.get_table_names(plain))
        return bool(names)


@dataclass
class _Person:
    """A made-up person who exists only in the copy."""

    username: str
    email: str
    password: str


async def _live(settings: Settings, clock: "_Clock") -> list[str]:
    """Runs the site with the restored data, and goes through a reset as a person would who forgot their password."""
    app = create_app(settings)
    person = await _make_up(app)
    async with app.router.lifespan_context(app):
        visitor = Visitor(app, settings.base_url)
        _expect(_("the log-in"), await _log_in(visitor, person), 303)
        _expect(_("the home page"), await visitor.get("/"), 200, person.username)
        _expect(_("the log-out"), await visitor.post("/logout"), 303)
        done = [clock.line(_("a made-up person logged in, read the home page and logged out"))]
        _expect(_("the reset form"), await visitor.post("/reset_password_request", email=person.email), 303)
        link = await _link(settings, person)
        done.append(clock.line(_("asked for a reset, and the email came")))
        renewed = replace(person, password=secrets.token_urlsafe(18))
        _expect(_("the reset page"), await visitor.get(link), 200)
        _expect(_("the reset"), await visitor.post(link, password=renewed.password), 303)
        _expect(_("the old password"), await _log_in(visitor, person), 422)
        _expect(_("the new password"), await _log_in(visitor, renewed), 303)
        done.append(clock.line(_("set a new password by its link: the old one is refused, the new one works")))
    return done


async def _make_up(app: Starlette) -> _Person:
    """Adds the person, and deletes the emails that are waiting for others."""
    name = f"drill_{secrets.token_hex(6)}"
    person = _Person(name, f"{name}@example.com", secrets.token_urlsafe(18))
    async with app.state.database.session(is_writing=True) as db:
        await execute(db, table(OutboxEmail).delete())
        await db.commit()  # `register` frees the connection while it hashes, which would undo this
        client = ClientInfo("127.0.0.1", "restore-drill")
        await users.register(
            db, app.state.hasher, app.state.settings, name, person.email, person.password, "en", client
        )
        await db.commit()
    return person


async def _log_in(visitor: Visitor, person: _Person) -> Page:
    return await visitor.post("/login", username=person.username, password=person.password)


async def _link(settings: Settings, person: _Person) -> str:
    """The path behind the link in the reset email, once it has arrived."""
    assert settings.mailbox
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for email in inbox.received(settings.mailbox):
            if email.to == person.email and (found := re.search(r"/reset_password/\S+", email.text)):
                return found[0]
        await asyncio.sleep(0.05)
    words = _("The restored site sent no reset email within %(seconds)s s.")
    raise Refused(words % {"seconds": f"{PATIENCE:.0f}"})


def _expect(what: str, page: Page, status: int, words: str = "") -> None:
    if page.status != status or words not in page.text:
        raise Refused(
            _("On the restored site %(what)s did not work: it answered %(status)s.")
            % {"what": what, "status": page.status}
        )


class _Clock:
    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def line(self, words: str) -> str:
        return f"{self.seconds:6.1f} s  {words}"
