"""The emails a person was sent, in words, so that they can tell a real one from a fake."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.audit import events
from webapp.database import execute
from webapp.i18n import gettext as _
from webapp.logs import mask, redact
from webapp.mail.models import DEAD, EXPIRED, SENT, SUPPRESSED
from webapp.mail.outbox import emails

MOST_OF_A_KIND = 10
_COLUMNS = ("kind", "created_at", "state", "attempts", "code", "reason", "recipient")
_SHOWN = select(*(emails.c[name] for name in _COLUMNS))


@dataclass(frozen=True)
class ShownEmail:
    """An email as its reader may see it. The address is masked, or empty once it was deleted."""

    name: str
    created_at: datetime
    outcome: str
    address: str


async def latest(db: AsyncSession, user_id: int) -> Sequence[ShownEmail]:
    """A person's latest emails, newest first, including those to an earlier address."""
    return [shown(row) for row in await execute(db, latest_of(user_id))]


def latest_of(user_id: int) -> Select[*tuple[Any, ...]]:
    """Finds them, each as `shown` reads it."""
    newest_first = emails.c.created_at.desc(), emails.c.id.desc()
    newest = events.newest_of_each_kind(emails, user_id, MOST_OF_A_KIND)
    return _SHOWN.where(emails.c.id.in_(newest)).order_by(*newest_first)


def shown(row: Any, *, is_own: bool = True) -> ShownEmail:
    """As the one it was sent to reads it, or as the admin does."""
    outcome = _met_at_provider(row, is_own=is_own) or _outcome(row)
    return ShownEmail(named(row.kind), row.created_at, outcome, _address(row.recipient))


def named(kind: str) -> str:
    """What a kind of email is called, in words that are as true for the admin who reads them about somebody else."""
    names = {
        "register": _("Somebody wanted to register with this email"),
        "registration_waiting": _("The request to join is waiting"),
        "registration_approved": _("The request to join was approved"),
        "registration_refused": _("The request to join was refused"),
        "registrations_waiting": _("People are waiting to be let in"),
        "reset_password": _("A link to choose a new password"),
        "password_changed": _("The password was changed"),
        "new_sign_in": _("A log-in from a new device"),
        "confirm_email": _("A link to confirm the new email"),
        "address_change_asked": _("Somebody asked to change the email"),
        "address_changed": _("The email was changed"),
        "address_restored": _("The old email was restored"),
        "recovery_codes_made": _("New recovery codes were made"),
        "recovery_code_used": _("A recovery code was used"),
        "app_link": _("A link to set up an authenticator app"),
        "factor_added": _("A way to log in was added"),
        "factor_removed": _("A way to log in was removed"),
        "second_step_unfinished": _("Somebody knew the password, and stopped at the second step"),
        "factor_removal_link": _("A link to log in without the second step"),
        "factor_removal_waiting": _("The second step is about to be removed"),
        "factor_removal_stopped": _("The second step stays"),
        "checkup": _("A test link for the check-up"),
        "passkey_added": _("A passkey was added"),
        "passkey_renamed": _("A passkey was renamed"),
        "passkey_removed": _("A passkey was removed"),
        "username_changed": _("The username was changed"),
        "profile_shown": _("The profile was opened to everybody"),
        "sessions_ended": _("Logged out on other devices"),
        "emails_turned_off": _("Emails about the account were turned off"),
        "post_removed": _("A post was removed"),
        "account_disabled": _("The account was disabled"),
        "account_enabled": _("The account was enabled"),
        "export_ready": _("The export is ready"),
        "account_deletion": _("The account is being deleted"),
        "new_follower": _("New followers"),
        "mention": _("A mention"),
        "digest": _("The weekly digest"),
        "post_reported": _("A post was reported"),
        "admin_acted": _("Another admin changed an account"),
    }
    return names.get(kind) or _("Another email")


def _met_at_provider(row: Any, *, is_own: bool) -> str:
    """What the reader's mail provider did with it; empty if it had no part in it."""
    if row.state == SENT:
        return _("Delivered to your mail provider") if is_own else _("Delivered to their mail provider")
    if row.state == SUPPRESSED:
        yours = _("Not sent: your mail provider refused an earlier one")
        return yours if is_own else _("Not sent: their mail provider refused an earlier one")
    if row.state == DEAD and row.code:
        said = redact(" ".join(str(part) for part in (row.code, row.reason) if part))
        yours = _("Refused by your mail provider: %(reason)s")
        return (yours if is_own else _("Refused by their mail provider: %(reason)s")) % {"reason": said}
    return ""


def _outcome(row: Any) -> str:
    if row.state == EXPIRED:
        return _("Not sent in time")
    if row.state == DEAD:
        return _("Not sent")
    return _("Not delivered yet; we keep trying") if row.attempts > 1 else _("On its way")


def _address(recipient: str | None) -> str:
    return mask(recipient) if recipient and "@" in recipient else ""
