"""What runs until it is stopped, the site and the mailer, and what they need before they start."""

import argparse
import asyncio
import errno
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import aclosing

import uvicorn
import uvloop
from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette

from webapp import app, logs
from webapp.app import create_app, deployed_settings
from webapp.cli import Refused, demo
from webapp.database import Database, cleanup, migrations, refusals
from webapp.doctor import test_email
from webapp.i18n import gettext as _
from webapp.operator.error_alerts import Alarms
from webapp.operator.health import ClockCheck
from webapp.settings import INSTANCE, ROOT, Settings
from webapp.settings.database_url import sqlite_file
from webapp.web import templating
from webapp.web.protocol import BoundedProtocol

LOOPBACK = "127.0.0.1"
PORT_FILE = INSTANCE / "port"
LOOK_AGAIN = 0.05  # seconds
Say = Callable[[str], None]


def settings(command: str) -> Settings:
    """The deployed site's settings; on a machine without any, the development site's."""
    if not _is_deployed() and (command == "demo" or (INSTANCE / "development.db").exists()):
        settings = Settings.for_development(_development_port())
        if command == "demo":
            _prepare(settings)
        return settings
    return deployed_settings()


def _development_port() -> int:
    """PORT, or that of the last `make run`, so that links lead to it."""
    said = os.environ.get("PORT") or (PORT_FILE.read_text() if PORT_FILE.exists() else "")
    return int(said) if said.isdecimal() else 8000


def _is_deployed() -> bool:
    return any(os.environ.get(name) for name in ("BASE_URL", "SECRET_KEY", "DATABASE_URL", "DYNO"))


def migrate(settings: Settings, to: str = migrations.HEAD, *, is_dry_run: bool = False, say: Say = logs.say) -> None:
    """Brings the database to the newest revision, or to a given one; or only says what that would take.

    Raises Refused, with one line that says what is in the way.
    """
    url = settings.database_url
    try:
        if (file := sqlite_file(url)) and not is_dry_run:
            file.parent.mkdir(parents=True, exist_ok=True)
        steps = migrations.steps(url, to) if is_dry_run else migrations.go(url, to)
    except CommandError as error:
        raise Refused(_unknown_revision(str(error))) from None
    except (SQLAlchemyError, OSError) as error:
        words = _("The database can't be migrated: %(reason)s")
        raise Refused(words % {"reason": refusals.with_advice(error)}) from None
    for step in steps:
        say(_step(step, is_dry_run=is_dry_run))
    if is_dry_run and not steps:
        say(_("Nothing to do."))


def _step(step: migrations.Step, *, is_dry_run: bool) -> str:
    if step.is_back:
        words = _("would undo %(revision)s: %(words)s") if is_dry_run else _("undo %(revision)s: %(words)s")
    else:
        words = _("would apply %(revision)s: %(words)s") if is_dry_run else _("apply %(revision)s: %(words)s")
    return words % {"revision": step.revision, "words": step.words}


def _unknown_revision(words: str) -> str:
    """Our words for Alembic's error about a revision that it has no file for."""
    revision = words.rpartition(" '")[2].rstrip("'")
    if revision.startswith(migrations.MOVING):
        return _("The database is half filled by a `move` that was cut short. Run that again, or empty the database.")
    if revision == "base":
        return _("Going back to the very beginning would delete everything. If you want that, delete the database.")
    words = _(
        "This version of Microblog knows no revision '%(revision)s'. Is the database, or its backup, from a newer one?"
    )
    return words % {"revision": revision}


def _prepare(settings: Settings) -> None:
    """Migrates the database of a development site, silently."""
    migrate(settings, say=lambda _line: None)


def dev(options: argparse.Namespace) -> None:
    """Serves a site for this machine alone: migrated, reloading and, unless told otherwise, with demo people in it."""
    _check_port_is_free(options.port)
    os.environ["PORT"] = str(options.port)
    if options.language != "en":
        others = [name for name in demo.COMMUNITIES if name != options.language]
        os.environ.setdefault("LANGUAGES", ",".join([options.language, *others]))
    settings = Settings.for_development(options.port)
    _prepare(settings)
    PORT_FILE.write_text(str(options.port))
    is_filled = not (options.empty or _is_deployed())
    logs.say(_("Starting ..."), sys.stderr)
    lines = asyncio.run(_welcome(settings, options.language, is_filled=is_filled))
    threading.Thread(target=_say_when_open, args=(options.port, lines), daemon=True).start()
    uvicorn.run(
        "webapp.cli.serving:development_app",
        factory=True,
        host=LOOPBACK,
        port=options.port,
        reload=True,
        reload_dirs=[str(ROOT / "webapp")],
        access_log=False,
        proxy_headers=False,
        http=BoundedProtocol,
        log_level="warning",
        timeout_graceful_shutdown=5,
    )


def development_app() -> Starlette:
    """What `dev` serves, and reloads."""
    settings = Settings.for_development(_development_port())
    logs.configure(settings)
    return create_app(settings)


def _check_port_is_free(port: int) -> None:
    """Raises Refused if the port is taken, before anything claims to run."""
    try:
        _bind(port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            words = _("Port %(port)s can't be opened: %(reason)s. Try `make run PORT=%(free)s`.")
            raise Refused(words % {"port": port, "reason": error.strerror, "free": 8001}) from None
        words = _("Port %(port)s is taken, perhaps by another `make run`. Try `make run PORT=%(free)s`.")
        raise Refused(words % {"port": port, "free": _free_port_after(port)}) from None


def _bind(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does it
        probe.bind((LOOPBACK, port))


def _free_port_after(port: int) -> int:
    for free in range(port + 1, min(port + 100, 65536)):
        try:
            _bind(free)
        except OSError:
            continue
        return free
    return 8001


def _say_when_open(port: int, lines: list[str]) -> None:
    """Says where the site is, once it is really there."""
    while not _is_open(port):
        time.sleep(LOOK_AGAIN)
    logs.say("\n".join(lines), sys.stderr)


def _is_open(port: int) -> bool:
    with socket.socket() as visitor:
        return visitor.connect_ex((LOOPBACK, port)) == 0


async def _welcome(settings: Settings, language: str, *, is_filled: bool) -> list[str]:
    """What a newcomer wants to know at every start: the address, how to log in, and where to find the emails."""
    async with aclosing(Database(settings.database_url)) as database, database.session(is_writing=True) as db:
        if is_filled and await demo.is_empty(db):
            await demo.fill(db, settings, language)
            await db.commit()
        filled = await demo.find(db)
    lines = filled.how_to_log_in() if filled else []
    if settings.mailbox:
        words = _("Every email it sends is at %(url)s; none leaves this machine.")
        lines.append(words % {"url": f"{settings.base_url}/mailbox"})
    else:
        words = _("Emails are really sent, through %(server)s, because MAIL_SERVER is set.")
        lines.append(words % {"server": settings.mail_server})
    here = _("%(site)s is at %(url)s") % {"site": settings.site_name, "url": settings.base_url}
    return [here, *lines, _("Press Ctrl-C to stop it.")]


def mailer(options: argparse.Namespace) -> int:
    """Sends emails until it is stopped: a process of its own beside the web processes."""
    site = settings(options.command)
    if not site.sends_mail:
        logs.say(_("This site sends no email (MAILER=off), so there is nothing for a mailer to do."), sys.stderr)
        return 3
    logs.configure(site)
    uvloop.run(_send(site))
    return 0


async def _send(settings: Settings) -> None:
    database = Database(settings.database_url)
    sender = app.mailer(settings, database, templating.environment(settings))
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, lambda: asyncio.ensure_future(sender.stop()))
    clock = ClockCheck()
    await clock.begin(database)
    looking = asyncio.create_task(cleanup.run(database, [clock], Alarms(settings, database).report))
    await sender.run()
    looking.cancel()
    await asyncio.wait([looking])
    await database.aclose()


def send_test_mail(options: argparse.Namespace) -> int:
    return asyncio.run(test_email.send(settings(options.command), options.address))
