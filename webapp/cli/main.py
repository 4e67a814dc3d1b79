"""The command line: `python -m webapp`. This lists what it can do; the modules beside it do it."""

import argparse
import asyncio
import logging
import os
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import backups, i18n, imports, logs, temporary_files
from webapp.admin_people.actions import NotNow
from webapp.backups import copies, drill, move
from webapp.cli import Refused, commands, demo, serving, shell, waiting
from webapp.database import Database, refusals, release
from webapp.i18n import N_
from webapp.i18n import gettext as _
from webapp.imports import import_archive, import_tutorial, import_users
from webapp.operator.health import learn_time
from webapp.settings import Misconfigured, Settings

Command = Callable[[AsyncSession, Settings, argparse.Namespace], AsyncIterator[str]]
Add = Callable[..., argparse.ArgumentParser]
NAMED = N_("a username or an email address")


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    language = i18n.of_environment(os.environ)
    with i18n.use(language), i18n.in_argparse(language):
        parser = _parser()
        if any(word.encode(errors="replace").decode() != word for word in arguments or sys.argv):
            parser.error(_("an argument has characters that are not in UTF-8"))
        options = parser.parse_args(arguments)
    with i18n.use(language):
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    try:
        return int(options.run(options) or 0)  # a command returns a code only if something may be wrong
    except Misconfigured as refused:
        logs.say(refused.said(_), sys.stderr)
        return 3
    except (Refused, backups.Refused, imports.Refused, NotNow, temporary_files.NoRoom) as refused:
        logs.say(str(refused), sys.stderr)
        return 1
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        if isinstance(error, BrokenPipeError):
            return _on_broken_pipe()
        logs.say(_trouble(error), sys.stderr)
        return os.EX_TEMPFAIL if options.command == "bounce" else 1  # a mail server keeps it, and tries again
    except KeyboardInterrupt:
        return 130


def _trouble(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return refusals.with_advice(error)
    words, doctor = _("The database can't be used: %(reason)s"), _("`python -m webapp doctor` looks closer.")
    return f"{words % {'reason': refusals.in_words(error)}}\n{refusals.what_to_check(error)} {doctor}"


def _on_broken_pipe() -> int:
    """Ends quietly when the reader, such as `head`, has seen enough."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # otherwise Python complains when it flushes
    return 1


def _with_session(command: Command, options: argparse.Namespace, *, is_writing: bool = False) -> None:
    asyncio.run(_print_all(command, serving.settings(options.command), options, is_writing))


async def _print_all(command: Command, settings: Settings, options: argparse.Namespace, is_writing: bool) -> None:
    """Prints what a command says, holding nothing meanwhile: the reader may take their time. A command that writes
    commits before it says so. Only such a command takes SQLite's write lock.
    """
    async with (
        aclosing(Database(settings.database_url, is_patient=True)) as database,
        database.session(is_writing=is_writing) as db,
    ):
        await learn_time(db)
        async for line in command(db, settings, options):
            await release(db)
            logs.say(line)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m webapp", description=_("Run a Microblog site and look after it."))
    add = parser.add_subparsers(dest="command", required=True, metavar="COMMAND").add_parser
    _add_serving(add)
    _add_backups(add)
    _add_accounts(add)
    waiting.add_to(add, _with_session)
    _add_moderation(add)
    _add_mail(add)
    return parser


def _add_serving(add: Add) -> None:
    command = add("dev", help=_("serve a site for this machine alone, with a mailbox page"))
    command.add_argument("--port", type=_port, default=8000)
    command.add_argument("--empty", action="store_true", help=_("start with nobody: leave out the demo community"))
    _add_language(command)
    command.set_defaults(run=serving.dev)
    command = add("demo", help=_("fill an empty development site with a small made-up community"))
    _add_language(command)
    command.set_defaults(run=partial(_with_session, commands.fill_with_demo, is_writing=True))
    command = add("migrate", help=_("bring the database up to date with the code"))
    command.add_argument("--dry-run", action="store_true", help=_("only say what would be done"))
    command.add_argument(
        "--to", metavar="REVISION", default="head", help=_("go to this revision, forwards or back; make a backup first")
    )
    command.set_defaults(run=_migrate)
    command = add("mailer", help=_("send emails, in a process of its own"))
    command.set_defaults(run=serving.mailer)
    command = add("doctor", help=_("check the setup: settings, database, mail server, DNS"))
    command.set_defaults(run=partial(_with_session, commands.check_up))
    command = add("shell", help=_("an asyncio prompt with db, settings, mail and users at hand"))
    command.set_defaults(run=shell.run)


def _migrate(options: argparse.Namespace) -> None:
    serving.migrate(serving.settings(options.command), options.to, is_dry_run=options.dry_run)


def _add_language(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--language", choices=list(demo.COMMUNITIES), default="en", help=_("the language of the demo community")
    )


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 0 < int(text) < 65536):
        raise argparse.ArgumentTypeError(_("a port is a number from 1 to 65535"))
    return int(text)


def _add_backups(add: Add) -> None:
    command = add("backup", help=_("copy the database to a new file, while the site runs"))
    command.add_argument("file", type=Path, help=_("the new file; only you can read it"))
    command.set_defaults(run=_back_up)
    command = add("restore-drill", help=_("restore a backup elsewhere, and check that the site works with it"))
    command.add_argument("file", type=Path, help=_("a backup"))
    command.add_argument("--into", metavar="URL", help=_("an empty database, for a backup of PostgreSQL"))
    command.set_defaults(run=_drill)
    command = add("move", help=_("move the data of a stopped site to another database, and compare every row"))
    command.add_argument("--to", metavar="URL", required=True, help=_("an empty database, SQLite or PostgreSQL"))
    command.set_defaults(run=_move)


def _back_up(options: argparse.Namespace) -> None:
    logs.say(copies.make(serving.settings(options.command).database_url, options.file))


def _drill(options: argparse.Namespace) -> None:
    logging.disable(logging.WARNING)  # what the made-up person does there is nobody's business
    for line in drill.run(serving.settings(options.command), options.file, options.into):
        logs.say(line)


def _move(options: argparse.Namespace) -> None:
    move.run(serving.settings(options.command).database_url, options.to, say=logs.say)


def _add_accounts(add: Add) -> None:
    command = add("invite", help=_("print a link for creating an account"))
    command.add_argument("address", help=_("their email address"))
    command.set_defaults(run=partial(_with_session, commands.invite))
    command = add("reset-link", help=_("print a link for choosing a new password"))
    command.add_argument("name", help=_(NAMED))
    command.set_defaults(run=partial(_with_session, commands.reset_link))
    command = add("import-users", help=_("add the accounts of a CSV file"))
    command.add_argument("file", type=Path, help=_("with the columns username,email and, if you like, password_hash"))
    command.set_defaults(run=lambda options: import_users.run(serving.settings(options.command), options.file))
    command = add("import-tutorial", help=_("import people, posts and follows from the tutorial's own app.db"))
    command.add_argument("file", type=Path, help=_("the SQLite database of that application; it is only read"))
    command.set_defaults(run=lambda options: import_tutorial.run(serving.settings(options.command), options.file))
    command = add("import-archive", help=_("import posts and follows from an archive of this site or of Mastodon"))
    command.add_argument("name", help=_(NAMED))
    command.add_argument("file", type=Path, help=_("the zip; only public posts are taken"))
    command.set_defaults(
        run=lambda options: import_archive.run(serving.settings(options.command), options.name, options.file)
    )
    _add_users(
        add(
            "users",
            help=_("list the accounts, show one, disable, enable or delete it, log it out, remove its second step"),
        )
    )


def _add_users(parser: argparse.ArgumentParser) -> None:
    add = parser.add_subparsers(dest="action", required=True, metavar="ACTION").add_parser
    command = add("list", help=_("one line for each account, oldest first"))
    command.set_defaults(run=partial(_with_session, commands.list_users))
    for action, work, words in (
        ("show", commands.show_user, N_("an account, its sessions, and what happened to it")),
        ("end-sessions", commands.end_sessions, N_("log it out everywhere, and end every link it was sent")),
        ("remove-factors", commands.remove_factors, N_("remove its authenticator app; its owner is told")),
        ("disable", commands.disable_user, N_("disable an account")),
        ("enable", commands.enable_user, N_("enable it again, even while it is being deleted")),
        ("delete", commands.delete_user, N_("hide an account now, and delete it for good some days later")),
    ):
        command = add(action, help=_(words))
        command.add_argument("name", help=_(NAMED))
        command.set_defaults(run=partial(_with_session, work, is_writing=action != "show"))
        if action in {"disable", "delete"}:
            words, is_required = _("why: the person is told by email"), action == "delete"
            command.add_argument("--reason", type=commands.reason, required=is_required, help=words)


def _add_moderation(add: Add) -> None:
    posts = add("posts", help=_("remove a post, and tell its author why by email"))
    actions = posts.add_subparsers(dest="action", required=True, metavar="ACTION")
    command = actions.add_parser("remove", help=_("remove a post for good"))
    command.add_argument("number", type=commands.number, help=_("the number at the end of the post's address"))
    command.add_argument("--reason", type=commands.reason, required=True, help=_("why: its author is told"))
    command.set_defaults(run=partial(_with_session, commands.remove_post, is_writing=True))


def _add_mail(add: Add) -> None:
    command = add("send-test-mail", help=_("send an email now, and repeat the mail server's own words"))
    command.add_argument("address", help=_("where to"))
    command.set_defaults(run=serving.send_test_mail)
    command = add("bounce", help=_("read an email that came back, from standard input"))
    command.add_argument("to", nargs="*", help=_("the address that it came to, if its headers don't say"))
    command.set_defaults(run=partial(_with_session, commands.take_bounce, is_writing=True))
    parser = add("mail", help=_("is mail leaving? list failed emails, send them again, pause, resume"))
    parser.set_defaults(run=partial(_with_session, commands.mail_status))
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser("list", help=_("whether mail is leaving, and what failed: the same as without ACTION"))
    command = actions.add_parser("retry", help=_("send failed emails again"))
    words = _("the number of one email; without it, all of them")
    command.add_argument("email", nargs="?", type=commands.number, help=words)
    command.set_defaults(run=partial(_with_session, commands.retry_mail, is_writing=True))
    command = actions.add_parser("pause", help=_("hold emails back until you resume; new ones are still accepted"))
    command.set_defaults(run=partial(_with_session, commands.pause_mail, is_writing=True))
    command = actions.add_parser("resume", help=_("let emails leave again"))
    command.set_defaults(run=partial(_with_session, commands.resume_mail, is_writing=True))
