"""What a host does by hand, each command with a session of its own: people and their links, emails, a check-up."""

import argparse
import sys
from collections.abc import Awaitable, Callable

from pydantic import ValidationError
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts import tokens, users
from webapp.audit import events
from webapp.cli import account_report, demo
from webapp.cli.import_users import add_accounts
from webapp.mail import kinds, status
from webapp.moderation import decisions
from webapp.moderation.forms import MOST_CHARACTERS, Decision
from webapp.operator import doctor, mail_status, test_email
from webapp.posts import timeline
from webapp.settings import Settings

Work = Callable[[AsyncSession, Settings], Awaitable[int]]


def invite(options: argparse.Namespace) -> Work:
    """Prints the link with which the owner of an address makes an account."""

    async def work(db: AsyncSession, settings: Settings) -> int:
        try:
            address = users.canonical_address(options.address)
        except ValueError as refused:
            return _refuse(str(refused))
        if await users.has_account(db, address):
            return _refuse(f"{address} has an account already.")
        print(tokens.register_link(settings, address))
        return 0

    return work


def reset_link(options: argparse.Namespace) -> Work:
    """Prints a link with which a person sets a new password."""

    async def work(db: AsyncSession, settings: Settings) -> int:
        user = await users.find_typed(db, options.name)
        if user is None or user.disabled_at is not None:
            return _refuse(f"There is no account, or only a disabled one, for '{options.name}'.")
        print(tokens.reset_link(settings, user))
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
        problems = await add_accounts(db, text)
        if problems:
            return _refuse("\n".join([*problems, "Nothing was imported."]))
        await db.commit()
        print("All were imported. Those without a password_hash set a password with 'Forgot your password?'.")
        return 0

    return work


def look_after_users(options: argparse.Namespace) -> Work:
    """Lists the accounts; shows one, locks or opens it, or ends its sign-ins. Its links end with them."""

    async def work(db: AsyncSession, settings: Settings) -> int:
        if options.action == "list":
            async for line in account_report.all_accounts(db):
                print(line)
            return 0
        user = await users.find_typed(db, options.name or "")
        if user is None:
            return _refuse(f"There is no account for '{options.name or ''}'.")
        if options.action == "show":
            async for line in account_report.of(db, user):
                print(line)
        elif options.action == "end-sessions":
            print(f"Ended: {await users.end_all(db, user)} sign-ins, and every link that had been sent.")
        elif options.action == "disable" and options.reason:
            await decisions.disable(db, settings, user, options.reason, events.BY_OPERATOR)
        else:
            await users.set_disabled(db, user, options.action == "disable")
        await db.commit()
        return 0

    return work


def remove_post(options: argparse.Namespace) -> Work:
    """Takes a post down; its author gets the reason by email."""

    async def work(db: AsyncSession, settings: Settings) -> int:
        is_number = 0 < options.number <= timeline.LAST
        if not is_number or not await decisions.remove(
            db, settings, options.number, options.reason, events.BY_OPERATOR
        ):
            return _refuse(f"There is no post {options.number}, or it was removed before.")
        await db.commit()
        print(f"Post {options.number} is removed. Its author gets the reason by email.")
        return 0

    return work


def reason(text: str) -> str:
    """What stands behind --reason. Raises ArgumentTypeError."""
    try:
        return Decision(reason=text).reason
    except ValidationError:
        raise argparse.ArgumentTypeError(f"say why in 1 to {MOST_CHARACTERS} characters") from None


def look_after_mail(options: argparse.Namespace) -> Work:
    """Says whether mail flows and what was given up; sends that again; pauses and resumes."""

    async def work(db: AsyncSession, settings: Settings) -> int:
        if options.action == "pause":
            await status.pause(db)
        elif options.action == "resume":
            await status.resume(db)
        elif options.action == "retry":
            count = await status.send_again(db, kinds.lifetimes(), options.email)
            print("One email is due again." if count == 1 else f"{count} emails are due again.")
        await db.commit()
        print(mail_status.sentence(await status.read(db), settings))
        for email in await mail_status.given_up(db):
            print(f"{email.id}\t{email.kind}\t{email.recipient}\t{email.finished_at:%Y-%m-%d %H:%M}\t{email.reason}")
        return 0

    return work


def fill_with_demo(options: argparse.Namespace) -> Work:
    """Fills an empty development site with a small community, and says how to log in."""

    async def work(db: AsyncSession, settings: Settings) -> int:
        try:
            filled = await demo.fill(db, settings)
        except demo.Refused as refused:
            return _refuse(str(refused))
        await db.commit()
        host, *others = filled.names
        print(f"A small community lives here now. Log in as {host}, who is the host, or as one of")
        print(f"{', '.join(others)}.")
        print(f"Everybody's password: {filled.password}")
        return 0

    return work


def check_up(options: argparse.Namespace) -> Work:
    """Examines the set-up; fails if anything in it does."""

    async def work(db: AsyncSession, settings: Settings) -> int:
        verdicts = []
        async for finding in doctor.examine(settings):
            print(finding)
            verdicts.append(finding.verdict)
        return int(doctor.FAILURE in verdicts)

    return work


def send_test_mail(options: argparse.Namespace) -> Work:
    async def work(db: AsyncSession, settings: Settings) -> int:
        return await test_email.send(settings, options.address)

    return work


def _refuse(words: str) -> int:
    print(words, file=sys.stderr)
    return 1
