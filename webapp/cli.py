"""The command line: `python -m webapp`."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvicorn
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.applications import Starlette

from webapp import logs, migrations, pages
from webapp.accounts import letters, users
from webapp.app import create_app, deployed_settings
from webapp.database import Database
from webapp.mail import trial
from webapp.mail.mailer import Mailer
from webapp.settings import INSTANCE, ROOT, Misconfigured, Settings

Work = Callable[[AsyncSession, Settings], Awaitable[int]]


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    if options.command == "dev":
        return dev(options.port)
    settings = _settings()
    if options.command == "migrate":
        return migrate(settings)
    if options.command == "mailer":
        return asyncio.run(mailer(settings))
    if options.command == "send-test-mail":
        return asyncio.run(trial.send(settings, options.address))
    return asyncio.run(_with_database(settings, options.work(options)))


def dev(port: int) -> int:
    """Serves a site for this machine alone, migrated and reloading."""
    os.environ["PORT"] = str(port)
    try:
        settings = Settings.for_development(port)
    except Misconfigured as refused:
        print(refused, file=sys.stderr)
        return 3
    migrate(settings)
    print(f"Microblog is at {settings.base_url}", file=sys.stderr)
    if settings.mailbox:
        print(f"Its letters are at {settings.base_url}/mailbox", file=sys.stderr)
    uvicorn.run(
        "webapp.cli:development_app",
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
    """Sends letters until it is told to stop: a process of its own beside the web processes."""
    if not settings.sends_mail:
        print("MAILER=off: this site sends no mail.", file=sys.stderr)
        return 3
    logs.configure(settings)
    database = Database(settings.database_url)
    postman = Mailer(settings, database, pages.environment(settings))
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, lambda: asyncio.ensure_future(postman.stop()))
    await postman.run()
    await database.close()
    return 0


def invite(options: argparse.Namespace) -> Work:
    """Prints the link with which the owner of an address makes an account."""

    async def work(db: AsyncSession, settings: Settings) -> int:
        try:
            address = users.canonical_address(options.address)
        except ValueError as refused:
            return _refuse(str(refused))
        if await users.find(db, address):
            return _refuse(f"{address} has an account already.")
        print(letters.register_link(settings, address))
        return 0

    return work


def reset_link(options: argparse.Namespace) -> Work:
    """Prints a link with which a person sets a new password."""

    async def work(db: AsyncSession, settings: Settings) -> int:
        user = await users.find_typed(db, options.name)
        if user is None or user.disabled_at is not None:
            return _refuse(f"There is no account, or only a disabled one, for '{options.name}'.")
        print(letters.reset_link(settings, user))
        print(f"It works once, for {settings.reset_token_minutes} minutes.", file=sys.stderr)
        return 0

    return work


def import_users(options: argparse.Namespace) -> Work:
    """Adds the accounts of a CSV file, all or none."""
    try:
        text = options.file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        sys.exit(f"{options.file}: {error}")

    async def work(db: AsyncSession, settings: Settings) -> int:
        problems = await users.import_csv(db, text)
        if problems:
            return _refuse("\n".join([*problems, "Nothing was imported."]))
        await db.commit()
        print("All were imported. Those without a password_hash set a password with 'Forgot your password?'.")
        return 0

    return work


def look_after_users(options: argparse.Namespace) -> Work:
    """Lists the accounts, or locks or opens one; its links and sessions end either way."""

    async def work(db: AsyncSession, settings: Settings) -> int:
        if options.action == "list":
            async for line in users.described(db):
                print(line)
            return 0
        user = await users.find_typed(db, options.name or "")
        if user is None:
            return _refuse(f"There is no account for '{options.name or ''}'.")
        await users.set_disabled(db, user, options.action == "disable")
        await db.commit()
        return 0

    return work


async def _with_database(settings: Settings, work: Work) -> int:
    database = Database(settings.database_url)
    try:
        async with database.session(is_writing=True) as db:
            return await work(db, settings)
    finally:
        await database.close()


def _settings() -> Settings:
    """The deployed site's settings; those of the development site on a machine that has no other."""
    is_deployed = any(os.environ.get(name) for name in ("BASE_URL", "SECRET_KEY", "DATABASE_URL", "DYNO"))
    if not is_deployed and (INSTANCE / "development.db").exists():
        return Settings.for_development(int(os.environ.get("PORT", "8000")))
    return deployed_settings()


def _refuse(words: str) -> int:
    print(words, file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m webapp", description="Serve and look after a Microblog site.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser("dev", help="serve a site for this machine alone, with a mailbox page")
    command.add_argument("--port", type=int, default=8000)
    commands.add_parser("migrate", help="bring the database to the state that the code expects")
    commands.add_parser("mailer", help="send letters in a process of its own")
    command = commands.add_parser("send-test-mail", help="send a letter now and repeat the server's words")
    command.add_argument("address")
    command = commands.add_parser("invite", help="print a link with which an address gets an account")
    command.add_argument("address")
    command.set_defaults(work=invite)
    command = commands.add_parser("reset-link", help="print a link with which a person sets a new password")
    command.add_argument("name", help="name or address")
    command.set_defaults(work=reset_link)
    command = commands.add_parser("import-users", help="add accounts from a CSV file, all or none")
    command.add_argument("file", type=Path, help="columns: username,email and perhaps password_hash (argon2)")
    command.set_defaults(work=import_users)
    command = commands.add_parser("users", help="list the accounts; disable or enable one")
    command.add_argument("action", choices=["list", "disable", "enable"])
    command.add_argument("name", nargs="?", help="name or address")
    command.set_defaults(work=look_after_users)
    return parser
