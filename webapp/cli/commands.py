"""What the admin does by hand: people and their links, posts, emails, a check-up.

A command yields the lines to print. If it writes, it commits before it yields, since printing ends the transaction.
"""

import argparse
import re
import sys
from collections.abc import AsyncIterator

from pydantic import ValidationError
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts import tokens, users
from webapp.accounts.models import User
from webapp.admin_people import actions
from webapp.audit import events
from webapp.bounces import bounces
from webapp.cli import Refused, account_report, demo
from webapp.doctor import doctor
from webapp.doctor.findings import FAILURE
from webapp.i18n import gettext as _
from webapp.i18n import ngettext
from webapp.logs import say
from webapp.mail import kinds, status
from webapp.moderation import decisions
from webapp.moderation.forms import MOST_CHARACTERS, Decision
from webapp.names import identities
from webapp.operator import mail_status as mail_words
from webapp.settings import Settings

MOST_BOUNCE_BYTES = 4 * 1024 * 1024


async def invite(db: AsyncSession, settings: Settings, options: argparse.Namespace) -> AsyncIterator[str]:
    """A link with which the owner of an address makes an account."""
    try:
        address = identities.canonical_address(options.address, settings.mail_local_domains)
    except ValueError as refused:
        raise Refused(str(refused)) from None
    if await users.has_account(db, address):
        raise Refused(_("%(email)s already has an account.") % {"email": address})
    yield tokens.register_link(settings, address)
    hours = int(tokens.REGISTER_LIFETIME.total_seconds() // 3600)
    hint(ngettext("It works once, for %(count)s hour.", "It works once, for %(count)s hours.", hours), count=hours)


async def reset_link(db: AsyncSession, settings: Settings, options: argparse.Namespace) -> AsyncIterator[str]:
    """A link with which a person chooses a new password."""
    user = await _person(db, options.name)
    if user.disabled_at is not None:
        words = _("%(name)s is disabled. `users enable %(name)s` opens the account again.")
        raise Refused(words % {"name": user.username})
    yield tokens.reset_link(settings, user)
    minutes = settings.reset_token_minutes
    words = ngettext("It works once, for %(count)s minute.", "It works once, for %(count)s minutes.", minutes)
    hint(words, count=minutes)


def hint(words: str, **values: object) -> None:
    """Says something to the person at the terminal, but not to a program that reads the link or the list."""
    say(words % values, sys.stderr)


async def list_users(db: AsyncSession, settings: Settings, options: argparse.Namespace) -> AsyncIterator[str]:
    is_empty = True
    async for line in account_report.all_accounts(db):
        is_empty = False
        yield line
    if is_empty:
        hint(_("Nobody has an account yet."))


async def show_user(db: AsyncSession, settings: Settings, options: argparse.Namespace) -> AsyncIterator[str]:
    for line in await account_report.of(db, settings, await _person(db, options.name)):
        yield line


async def end_sessions(db: AsyncSession, settings: Settings, options: argparse.Namespace) -> AsyncIterator[str]:
    user = await _person(db, options.name)
    ended = await actions.end_sessions(db, settings, user)
    await db.commit()
    words = ngettext(
        "%(name)s is logged out of %(count)s browser. Every link they were sent is void.",
        "%(name)s is logged out of %(count)s browsers. Every link they were sent is void.",
        ended.sessions,
    )
    yield words % {"name": user.username, "count": ended.sessions}
    if ended.codes:
        yield ngettext(
            "%(count)s recovery code is void too.", "%(count)s recovery codes are void too.", ended.codes
        ) % {"count": ended.codes}
    if ended.passkeys:
        yield ngettext("%(count)s passkey is void too.", "%(count)s passkeys are void too.", ended.passkeys) % {
            "count": ended.passkeys
        }


async def remove_factors(db: AsyncSession, settings: Settings, options: argparse.Namespace) -> AsyncIterator[str]:
    """For somebody who has lost all of them and has shown you who they are. Nothing else changes, and they are told."""
    user = await _person(db, options.name)
    removed = await actions.remove_factors(db, settings, user, events.BY_OPERATOR)
    await db.commit()
    if not removed:
        yield _("%(name)s has no second step.") % {"name": user.username}
        return
    words = ngettext(
        "%(count)s factor of %(name)s is removed. The password is now enough to log in, and they are told by email.",
        "%(count)s factors of %(name)s are removed. The password is now enough to log in, and they are told by email.",
        removed,
    )
    yield words % {"name": user.username, "count": removed}
    if settings.admin_two_factors and user.email in settings.admin_addresses:
        yield _("%(name)s is an admin: the admin pages stay closed to them until they set up an app again.") % {
            "name": user.username
        }


async def disable_user(db: AsyncSession, settings: Settings, options: argparse.Namespace) -> AsyncIterator[str]:
    user = await _person(db, options.name)
    await actions.disable(db, settings, user, options.reason or "", events.BY_OPERATOR)
    await db.commit()
    words = _("%(name)s is disabled: logged out everywhere, and no link, recovery code or passkey works.")
    yield words % {"name": user.username}


async def enable_user(db: AsyncSession, settings: Settings, options: argparse.Namespace) -> AsyncIterator[str]:
    user = await _person(db, options.name)
    await actions.enable(db, settings, user, events.BY_OPERATOR)
    await db.commit()
    yield _("%(name)s can log in again.") % {"name": user.username}


async def delete_user(db: AsyncSession, settings: Settings, options: argparse.Namespace) -> AsyncIterator[str]:
    """Hides an account from everybody. It is deleted for good later; until then only the admin can undo that."""
    user = await _person(db, options.name)
    deletion = await actions.delete(db, settings, user, options.reason, events.BY_OPERATOR)
    await db.commit()
    words = _("%(name)s is hidden and logged out, and will be deleted for good on %(day)s.")
    yield words % {"name": user.username, "day": f"{deletion.due_at:%Y-%m-%d %H:%M} UTC"}
    yield _("Until then `users enable %(name)s` brings the account back.") % {"name": user.username}
    yield _("What stays: the username, as a keyed hash for a year, and decided reports in words.")


async def remove_post(db: AsyncSession, settings: Settings, options: argparse.Namespace) -> AsyncIterator[str]:
    """Takes a post down; its author gets the reason by email."""
    if not await decisions.remove(db, settings, options.number, options.reason, events.BY_OPERATOR):
        raise Refused(_("There is no post %(number)s, or it was removed before.") % {"number": options.number})
    await db.commit()
    yield _("Post %(number)s is removed. Its author gets the reason by email.") % {"number": options.number}


def reason(text: str) -> str:
    """The text after --reason. Raises ArgumentTypeError."""
    try:
        return Decision(reason=text).reason
    except ValidationError:
        raise argparse.ArgumentTypeError(_("say why in 1 to %(most)s characters") % {"most": MOST_CHARACTERS}) from None


def number(text: str) -> int:
    """The number of an email or a post, which is below zero if it was imported. Raises ArgumentTypeError."""
    if not re.fullmatch("-?[0-9]{1,18}", text):
        raise argparse.ArgumentTypeError(_("'%(typed)s' is not a number") % {"typed": text})
    return int(text)


async def mail_status(db: AsyncSession, settings: Settings, options: argparse.Namespace) -> AsyncIterator[str]:
    """Whether mail is leaving, and the emails that were given up."""
    state, (given_up, _unreachable) = await status.read(db), await mail_words.failed(db, settings)
    yield mail_words.sentence(state, settings)
    for email in given_up:
        yield f"{email.id}\t{email.kind}\t{email.recipient}\t{email.finished_at:%Y-%m-%d %H:%M}\t{email.reason}"


async def retry_mail(db: AsyncSession, settings: Settings, options: argparse.Namespace) -> AsyncIterator[str]:
    count = await status.send_again(db, settings, kinds.lifetimes(), options.email)
    if options.email is not None and not count:
        raise Refused(_("No failed email has the number %(number)s.") % {"number": options.email})
    await db.commit()
    yield ngettext("%(count)s email will be sent again.", "%(count)s emails will be sent again.", count) % {
        "count": count
    }


async def pause_mail(db: AsyncSession, settings: Settings, options: argparse.Namespace) -> AsyncIterator[str]:
    await status.pause(db)
    await db.commit()
    async for line in mail_status(db, settings, options):
        yield line


async def resume_mail(db: AsyncSession, settings: Settings, options: argparse.Namespace) -> AsyncIterator[str]:
    await status.resume(db)
    await db.commit()
    async for line in mail_status(db, settings, options):
        yield line


async def fill_with_demo(db: AsyncSession, settings: Settings, options: argparse.Namespace) -> AsyncIterator[str]:
    """Fills an empty development site with a small community, and says how to log in."""
    filled = await demo.fill(db, settings, options.language)
    await db.commit()
    for line in filled.how_to_log_in():
        yield line


async def take_bounce(db: AsyncSession, settings: Settings, options: argparse.Namespace) -> AsyncIterator[str]:
    """Marks the address of an email that came back. A message that proves nothing is ignored, and not sent back."""
    marked = await bounces.take_message(db, settings, sys.stdin.buffer.read(MOST_BOUNCE_BYTES), options.to)
    await db.commit()
    yield (
        _("Marked: %(addresses)s") % {"addresses": ", ".join(marked)}
        if marked
        else _("Nothing marked: the message proves no permanent failure.")
    )


async def check_up(db: AsyncSession, settings: Settings, options: argparse.Namespace) -> AsyncIterator[str]:
    """Checks the set-up; refused if anything fails."""
    failed = 0
    async for finding in doctor.examine(settings):
        failed += finding.verdict == FAILURE
        yield str(finding)
    if failed:
        raise Refused(ngettext("%(count)s check failed.", "%(count)s checks failed.", failed) % {"count": failed})


async def _person(db: AsyncSession, typed: str) -> User:
    user = await users.find_typed(db, typed)
    if user is None:
        raise Refused(_("Nobody has the username or email '%(typed)s'.") % {"typed": typed})
    return user
