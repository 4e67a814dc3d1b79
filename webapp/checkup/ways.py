"""The ways back into an account, what is known of each, and which one is weakest."""

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts.models import RecoveryCode, User
from webapp.accounts.sessions import CHECKUP_EVERY
from webapp.checkup import openings
from webapp.database import now
from webapp.factors import methods
from webapp.i18n import gettext as _

FRESH = CHECKUP_EVERY  # an older test proves little
FEW_CODES = 3


@dataclass(frozen=True)
class Ways:
    """The ways back into an account, and when each was last seen to work. `synced` passkeys are on several devices.

    `email_opened` says that something else opened the test link first.
    """

    email: str
    sends_mail: bool
    email_checked_at: datetime | None
    email_opened: str
    codes: int
    codes_checked_at: datetime | None
    passkeys: int
    synced: int
    passkey_used_at: datetime | None
    app_used_at: datetime | None
    has_app: bool

    @property
    def weakest(self) -> str:
        """The first thing to fix, in words; empty if nothing needs fixing."""
        if self.has_app and not self.codes:
            return _("If you lose the phone with your authenticator app, you'll wait for days. Print recovery codes.")
        if not self.sends_mail and not self.codes and not self.passkeys:
            return _("If you forget the password, only the admin can let you back in. Print recovery codes.")
        if not self.codes and not self.passkeys:
            return _("If you lose your mailbox, there's no other way back in. Print recovery codes, or add a passkey.")
        if not self.codes and not self.synced:
            return _("If you lose this device, only the mailbox is left. Print recovery codes.")
        if 0 < self.codes <= FEW_CODES:
            return _("You don't have many recovery codes left. Print new ones.")
        if self.sends_mail and not _is_fresh(self.email_checked_at):
            return _("We don't know whether our emails reach you. Send yourself a test link.")
        if self.codes and not _is_fresh(self.codes_checked_at):
            return _("Do you still have your recovery codes? Type four characters of one.")
        return ""


async def of(db: AsyncSession, user_id: int, *, sends_mail: bool) -> Ways:
    """An account's ways back."""
    found = await methods.of(db, user_id)
    user = found.account
    return Ways(
        user.email,
        sends_mail,
        user.email_checked_at,
        openings.of_others(user),
        found.codes,
        user.codes_checked_at,
        found.passkeys,
        found.synced,
        found.passkeys_used_at,
        found.app.last_used_at if found.app else None,
        found.app is not None,
    )


async def has_code(db: AsyncSession, user_id: int, label: str) -> bool:
    """Whether an unused code of the account begins with these four characters, which are no secret. Uses up nothing."""
    this = col(RecoveryCode.user_id) == user_id, col(RecoveryCode.label) == label
    unused = select(RecoveryCode.label).where(*this, col(RecoveryCode.used_at).is_(None))
    return (await db.exec(unused)).first() is not None


async def note(db: AsyncSession, user_id: int, *columns: str) -> None:
    """Records that something has just been seen to work, or that the check-up was done or declined."""
    await db.exec(update(User).where(col(User.id) == user_id).values(dict.fromkeys(columns, now())))


def _is_fresh(checked_at: datetime | None) -> bool:
    return checked_at is not None and checked_at > now() - FRESH
