"""Accounts that are being deleted: hidden at once, and gone for good after some days. Until then they can come back."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, case, delete, exists, null, select
from sqlmodel import col
from sqlmodel import select as select_rows
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts import endings
from webapp.accounts.endings import Overtaken
from webapp.accounts.models import AccountDeletion, User
from webapp.audit import events
from webapp.audit.events import ClientInfo, Event
from webapp.database import execute, now, table
from webapp.settings import Settings

_deletions = table(AccountDeletion)


async def ask(
    db: AsyncSession,
    settings: Settings,
    user: User,
    client: ClientInfo,
    *only_if: ColumnElement[bool],
    reason: str = "",
) -> AccountDeletion:
    """Ends everything, hides the account from everybody, and returns when it will be deleted for good.

    Raises Overtaken if the account is not as `only_if` says.
    """
    await endings.end_everything(db, user.id, *only_if, disabled_at=now())
    await execute(db, delete(_deletions).where(_deletions.c.user_id == user.id))
    due_at = now() + timedelta(days=settings.account_deletion_days)
    deletion = AccountDeletion(user_id=user.id, due_at=due_at, reason=reason)
    db.add(deletion)
    await events.note(db, Event.DELETION_ASKED, user.id, client, due=due_at.isoformat(timespec="seconds"))
    return deletion


async def of(db: AsyncSession, user_id: int) -> AccountDeletion | None:
    """The pending deletion of an account, whoever asked for it; None if there is none."""
    return (await db.exec(select_rows(AccountDeletion).where(col(AccountDeletion.user_id) == user_id))).first()


async def get(db: AsyncSession, deletion_id: int) -> AccountDeletion | None:
    return await db.get(AccountDeletion, deletion_id)


def is_undoable(deletion: AccountDeletion) -> bool:
    """Whether its owner can still bring the account back."""
    return not deletion.reason and now() < deletion.due_at


async def can_be_undone(db: AsyncSession, user_id: int) -> bool:
    """Whether an account is being deleted, and its owner can still bring it back."""
    deletion = await of(db, user_id)
    return deletion is not None and is_undoable(deletion)


async def undo(db: AsyncSession, deletion: AccountDeletion, client: ClientInfo) -> None:
    """Brings the account back as it was, logged out. If several try at once, one wins and the others get Overtaken."""
    await endings.end_everything(db, deletion.user_id, being_deleted(), disabled_at=None)
    if not await forget(db, deletion.user_id, client):
        raise Overtaken


async def forget(db: AsyncSession, user_id: int, client: ClientInfo) -> bool:
    """Drops a deletion that the owner asked for, if there is one. The caller enables the account."""
    mine = _deletions.c.user_id == user_id, *_by_owner()
    is_undone = bool((await execute(db, delete(_deletions).where(*mine))).rowcount)
    if is_undone:
        await events.note(db, Event.DELETION_UNDONE, user_id, client)
    return is_undone


def being_deleted() -> ColumnElement[bool]:
    """The SQL condition for accounts whose owner can still bring them back."""
    return exists(select(_deletions.c.id).where(_deletions.c.user_id == col(User.id), *_by_owner()))


def undone() -> ColumnElement[datetime | None]:
    """The SQL value of `disabled_at` once an owner's own deletion is undone; for other accounts it stays as it is."""
    return case((being_deleted(), null()), else_=col(User.disabled_at))


def _by_owner() -> tuple[ColumnElement[bool], ...]:
    return _deletions.c.reason == "", _deletions.c.due_at > now()
