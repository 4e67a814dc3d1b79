"""Who opened a test link first: the person, or a program that opens the links in emails before people do."""

from datetime import timedelta

from sqlmodel import col, or_, update
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts import known_browsers
from webapp.accounts.models import User
from webapp.accounts.tokens import Claim
from webapp.audit.events import ClientInfo
from webapp.checkup.emails import LIFETIME
from webapp.database import execute, now
from webapp.i18n import gettext as _
from webapp.i18n import ngettext

AT_ONCE = timedelta(seconds=60)  # people rarely open an email that soon; programs do, before they deliver it
UNOPENED = {"checkup_opened_at": None, "checkup_opened_ip": None, "checkup_opened_agent": None}


async def begin(db: AsyncSession, user_id: int) -> None:
    """Records that a test link is on its way, and that nobody has opened it."""
    values = UNOPENED | {"checkup_sent_at": now()}
    await execute(db, update(User).where(col(User.id) == user_id).values(values))


def is_latest(user: User, claim: Claim) -> bool:
    """Whether this is the link that was asked for last."""
    issued_at = claim.expires_at - LIFETIME.total_seconds()
    return user.checkup_sent_at is not None and issued_at >= int(user.checkup_sent_at.timestamp())


async def note(db: AsyncSession, user: User, client: ClientInfo) -> bool:
    """Records the first visit to the link, unless it came from one of the person's known browsers; returns whether it
    did.
    """
    if await known_browsers.is_known(db, user.id, client.browser_mark, user.epoch):
        return False
    waits = or_(col(User.email_checked_at).is_(None), col(User.email_checked_at) < col(User.checkup_sent_at))
    first = col(User.id) == user.id, col(User.checkup_opened_at).is_(None), waits
    values = {
        "checkup_opened_at": now(),
        "checkup_opened_ip": client.client_ip,
        "checkup_opened_agent": client.user_agent[:300],
    }
    return (await execute(db, update(User).where(*first).values(values))).rowcount == 1


async def settle(db: AsyncSession, user: User, client: ClientInfo) -> str:
    """Says who visited first, now that the person has pressed the button. If it was the person, the visit is
    forgotten.
    """
    if not _is_others(user, client):
        await execute(db, update(User).where(col(User.id) == user.id).values(UNOPENED))
        return _("As far as we can tell, nobody opened it before you. A program on your own network can look like you.")
    return of_others(user)


def of_others(user: User) -> str:
    """Says that something else opened the link before the person did; empty if nothing has."""
    if user.checkup_opened_at is None or user.checkup_sent_at is None:
        return ""
    seconds = max(1, int((user.checkup_opened_at - user.checkup_sent_at).total_seconds()))
    network = user.checkup_opened_ip or ""
    if seconds > AT_ONCE.total_seconds():
        words = _("It had been opened before, by %(browser)s from the network %(client_ip)s.")
        opened = words % {"browser": known_browsers.described(user.checkup_opened_agent or ""), "client_ip": network}
        return opened + " " + _("If that wasn't you, a program opens the links in your emails. It doesn't use ours up.")
    words = ngettext(
        "A program had opened it before you, %(num)s second after you asked, from the network %(client_ip)s.",
        "A program had opened it before you, %(num)s seconds after you asked, from the network %(client_ip)s.",
        seconds,
    )
    opened = words % {"num": seconds, "client_ip": network}
    return opened + " " + _("It opens the links in your emails, but doesn't use ours up.")


def _is_others(user: User, client: ClientInfo) -> bool:
    """Whether the first visit wasn't this person's: from another browser, or at once and from another network."""
    if user.checkup_opened_at is None or user.checkup_sent_at is None:
        return False
    is_at_once = user.checkup_opened_at <= user.checkup_sent_at + AT_ONCE
    is_elsewhere = user.checkup_opened_ip != client.client_ip
    return user.checkup_opened_agent != client.user_agent[:300] or (is_at_once and is_elsewhere)
