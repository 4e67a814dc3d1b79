"""What the host is shown of accounts: themselves, what opens them, and what happened to them. No secret is in it."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts.models import AddressChange, Session, User
from webapp.audit import events
from webapp.audit.models import SecurityEvent
from webapp.database import now
from webapp.recovery import codes


async def all_accounts(db: AsyncSession) -> AsyncIterator[str]:
    """A line for each account, oldest first."""
    for user in await db.exec(select(User).order_by(col(User.id))):
        state = "disabled" if user.disabled_at else "active"
        dates = f"since {user.created_at:%Y-%m-%d}\tseen {user.last_seen_at:%Y-%m-%d}"
        yield f"{user.username}\t{user.email}\t{state}\t{dates}"


async def of(db: AsyncSession, user: User) -> AsyncIterator[str]:
    """The lines to print of one account. Times are UTC."""
    for line in _account(user):
        yield line
    yield f"Recovery codes left: {await codes.left(db, user.id)}"
    yield "Sign-ins:"
    for session in await db.exec(_sign_ins(user)):
        until = f"{_time(session.created_at)} seen {_time(session.last_seen_at)} until {_time(session.expires_at)}"
        yield f"  {session.id}\t{until}\t{session.client_ip}\t{_printable(session.user_agent)}"
    yield "Changes of address:"
    for change in await db.exec(_changes(user.id)):
        yield f"  {_time(change.created_at)}\t{change.old_email} -> {change.new_email}\t{_state(change, user)}"
    yield "Latest events:"
    for event in await events.latest(db, user.id):
        yield f"  {_event(event)}"


def _account(user: User) -> list[str]:
    state = f"disabled since {_time(user.disabled_at)}" if user.disabled_at else "active"
    lines = [
        f"{user.username} <{user.email}>, account {user.id}, {state}",
        f"Since {_time(user.created_at)}, last seen {_time(user.last_seen_at)}, language {user.language}",
    ]
    if user.reset_paused_until and user.reset_paused_until > now():
        lines.append(f"Gets no reset emails until {_time(user.reset_paused_until)}: somebody said that it wasn't them")
    return lines


def _sign_ins(user: User) -> Any:
    live = col(Session.user_id) == user.id, col(Session.epoch) == user.epoch, col(Session.expires_at) > now()
    return select(Session).where(*live).order_by(col(Session.last_seen_at).desc())


def _changes(user_id: int) -> Any:
    newest_first = col(AddressChange.id).desc()
    return select(AddressChange).where(col(AddressChange.user_id) == user_id).order_by(newest_first).limit(20)


def _state(change: AddressChange, user: User) -> str:
    if change.undone_at:
        return f"not to be undone since {_time(change.undone_at)}"
    if change.confirmed_at:
        return f"confirmed {_time(change.confirmed_at)}"
    return "waits for the new address to confirm it" if change.epoch == user.epoch else "void"


def _event(event: SecurityEvent) -> str:
    details = " ".join(f"{name}={value}" for name, value in event.details.items())
    return _printable(
        "\t".join([_time(event.created_at), event.kind, event.client_ip, event.user_agent, details])
    ).rstrip()


def _time(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S}"


def _printable(text: str) -> str:
    """Browsers say what they like; nothing of it shall drive the host's terminal."""
    return "".join(character if character.isprintable() or character == "\t" else "?" for character in text)
