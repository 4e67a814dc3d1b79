""" "This wasn't me": closes the account to everybody until its owner sets a new password by email."""

from datetime import UTC, datetime, timedelta

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts import deletions, endings, reserved_emails, sessions, tokens
from webapp.accounts.endings import Keep, Overtaken
from webapp.accounts.models import User
from webapp.accounts.tokens import NOT_ME_LIFETIME, Claim
from webapp.accounts.users import Taken
from webapp.addresses import changes
from webapp.audit import events
from webapp.audit.events import ClientInfo, Event
from webapp.database import now
from webapp.notifications import switches
from webapp.settings import Settings

PAUSE = timedelta(hours=24)


def is_reported(user: User, claim: Claim) -> bool:
    """Whether somebody has reported this email or a later one, and no new password was set since."""
    return user.password_locked_at is not None and user.password_locked_at >= _written(claim)


def is_to_owner(settings: Settings, user: User, claim: Claim) -> bool:
    """Whether the link was sent to the account's current address."""
    return tokens.was_mailed_to(settings, claim, user.email)


async def lost_by(db: AsyncSession, settings: Settings, user: User, claim: Claim) -> int | None:
    """The change that took the account from the address the link was sent to, if it can be undone."""
    for change_id, old_email in await reserved_emails.undoable_changes(db, user.id):
        if tokens.was_mailed_to(settings, claim, old_email):
            return change_id
    return None


async def is_void(db: AsyncSession, settings: Settings, user: User, claim: Claim) -> bool:
    """Whether the link was sent to somebody who no longer has a right to the account; they must not lock it."""
    return not is_to_owner(settings, user, claim) and await lost_by(db, settings, user, claim) is None


async def report(db: AsyncSession, settings: Settings, user: User, claim: Claim, client: ClientInfo) -> int:
    """Ends everything, locks the password, pauses reset emails, undoes a later change of address, turns emails about
    log-ins on again, and restores the language.

    If somebody with the password was deleting the account, that is undone as well. An authenticator app stays: the
    mailbox alone removes none. Returns how many sessions ended. Does nothing the second time.
    """
    await db.refresh(user, with_for_update=True)  # a thief may be confirming another address at this moment
    if is_reported(user, claim):
        return 0
    ended = await sessions.count(db, user)
    if not is_to_owner(settings, user, claim):
        await _take_address_back(db, settings, user, claim, client)
    closed = {"password_locked_at": now(), "reset_paused_until": now() + PAUSE, "disabled_at": deletions.undone()}
    await endings.end_everything(db, user.id, keep=Keep(browser=client.browser_mark), **closed)
    await deletions.forget(db, user.id, client)
    await switches.end_silence(db, user.id)
    await events.note(db, Event.NOT_ME, user.id, client, letter=claim.about)
    if ended:
        await events.note(db, Event.SESSIONS_ENDED, user.id, client, ended=ended)
    await db.refresh(user)
    return ended


async def _take_address_back(
    db: AsyncSession, settings: Settings, user: User, claim: Claim, client: ClientInfo
) -> None:
    """Gives the account its address back, so that the link for a new password doesn't go to a thief."""
    lost_by_change = await lost_by(db, settings, user, claim)
    change = await changes.get(db, lost_by_change) if lost_by_change else None
    if change is None:
        return
    try:
        async with db.begin_nested():
            await changes.undo(db, settings, change, client)
    except (Overtaken, Taken):
        return  # the account is locked all the same, and its page sends the owner to the admin


def _written(claim: Claim) -> datetime:
    return datetime.fromtimestamp(claim.expires_at, UTC) - NOT_ME_LIFETIME
