"""The audit log: what happened to an account, when, and from where. docs/security-events.md describes each event."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from sqlalchemy import Select, Table, func, select
from sqlmodel import col
from sqlmodel import select as select_rows
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.audit.models import SecurityEvent
from webapp.database import table
from webapp.logs import mask

log = logging.getLogger("webapp.security")

KEPT = timedelta(days=180)
MOST_OF_A_KIND = 50


class Event(StrEnum):
    """What can happen to an account."""

    REGISTERED = "registered"
    LOGGED_IN = "logged_in"
    LOGGED_OUT = "logged_out"
    PASSWORD_CHANGED = "password_changed"
    PASSWORD_RESET = "password_reset"
    ADDRESS_CHANGE_ASKED = "address_change_asked"
    ADDRESS_CHANGED = "address_changed"
    ADDRESS_RESTORED = "address_restored"
    ADDRESS_WORKS = "address_works"
    SESSION_ENDED = "session_ended"
    SESSIONS_ENDED = "sessions_ended"
    RECOVERY_CODES_MADE = "recovery_codes_made"
    RECOVERY_CODE_USED = "recovery_code_used"
    FACTOR_ADDED = "factor_added"
    FACTOR_REMOVED = "factor_removed"
    FACTOR_REMOVAL_ASKED = "factor_removal_asked"
    FACTOR_REMOVAL_STOPPED = "factor_removal_stopped"
    BROWSER_TRUSTED = "browser_trusted"
    PASSKEY_ADDED = "passkey_added"
    PASSKEY_RENAMED = "passkey_renamed"
    PASSKEY_REMOVED = "passkey_removed"
    PASSKEY_COUNTER = "passkey_counter"
    NOT_ME = "disowned"
    RENAMED = "renamed"
    PROFILE_SHOWN = "profile_shown"
    EMAILS_TURNED_OFF = "letters_turned_off"
    POST_REMOVED = "post_removed"
    DISABLED = "disabled"
    ENABLED = "enabled"
    RESET_LINK_SENT = "reset_link_sent"
    INVITE_MADE = "invite_made"
    INVITE_REVOKED = "invite_revoked"
    EXPORT_ASKED = "export_asked"
    EXPORT_DOWNLOADED = "export_downloaded"
    IMPORT_ASKED = "import_asked"
    DELETION_ASKED = "deletion_asked"
    DELETION_UNDONE = "deletion_undone"
    # What an admin did that is no other account's, in the log of their own:
    POST_KEPT = "post_kept"
    REQUEST_REFUSED = "request_refused"
    MAIL_PAUSED = "mail_paused"
    MAIL_RESUMED = "mail_resumed"
    MAIL_SENT_AGAIN = "mail_sent_again"


@dataclass(frozen=True)
class ClientInfo:
    """Where a request came from: the IP address as `client_ip.of` gives it, and the User-Agent header.

    `browser_mark` is the SHA-256 of the cookie that makes a browser known, or empty.
    """

    client_ip: str = ""
    user_agent: str = ""
    browser_mark: str = ""


class Refusal(StrEnum):
    """What was refused. Only logged, so that nobody can fill the database by knocking."""

    LOG_IN = "log_in_refused"
    PASSWORD_LOCKED = "password_locked"
    BEING_DELETED = "being_deleted"
    WAITS_FOR_ADMIN = "waits_for_admin"
    LOG_IN_THROTTLED = "log_in_throttled"
    PASSKEY = "passkey_refused"
    CODE = "code_refused"
    CODE_THROTTLED = "code_throttled"
    EMAIL_CODE = "email_code_refused"
    EMAIL_CODE_THROTTLED = "email_code_throttled"
    SECOND_STEP = "second_step_refused"
    SECOND_STEP_THROTTLED = "second_step_throttled"
    LINK = "link_refused"
    EMAIL_THROTTLED = "letter_throttled"
    ROBOT = "robot"
    NOT_ALLOWED = "not_allowed"


BY_OPERATOR = ClientInfo(user_agent="the admin's command line")
BY_SOME_ADMIN = ClientInfo(user_agent="the admin's page")  # whose account is gone


_ADMIN_NAMED = f"{BY_SOME_ADMIN.user_agent}: "


def by_admin(username: str) -> ClientInfo:
    """An admin on a page, for the log of somebody else's account: who, but not from where."""
    return ClientInfo(user_agent=f"{_ADMIN_NAMED}{username}")


def admin_named(event: SecurityEvent) -> str:
    """The admin on a page who did it; empty if it wasn't one, whatever their browser called itself."""
    is_by_admin = not event.client_ip and event.user_agent.startswith(_ADMIN_NAMED)
    return event.user_agent.removeprefix(_ADMIN_NAMED) if is_by_admin else ""


async def note(db: AsyncSession, event: Event, user_id: int, client: ClientInfo, **details: object) -> None:
    """Records an event in the transaction of its cause. The details must be JSON, and must hold no secret."""
    row = SecurityEvent(
        user_id=user_id, kind=event, client_ip=client.client_ip, user_agent=client.user_agent[:300], details=details
    )
    db.add(row)
    await db.flush()
    log.info("security", extra={"fields": {"what": event.value, "user": user_id, "network": client.client_ip}})


def refused(
    refusal: Refusal, client: ClientInfo, *, user_id: int | None = None, typed: str | None = None, **details: object
) -> None:
    """Logs a refusal. `typed` is what was in the field for username or email. It may be a password, so it is masked."""
    fields = {"what": refusal.value, "user": user_id, "network": client.client_ip, **details}
    if typed is not None:
        fields["typed"] = mask(typed.strip()[:320])
    log.warning("security", extra={"fields": fields})


async def latest(db: AsyncSession, user_id: int) -> Sequence[SecurityEvent]:
    """What happened to an account, newest first."""
    newest = col(SecurityEvent.id).in_(newest_of_each_kind(table(SecurityEvent), user_id, MOST_OF_A_KIND))
    newest_first = col(SecurityEvent.created_at).desc(), col(SecurityEvent.id).desc()
    return (await db.exec(select_rows(SecurityEvent).where(newest).order_by(*newest_first))).all()


def newest_of_each_kind(rows: Table, user_id: int, most: int) -> Select[int]:
    """The ids of somebody's newest rows of each kind: doing one thing again and again hides nothing else."""
    newest_first = rows.c.created_at.desc(), rows.c.id.desc()
    place = func.row_number().over(partition_by=rows.c.kind, order_by=newest_first).label("place")
    placed = select(rows.c.id, place).where(rows.c.user_id == user_id).subquery()
    return select(placed.c.id).where(placed.c.place <= most)
