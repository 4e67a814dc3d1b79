"""What the admin sees of people: a searchable list, and one person. No secrets, and addresses masked."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts import known_browsers, sessions
from webapp.accounts.models import AccountDeletion, Session, User
from webapp.database import LAST_ID, execute, execute_together, table
from webapp.factors import methods
from webapp.factors.models import Factor
from webapp.logs import mask
from webapp.mail.models import RefusedAddress
from webapp.notifications import history
from webapp.notifications.history import ShownEmail
from webapp.registration import invites

AT_ONCE = 50
STATES = ("active", "disabled", "deleted")

_users, _deletions, _sessions = table(User), table(AccountDeletion), table(Session)


@dataclass(frozen=True)
class Person:
    """`state` is one of STATES. An account that is being deleted is gone at `due_at`."""

    id: int
    username: str
    email: str
    state: str
    created_at: datetime
    last_seen_at: datetime | None
    disabled_at: datetime | None
    due_at: datetime | None
    reason: str
    sessions: int
    is_refused: bool


@dataclass(frozen=True)
class Account:
    """Everything on the page of one person."""

    person: Person
    sessions: Sequence[tuple[str, Session]]
    factors: Sequence[Factor]
    emails: Sequence[ShownEmail]
    invited_by: str | None


async def find(db: AsyncSession, typed: str, state: str, before: int) -> list[Person]:
    """People by a part of their username or their whole address, newest first; one more than is shown."""
    query = _listed().where(_users.c.id < min(before, LAST_ID), *_matching(typed), *_in_state(state))
    rows = await execute(db, query.order_by(_users.c.id.desc()).limit(AT_ONCE + 1))
    return [_person(row) for row in rows]


async def account(db: AsyncSession, user: User) -> Account:
    """Everything about one person, in one trip to the database."""
    live = select(_sessions).where(*sessions.live(user))
    [row], opened, factors, emails, inviters = await execute_together(
        db,
        {},
        _listed().where(_users.c.id == user.id),
        live.order_by(_sessions.c.last_seen_at.desc()),
        methods.factors_of(user.id),
        history.latest_of(user.id),
        invites.inviters_of(user.id),
    )
    browsers = [(known_browsers.described(session.user_agent), session) for session in opened]
    invited_by = inviters[0].username if inviters else None
    return Account(
        _person(row), browsers, factors, [history.shown(email, is_own=False) for email in emails], invited_by
    )


def _listed() -> Any:
    refused = table(RefusedAddress)
    opened = select(func.count()).select_from(_sessions).where(*sessions.live(_users.c))
    columns = [
        _users.c.id,
        _users.c.username,
        _users.c.email,
        _users.c.created_at,
        _users.c.last_seen_at,
        _users.c.disabled_at,
        _deletions.c.due_at,
        _deletions.c.reason,
        opened.correlate(_users).scalar_subquery().label("sessions"),
        select(refused.c.address).where(refused.c.address == _users.c.email).exists().label("is_refused"),
    ]
    return select(*columns).outerjoin_from(_users, _deletions, _deletions.c.user_id == _users.c.id)


def _matching(typed: str) -> list[ColumnElement[bool]]:
    wanted = "".join(character for character in typed if character.isprintable()).strip().lower()
    if not wanted:
        return []
    return [or_(_users.c.username_key.contains(wanted, autoescape=True), _users.c.email == wanted)]


def _in_state(state: str) -> list[ColumnElement[bool]]:
    is_deleted = _deletions.c.due_at.is_not(None)
    states: dict[str, list[ColumnElement[bool]]] = {
        "active": [_users.c.disabled_at.is_(None)],
        "disabled": [_users.c.disabled_at.is_not(None), ~is_deleted],
        "deleted": [is_deleted],
    }
    return states.get(state, [])


def _person(row: Any) -> Person:
    state = "deleted" if row.due_at else "disabled" if row.disabled_at else "active"
    shown = {"email": mask(row.email), "state": state, "reason": row.reason or "", "is_refused": bool(row.is_refused)}
    return Person(**row._asdict() | shown)
