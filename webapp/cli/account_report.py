"""What the admin sees of accounts: who they are, what opens them, and what happened to them. No secrets."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import sqlalchemy
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts import deletions, sessions
from webapp.accounts.models import AccountDeletion, AddressChange, Passkey, Session, User
from webapp.audit import events
from webapp.audit.models import SecurityEvent
from webapp.database import execute, table
from webapp.factors import codes, methods
from webapp.factors.models import Factor
from webapp.i18n import gettext as _
from webapp.logs import printable
from webapp.passkeys import passkeys
from webapp.settings import Settings

AT_ONCE = 500  # accounts in one statement, so that a long list holds no transaction open
_users = table(User)
_LISTED = sqlalchemy.select(
    _users.c.id,
    _users.c.username,
    _users.c.email,
    _users.c.disabled_at,
    _users.c.created_at,
    _users.c.last_seen_at,
    table(AccountDeletion).c.due_at,
).outerjoin_from(_users, table(AccountDeletion), table(AccountDeletion).c.user_id == _users.c.id)


async def all_accounts(db: AsyncSession) -> AsyncIterator[str]:
    """A line for each account, oldest first."""
    last = 0
    while rows := (await execute(db, _LISTED.where(_users.c.id > last).order_by(_users.c.id).limit(AT_ONCE))).all():
        for user in rows:
            state = (
                f"deleted on {user.due_at:%Y-%m-%d}" if user.due_at else "disabled" if user.disabled_at else "active"
            )
            seen = f"{user.last_seen_at:%Y-%m-%d}" if user.last_seen_at else "never"
            dates = f"since {user.created_at:%Y-%m-%d}\tseen {seen}"
            yield f"{user.username}\t{user.email}\t{state}\t{dates}"
        last = rows[-1].id


async def of(db: AsyncSession, settings: Settings, user: User) -> list[str]:
    """The lines to print about one account. Times are UTC."""
    opened = select(Session).where(*sessions.live(user)).order_by(col(Session.last_seen_at).desc())
    changes = await db.exec(_changes(user.id))
    factors = await methods.factors(db, user.id)
    return [
        *_account(user),
        *_admin(settings, user, bool(factors)),
        *_deletion(await deletions.of(db, user.id)),
        _("Recovery codes left: %(count)s") % {"count": await codes.left(db, user.id)},
        _("Second step:"),
        *(f"  {_factor(factor)}" for factor in factors),
        _("Passkeys:"),
        *(f"  {_passkey(passkey)}" for passkey in await passkeys.of(db, user.id)),
        _("Sessions:"),
        *(f"  {_session(session)}" for session in await db.exec(opened)),
        _("Changes of address:"),
        *(f"  {_change(change, user)}" for change in changes),
        _("Latest events:"),
        *(f"  {_event(event)}" for event in await events.latest(db, user.id)),
    ]


def _account(user: User) -> list[str]:
    since = user.disabled_at and _time(user.disabled_at)
    state = _("disabled since %(time)s") % {"time": since} if since else _("active")
    who = {"name": user.username, "email": user.email, "id": user.id, "state": state}
    last_seen = _time(user.last_seen_at) if user.last_seen_at else _("never")
    seen = {"since": _time(user.created_at), "seen": last_seen, "language": user.language}
    lines = [
        _("%(name)s <%(email)s>, account %(id)s, %(state)s") % who,
        _("Since %(since)s, last seen %(seen)s, language %(language)s") % seen,
    ]
    if user.password_locked_at:
        words = _("Password locked since %(time)s: somebody said that it wasn't them")
        lines.append(words % {"time": _time(user.password_locked_at)})
    if user.factor_removal_due_at:
        words = _("The second step will be removed on %(time)s: somebody who can read the mailbox asked for that")
        lines.append(words % {"time": _time(user.factor_removal_due_at)})
    if paused_until := user.reset_pause:
        words = _("Gets no reset emails until %(time)s, because somebody answered one with 'this wasn't me'")
        lines.append(words % {"time": _time(paused_until)})
    return lines


def _admin(settings: Settings, user: User, has_second_step: bool) -> list[str]:
    if user.email not in settings.admin_addresses:
        return []
    if settings.admin_two_factors and not has_second_step:
        return [_("An admin, but without access to the admin pages until they set up an authenticator app")]
    return [_("An admin")]


def _deletion(deletion: AccountDeletion | None) -> list[str]:
    if deletion is None:
        return []
    words = _("To be deleted for good on %(due)s, asked %(asked)s by its owner, who can undo it by email")
    if deletion.reason:
        words = _("To be deleted for good on %(due)s, asked %(asked)s by the admin: %(reason)s")
    return [words % {"due": _time(deletion.due_at), "asked": _time(deletion.asked_at), "reason": deletion.reason}]


def _factor(factor: Factor) -> str:
    used = _time(factor.last_used_at) if factor.last_used_at else "-"
    words = _("%(factor)s, since %(since)s, last used %(used)s")
    return words % {"factor": factor.kind, "since": _time(factor.created_at), "used": used}


def _passkey(passkey: Passkey) -> str:
    used = _time(passkey.last_used_at) if passkey.last_used_at else "-"
    words = _("%(name)s, on this device alone, since %(since)s, last used %(used)s")
    if passkey.is_synced:
        words = _("%(name)s, synced, since %(since)s, last used %(used)s")
    return words % {"name": printable(passkey.name), "since": _time(passkey.created_at), "used": used}


def _session(session: Session) -> str:
    times = _("%(created)s seen %(seen)s until %(until)s") % {
        "created": _time(session.created_at),
        "seen": _time(session.last_seen_at),
        "until": _time(session.expires_at),
    }
    return f"{session.id}\t{times}\t{session.client_ip}\t{printable(session.user_agent)}"


def _changes(user_id: int) -> Any:
    newest_first = col(AddressChange.id).desc()
    return select(AddressChange).where(col(AddressChange.user_id) == user_id).order_by(newest_first).limit(20)


def _change(change: AddressChange, user: User) -> str:
    state = _("not confirmed by the new address yet") if change.epoch == user.epoch else _("void")
    if change.undone_at:
        state = _("can't be undone since %(time)s") % {"time": _time(change.undone_at)}
    elif change.confirmed_at:
        state = _("confirmed %(time)s") % {"time": _time(change.confirmed_at)}
    return f"{_time(change.created_at)}\t{change.old_email} -> {change.new_email}\t{state}"


def _event(event: SecurityEvent) -> str:
    details = " ".join(f"{name}={value}" for name, value in event.details.items())
    parts = [_time(event.created_at), event.kind, event.client_ip, event.user_agent, details]
    return printable("\t".join(parts)).rstrip()


def _time(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S}"
