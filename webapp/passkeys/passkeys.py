"""An account's passkeys: list, add, find, use, rename, remove. They last as long as the account's epoch."""

from collections.abc import Sequence

from sqlalchemy.exc import IntegrityError
from sqlmodel import col, delete, func, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import rate_limits
from webapp.accounts import endings, sessions, users
from webapp.accounts.models import Passkey, User
from webapp.accounts.sessions import SessionUser
from webapp.audit import events
from webapp.audit.events import ClientInfo, Event
from webapp.database import now
from webapp.passkeys.ceremony import Made, Used
from webapp.settings import Settings

MOST = 20
LOG_IN = "log in"  # what a challenge is about


class Duplicate(Exception):
    """The site has this passkey already."""


class TooMany(Exception):
    """The account has as many passkeys as it may have."""


def about_new(user_id: int, epoch: int, handle: str) -> str:
    """Ties a challenge to an account, so that none asked for one account makes a passkey for another."""
    return f"add {user_id} {epoch} {handle}"


async def of(db: AsyncSession, user_id: int) -> Sequence[Passkey]:
    """An account's passkeys, oldest first."""
    alive = col(Passkey.user_id) == user_id, col(Passkey.epoch) == col(User.epoch)
    query = select(Passkey).join(User).where(*alive).order_by(col(Passkey.id))
    return (await db.exec(query)).all()


async def count(db: AsyncSession, user: User) -> int:
    """How many passkeys open an account."""
    alive = col(Passkey.user_id) == user.id, col(Passkey.epoch) == user.epoch
    return (await db.exec(select(func.count()).select_from(Passkey).where(*alive))).one()


async def find(db: AsyncSession, credential_id: str) -> tuple[Passkey, User] | None:
    """A passkey that opens an account, and that account's person."""
    alive = col(Passkey.epoch) == col(User.epoch), col(User.disabled_at).is_(None)
    query = select(Passkey, User).join(User).where(col(Passkey.credential_id) == credential_id, *alive)
    return (await db.exec(query)).first()


async def add(
    db: AsyncSession,
    settings: Settings,
    user: User,
    session_id: int,
    made: Made,
    handle: str,
    name: str,
    client: ClientInfo,
) -> Passkey:
    """Adds a passkey that was made in a session of the epoch in which `user` was read, and tells the person.

    Raises Duplicate, TooMany and Overtaken.
    """
    await endings.hold(db, user.id, user.epoch, session_id)  # this also makes those who add one take turns
    if await count(db, user) >= MOST:
        raise TooMany
    passkey = Passkey(
        user_id=user.id,
        epoch=user.epoch,
        credential_id=made.credential_id,
        public_key=made.public_key,
        handle=handle,
        name=name,
        counter=made.counter,
        is_synced=made.is_synced,
    )
    try:
        async with db.begin_nested():
            db.add(passkey)
            await db.flush()
    except IntegrityError:
        raise Duplicate from None
    await _tell(db, settings, user, Event.PASSKEY_ADDED, client, name=name)
    return passkey


async def note_use(db: AsyncSession, settings: Settings, passkey: Passkey, used: Used, client: ClientInfo) -> None:
    """Records that a passkey has opened its account. Raises TooOften if that answer has done so before.

    A counter that doesn't rise may mean a copy, or a maker that doesn't count. It is logged, and refuses nobody.
    """
    await rate_limits.count(db, settings, (rate_limits.PASSKEY_CHALLENGE, used.challenge.hex()))
    if passkey.counter and used.counter <= passkey.counter:
        details = {"passkey": passkey.id, "before": passkey.counter, "now": used.counter}
        await events.note(db, Event.PASSKEY_COUNTER, passkey.user_id, client, **details)
    values = {"counter": max(passkey.counter, used.counter), "is_synced": used.is_synced, "last_used_at": now()}
    await db.exec(update(Passkey).where(col(Passkey.id) == passkey.id).values(**values))


async def rename(
    db: AsyncSession, settings: Settings, user: User, passkey: Passkey, name: str, client: ClientInfo
) -> None:
    before = passkey.name
    await db.exec(update(Passkey).where(col(Passkey.id) == passkey.id).values(name=name))
    await _tell(db, settings, user, Event.PASSKEY_RENAMED, client, name=name, before=before)


async def remove(db: AsyncSession, settings: Settings, user: SessionUser, passkey: Passkey, client: ClientInfo) -> int:
    """Removes a passkey of the person who asks, unless that has already happened, and ends their other sessions that it
    has opened; returns how many.
    """
    gone = delete(Passkey).where(col(Passkey.id) == passkey.id, col(Passkey.user_id) == user.id)
    if (await db.exec(gone)).rowcount:
        await _tell(db, settings, user, Event.PASSKEY_REMOVED, client, name=passkey.name)
    opened = [session.id for session in await sessions.of(db, user) if session.passkey_id == passkey.id]
    return await sessions.end_others(db, user, client.browser_mark, opened)


async def decline(db: AsyncSession, user_id: int) -> None:
    """Records that a person doesn't want to be offered one again."""
    await db.exec(update(User).where(col(User.id) == user_id).values(passkey_declined_at=now()))


async def _tell(
    db: AsyncSession,
    settings: Settings,
    user: User | SessionUser,
    event: Event,
    client: ClientInfo,
    name: str,
    before: str = "",
) -> None:
    await events.note(db, event, user.id, client, name=name)
    await users.tell(db, settings, user, event.value, name=name, before=before)
