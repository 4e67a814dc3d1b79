"""Somebody says "this wasn't me": all live links of the account end, and emails with new ones are kept away."""

from datetime import UTC, datetime, timedelta

from sqlmodel import col, delete, update
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts import known_browsers, reserved_emails, users
from webapp.accounts.models import RecoveryCode, Session, User
from webapp.accounts.tokens import NOT_ME_LIFETIME, Claim
from webapp.audit import events
from webapp.audit.events import ClientInfo, Event
from webapp.database import now
from webapp.i18n import gettext as _

PAUSE = timedelta(hours=24)
# Emails about recovery codes: whoever disowns one has not made those codes, or has lost one.
ABOUT_CODES = {"recovery_codes_made", "recovery_code_used"}


def is_reported(user: User, claim: Claim) -> bool:
    """Whether it was said already of this email, or of a later one, and the pause still holds."""
    if user.reset_paused_until is None or user.reset_paused_until <= now():
        return False
    return user.reset_paused_until - PAUSE >= _written(claim)


async def is_void(db: AsyncSession, user: User, claim: Claim) -> bool:
    """Whether the link was mailed to somebody from whom the account was taken back: they must not lock it again."""
    return await reserved_emails.was_in_other_hands(db, user.id, _written(claim))


async def report(db: AsyncSession, user: User, claim: Claim, client: ClientInfo) -> None:
    """Ends all links of the account but no sign-in, and pauses reset emails. Does nothing the second time."""
    if is_reported(user, claim):
        return
    changed = (
        update(User)
        .where(col(User.id) == user.id)
        .values(epoch=col(User.epoch) + 1, reset_paused_until=now() + PAUSE)
        .returning(col(User.epoch))
    )
    epoch = (await db.exec(changed)).scalar_one()
    carried = col(Session.user_id) == user.id, col(Session.epoch) == epoch - 1
    await db.exec(update(Session).where(*carried).values(epoch=epoch))
    if claim.about in ABOUT_CODES:
        await db.exec(delete(RecoveryCode).where(col(RecoveryCode.user_id) == user.id))
    await known_browsers.forget_others(db, user.id, client.browser_mark)
    await events.note(db, Event.NOT_ME, user.id, client, letter=claim.about)
    await db.refresh(user)


async def end_sessions(db: AsyncSession, user: User, client: ClientInfo) -> int:
    """Logs the account out everywhere; returns in how many browsers."""
    ended = await users.count_sessions(db, user)
    await db.exec(delete(Session).where(col(Session.user_id) == user.id))
    if ended:
        await events.note(db, Event.SESSIONS_ENDED, user.id, client, ended=ended)
    return ended


def what_happened(kind: str) -> str:
    """What the email of a "this wasn't me" link told, in words."""
    told = {
        "reset_password": _("Somebody asked for a new password."),
        "password_changed": _("The password was changed."),
        "new_sign_in": _("Somebody logged in from a new browser."),
        "address_change_asked": _("Somebody asked to change the address."),
        "address_changed": _("The address was changed."),
        "address_restored": _("The address was changed back."),
        "recovery_codes_made": _("New recovery codes were made."),
        "recovery_code_used": _("A recovery code was used."),
    }
    return told.get(kind, _("Something happened to the account."))


def _written(claim: Claim) -> datetime:
    return datetime.fromtimestamp(claim.expires_at, UTC) - NOT_ME_LIFETIME
