"""The waiting room: a person who has lost every factor uses an emailed link to ask for their removal, and then waits.

    ask -> a day, and another email, again and again -> due: `remove_due`
    meanwhile: any log-in, a link in any of those emails, or whatever raises the epoch stops it

The clock is two columns of the account's row. The account's owner sees it on every settings page.
"""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Update, update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts import users
from webapp.accounts.models import User
from webapp.audit import events
from webapp.audit.events import ClientInfo, Event
from webapp.database import execute, now
from webapp.factors import methods
from webapp.settings import Settings

TOLD_EVERY = timedelta(days=1)
BATCH = 100
_STOPPED = {"factor_removal_due_at": None, "factor_removal_told_at": None}
BY_CLOCK = ClientInfo(user_agent="the clock of the waiting room")


def is_waiting(user: User) -> bool:
    return user.factor_removal_due_at is not None


async def ask(db: AsyncSession, settings: Settings, user: User, client: ClientInfo) -> bool:
    """Starts the clock, and tells the person at once; False if it is already running, or if the account has changed."""
    due = now() + timedelta(days=settings.factor_removal_days)
    unasked = col(User.id) == user.id, col(User.epoch) == user.epoch, col(User.factor_removal_due_at).is_(None)
    started = update(User).where(*unasked, col(User.disabled_at).is_(None))
    values = {"factor_removal_due_at": due, "factor_removal_told_at": now()}
    if (await execute(db, started.values(values))).rowcount != 1:
        return False
    await db.refresh(user)
    await events.note(db, Event.FACTOR_REMOVAL_ASKED, user.id, client, due=due.isoformat(timespec="seconds"))
    await _tell(db, settings, user)
    return True


async def stop(db: AsyncSession, settings: Settings, user: User, client: ClientInfo) -> bool:
    """Stops the clock, and tells the person; False if none is running."""
    if not is_waiting(user):
        return False
    runs = col(User.id) == user.id, col(User.factor_removal_due_at).is_not(None)
    stopped = update(User).where(*runs).values(_STOPPED)
    if (await execute(db, stopped)).rowcount != 1:
        return False
    await events.note(db, Event.FACTOR_REMOVAL_STOPPED, user.id, client)
    await users.tell(db, settings, user, "factor_removal_stopped")
    return True


async def clear(db: AsyncSession, user_id: int) -> None:
    """Clears the clock silently: there is nothing left to remove."""
    await execute(db, update(User).where(col(User.id) == user_id).values(_STOPPED))


async def remove_due(db: AsyncSession, settings: Settings) -> int:
    """Removes the factors of everybody whose time is up; returns how many people there were. No other process gets the
    same ones.
    """
    is_due = col(User.factor_removal_due_at) <= now()
    due = select(col(User.id)).where(is_due, col(User.disabled_at).is_(None)).limit(BATCH)
    people = await _changed(db, update(User).where(col(User.id).in_(due), is_due).values(_STOPPED))
    for user in people:
        await methods.remove(db, settings, user, BY_CLOCK, how="waited")
    return len(people)


async def tell_waiting(db: AsyncSession, settings: Settings) -> int:
    """Reminds everybody whose last email is a day old that the clock is running; returns how many people."""
    is_time = col(User.factor_removal_told_at) <= now() - TOLD_EVERY
    waiting = update(User).where(col(User.factor_removal_due_at) > now(), is_time, col(User.disabled_at).is_(None))
    people = await _changed(db, waiting.values(factor_removal_told_at=now()))
    for user in people:
        await _tell(db, settings, user)
    return len(people)


async def _changed(db: AsyncSession, change: Update) -> Sequence[User]:
    """Makes a change; returns the people whose rows it changed."""
    ids = list((await execute(db, change.returning(col(User.id)))).scalars())
    return (await db.exec(select(User).where(col(User.id).in_(ids)).order_by(col(User.id)))).all()


async def _tell(db: AsyncSession, settings: Settings, user: User) -> None:
    assert user.factor_removal_due_at is not None
    await users.tell(db, settings, user, "factor_removal_waiting", due=user.factor_removal_due_at.isoformat())
