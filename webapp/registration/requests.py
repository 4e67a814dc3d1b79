"""Requests for an account, which the admin approves or refuses. Each is decided once, however many decide at once."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import col
from sqlmodel import select as select_rows
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import rate_limits
from webapp.accounts import users
from webapp.accounts.models import User
from webapp.accounts.users import Taken
from webapp.audit.events import ClientInfo
from webapp.database import LAST_ID, execute, now, table
from webapp.mail import kinds
from webapp.names import usernames
from webapp.passwords.hasher import Hasher
from webapp.rate_limits import Limit, Rate
from webapp.registration.models import RegistrationRequest
from webapp.settings import Settings

KEPT = timedelta(days=30)
MOST_SHOWN = 100
# One email to the admins soon after the first request, and one at the end of this time for all that came after.
GATHERED, FIRST_AFTER = timedelta(hours=4), timedelta(minutes=10)
LEEWAY = timedelta(seconds=5)  # for transactions that end late
_GATHERING = Limit("registration_requests", (Rate(1, int(GATHERED.total_seconds())),))

_requests = table(RegistrationRequest)


class Paused(Exception):
    """As many people are already waiting as the admin wants to read about."""


class AlreadyAsked(Exception):
    """This address has a waiting request, or was refused a short while ago."""


class Decided(Exception):
    """There is no such request any more: it was decided, or nobody answered in time."""


class Applicant(NamedTuple):
    """Somebody who asks for an account, by their own words."""

    username: str
    email: str
    why: str
    language: str


async def of(db: AsyncSession, email: str) -> RegistrationRequest | None:
    """The request of a canonical address, waiting or refused."""
    query = select_rows(RegistrationRequest).where(col(RegistrationRequest.email) == email, _is_current())
    return (await db.exec(query)).first()


async def waiting(db: AsyncSession) -> Sequence[RegistrationRequest]:
    """The waiting requests, oldest first."""
    query = select_rows(RegistrationRequest).where(_is_waiting()).order_by(col(RegistrationRequest.id))
    return (await db.exec(query.limit(MOST_SHOWN))).all()


async def is_paused(db: AsyncSession, settings: Settings) -> bool:
    """Whether so many are waiting that nobody else may ask."""
    count: int = (await execute(db, select(func.count()).select_from(_requests).where(_is_waiting()))).scalar_one()
    return count >= settings.registration_backlog


async def ask(
    db: AsyncSession, settings: Settings, hasher: Hasher, applicant: Applicant, password: str, by: ClientInfo
) -> None:
    """Adds the request of somebody who has proved their mailbox, and holds the username. Frees the connection while it
    hashes.

    Raises Taken, AlreadyAsked, Paused or Busy.
    """
    if not await users.is_free(db, settings, applicant.username):
        raise Taken("username")
    password_hash = await hasher.hash(db, password, by.client_ip, applicant.email, by_newcomer=True)
    # Others who ask at the same time wait here, so the backlog is never exceeded.
    times, ends = await rate_limits.tally(db, settings, _GATHERING, "all")
    await _add(db, settings, applicant, password_hash)
    if times <= 2 and settings.sends_mail:
        delay = FIRST_AFTER if times == 1 else ends - now() + LEEWAY
        await kinds.post_to_each(db, settings, "registrations_waiting", settings.admin_addresses, delay)
    await kinds.post(db, settings, "registration_waiting", applicant.email, language=applicant.language)


async def approve(db: AsyncSession, settings: Settings, request_id: int, by: ClientInfo) -> User:
    """Makes the account of a waiting request. Raises Decided; or Taken, after which nothing must be committed."""
    which = _requests.c.id == min(request_id, LAST_ID), _is_waiting()
    found = (await execute(db, delete(_requests).where(*which).returning(*_requests.columns))).first()
    if found is None:
        raise Decided
    await usernames.release(db, settings, found.username)
    user = await users.add(db, settings, found.username, found.email, found.password_hash, found.language, by)
    await users.tell(db, settings, user, "registration_approved")
    return user


async def refuse(db: AsyncSession, settings: Settings, request_id: int, reason: str) -> None:
    """Refuses a waiting request, tells the person, and forgets their password and username. Raises Decided."""
    which = col(RegistrationRequest.id) == min(request_id, LAST_ID), _is_waiting()
    found = (await db.exec(select_rows(RegistrationRequest).where(*which).with_for_update())).first()
    if found is None:
        raise Decided
    await usernames.release(db, settings, found.username)
    changes = {"username": "", "username_key": None, "password_hash": "", "reason": reason}
    changed = update(_requests).where(*which).values(**changes, refused_at=now(), expires_at=now() + KEPT)
    if not (await execute(db, changed)).rowcount:
        raise Decided
    await kinds.post(db, settings, "registration_refused", found.email, language=found.language)


async def forget(db: AsyncSession, settings: Settings, email: str) -> None:
    """Deletes the request of an address that now has an account, however it got one."""
    gone = delete(_requests).where(_requests.c.email == email).returning(_requests.c.username)
    for username in (await execute(db, gone)).scalars():
        if username:
            await usernames.release(db, settings, username)


def _is_current() -> ColumnElement[bool]:
    return col(RegistrationRequest.expires_at) > now()


def _is_waiting() -> ColumnElement[bool]:
    return col(RegistrationRequest.refused_at).is_(None) & _is_current()


async def _add(db: AsyncSession, settings: Settings, applicant: Applicant, password_hash: str) -> None:
    """The row, in the place of what has expired."""
    if await is_paused(db, settings):
        raise Paused
    is_same = (_requests.c.email == applicant.email) | (_requests.c.username_key == applicant.username.lower())
    await execute(db, delete(_requests).where(is_same, ~_is_current()))
    until: datetime = now() + KEPT
    row = RegistrationRequest(
        **applicant._asdict(), username_key=applicant.username.lower(), password_hash=password_hash, expires_at=until
    )
    try:
        async with db.begin_nested():
            db.add(row)
            await db.flush()
            if not await users.is_free(db, settings, applicant.username):
                raise Taken("username")
    except IntegrityError:
        raise (AlreadyAsked() if await of(db, applicant.email) else Taken("username")) from None
    await usernames.retire(db, settings, applicant.username, until)
