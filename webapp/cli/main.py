"""The command line: `python -m webapp`."""

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path

import uvicorn
import uvloop
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.applications import Starlette

from webapp import app, logs
from webapp.app import create_app, deployed_settings
from webapp.cli import commands, demo
from webapp.database import Database, migrations
from webapp.settings import INSTANCE, ROOT, Misconfigured, Settings
from webapp.web import templating


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    if options.command == "dev":
        return dev(options.port, is_empty=options.empty)
    settings = _settings(options.command)
    if options.command == "migrate":
        return migrate(settings)
    if options.command == "mailer":
        return uvloop.run(mailer(settings))
    if options.command == "demo" and settings.development:
        migrate(settings)
    return asyncio.run(_with_database(settings, options.work(options)))


def dev(port: int, *, is_empty: bool = False) -> int:
    """Serves a site for this machine alone, migrated, reloading and, unless it shall be empty, with people in it."""
    os.environ["PORT"] = str(port)
    try:
        settings = Settings.for_development(port)
    except Misconfigured as refused:
        print(refused, file=sys.stderr)
        return 3
    migrate(settings)
    if not (is_empty or _is_deployed()):
        asyncio.run(_with_database(settings, _fill_if_empty))
    print(f"Microblog is at {settings.base_url}", file=sys.stderr)
    if settings.mailbox:
        print(f"Its emails are at {settings.base_url}/mailbox", file=sys.stderr)
    uvicorn.run(
        "webapp.cli.main:development_app",
        factory=True,
        host="127.0.0.1",
        port=port,
        reload=True,
        reload_dirs=[str(ROOT / "webapp")],
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=5,
    )
    return 0


def development_app() -> Starlette:
    """What `dev` serves, and reloads."""
    settings = Settings.for_development(int(os.environ.get("PORT", "8000")))
    logs.configure(settings)
    return create_app(settings)


def migrate(settings: Settings) -> int:
    """Brings the database to the state that the code expects."""
    if settings.database_url.startswith("sqlite"):
        Path(settings.database_url.partition(":///")[2]).parent.mkdir(parents=True, exist_ok=True)
    migrations.upgrade(settings.database_url)
    return 0


async def mailer(settings: Settings) -> int:
    """Sends emails until it is told to stop: a process of its own beside the web processes."""
    if not settings.sends_mail:
        print("MAILER=off: this site sends no mail.", file=sys.stderr)
        return 3
    logs.configure(settings)
    database = Database(settings.database_url)
    sender = app.mailer(settings, database, templating.environment(settings))
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, lambda: asyncio.ensure_future(sender.stop()))
    await sender.run()
    await database.close()
    return 0


async def _with_database(settings: Settings, work: commands.Work) -> int:
    database = Database(settings.database_url, is_patient=True)
    try:
        async with database.session(is_writing=True) as db:
            return await work(db, settings)
    finally:
        await database.close()


async def _fill_if_empty(db: AsyncSession, settings: Settings) -> int:
    is_empty = await demo.is_empty(db)
    return await commands.fill_with_demo(argparse.Namespace())(db, settings) if is_empty else 0


def _is_deployed() -> bool:
    return any(os.environ.get(name) for name in ("BASE_URL", "SECRET_KEY", "DATABASE_URL", "DYNO"))


def _settings(command: str) -> Settings:
    """The deployed site's settings; those of the development site on a machine that has no other."""
    if not _is_deployed() and (command == "demo" or (INSTANCE / "development.db").exists()):
        return Settings.for_development(int(os.environ.get("PORT", "8000")))
    return deployed_settings()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m webapp", description="Serve and look after a Microblog site.")
    add = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = add.add_parser("dev", help="serve a site for this machine alone, with a mailbox page")
    command.add_argument("--port", type=int, default=8000)
    command.add_argument("--empty", action="store_true", help="leave an empty database empty, without the demo")
    command = add.add_parser("demo", help="fill an empty development site with a small community")
    command.set_defaults(work=commands.fill_with_demo)
    add.add_parser("migrate", help="bring the database to the state that the code expects")
    add.add_parser("mailer", help="send emails in a process of its own")
    command = add.add_parser("send-test-mail", help="send an email now and repeat the server's words")
    command.add_argument("address")
    command.set_defaults(work=commands.send_test_mail)
    command = add.add_parser("invite", help="print a link with which an address gets an account")
    command.add_argument("address")
    command.set_defaults(work=commands.invite)
    command = add.add_parser("reset-link", help="print a link with which a person sets a new password")
    command.add_argument("name", help="name or address")
    command.set_defaults(work=commands.reset_link)
    command = add.add_parser("import-users", help="add accounts from a CSV file, all or none")
    command.add_argument("file", type=Path, help="columns: username,email and perhaps password_hash (argon2)")
    command.set_defaults(work=commands.import_users)
    command = add.add_parser("users", help="list the accounts; show, disable or enable one, or end its sign-ins")
    command.add_argument("action", choices=["list", "show", "disable", "enable", "end-sessions"])
    command.add_argument("name", nargs="?", help="name or address")
    command.add_argument("--reason", type=commands.reason, help="why it is disabled; the person is told by email")
    command.set_defaults(work=commands.look_after_users)
    command = add.add_parser("posts", help="remove a post, and tell its author why by email")
    command.add_argument("action", choices=["remove"])
    command.add_argument("number", type=int, help="the number at the end of the post's address")
    command.add_argument("--reason", type=commands.reason, required=True)
    command.set_defaults(work=commands.remove_post)
    command = add.add_parser("mail", help="is mail flowing? list what was given up, send it again, pause, resume")
    command.add_argument("action", nargs="?", default="list", choices=["list", "retry", "pause", "resume"])
    command.add_argument("email", nargs="?", type=int, help="the number of one email to retry; else all")
    command.set_defaults(work=commands.look_after_mail)
    command = add.add_parser("doctor", help="check the set-up: settings, database, mail server, DNS")
    command.set_defaults(work=commands.check_up)
    return parser
