"""Changes of address: ask for one, confirm it, undo it.

Of several owners in a row the oldest wins: undoing a change ends the right to undo any later one. So does changing back
in the usual way, which that address confirms, too.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts import deletions, endings, reserved_emails, users
from webapp.accounts.endings import Ended, Keep, Overtaken
from webapp.accounts.models import AddressChange, User
from webapp.accounts.users import Taken
from webapp.audit import events
from webapp.audit.events import ClientInfo, Event
from webapp.database import execute, now, table
from webapp.factors import methods
from webapp.factors.models import Factor
from webapp.logs import mask
from webapp.mail import kinds, refusals
from webapp.notifications import switches
from webapp.settings import Settings

KEPT = timedelta(days=30)

_users = table(User)
_changes = table(AddressChange)


@dataclass(frozen=True)
class Change:
    """A request, and its account as it is now; in the order of the columns of `get`."""

    id: int
    user_id: int
    epoch: int
    old_email: str
    new_email: str
    created_at: datetime
    confirmed_at: datetime | None
    undone_at: datetime | None
    username: str
    account_email: str
    account_epoch: int
    is_disabled: bool  # by the admin, not because its owner is deleting it

    @property
    def is_open(self) -> bool:
        """Whether it can still be confirmed."""
        return self.confirmed_at is None and self.epoch == self.account_epoch and not self.is_disabled

    @property
    def is_in_force(self) -> bool:
        """Whether it was confirmed, and the account still has the new address."""
        return self.confirmed_at is not None and self.account_email == self.new_email

    @property
    def is_undoable(self) -> bool:
        is_in_time = self.confirmed_at is not None and now() < reserved_emails.ends(self.confirmed_at)
        return is_in_time and self.undone_at is None and not self.is_disabled


async def get(db: AsyncSession, change_id: int) -> Change | None:
    of_account = _users.c.username, _users.c.email, _users.c.epoch, _is_disabled()
    query = select(*_changes.c, *of_account).join_from(_changes, _users, _changes.c.user_id == _users.c.id)
    row: Any = (await execute(db, query.where(_changes.c.id == change_id))).first()
    return Change(*row) if row else None


async def ask(
    db: AsyncSession, settings: Settings, user: User, email: str, client: ClientInfo, asked_id: str
) -> tuple[int, bool]:
    """Records the request, and writes to the new and the current address; returns its number, and whether emails are
    delayed.

    Nothing here checks whether the new address is taken: only its mailbox will be told.
    """
    change = AddressChange(user_id=user.id, epoch=user.epoch, old_email=user.email, new_email=email)
    db.add(change)
    await db.flush()
    await events.note(db, Event.ADDRESS_CHANGE_ASKED, user.id, client, old=mask(user.email), new=mask(email))
    await kinds.post(db, settings, "confirm_email", email, user_id=user.id, change=change.id, asked_id=asked_id)
    told = "address_change_asked", user.email
    return change.id, await kinds.post(db, settings, *told, user_id=user.id, change=change.id)


async def confirm(db: AsyncSession, settings: Settings, change: Change, client: ClientInfo, keep: Keep) -> Ended:
    """Gives the account its new address, ends everything that was signed or opened before, and tells the old address.

    The caller must renew the session it keeps. Raises Overtaken if the account has left the request's epoch (if several
    try at once, one wins), and Taken; the caller must then roll back.
    """
    ended = await _move(db, change, change.new_email, client, _users.c.epoch == change.epoch, keep=keep)
    await refusals.works_again(db, settings, change.new_email)  # an email has just arrived there
    await _set(db, _changes.c.id == change.id, confirmed_at=now())
    # An address that an undo could restore was confirmed again: nobody who came after its owner may undo that.
    owned_before = select(func.min(_changes.c.id)).where(
        _changes.c.user_id == change.user_id, _changes.c.old_email == change.new_email, reserved_emails.undoable()
    )
    await _end_undoing(db, change, _changes.c.id >= owned_before.scalar_subquery())
    await _note(db, Event.ADDRESS_CHANGED, change, client, old=change.old_email, new=change.new_email)
    about: dict[str, Any] = {"change": change.id, "codes": ended.codes, "passkeys": ended.passkeys}
    await kinds.post(db, settings, "address_changed", change.old_email, user_id=change.user_id, **about)
    return ended


async def undo(db: AsyncSession, settings: Settings, change: Change, client: ClientInfo) -> None:
    """Gives the account its old address back, whatever has changed since, and logs everybody out.

    The person who changed the address knew the password, and may since have made recovery codes, added an authenticator
    app, turned off emails about log-ins or chosen another language, so none of these count any more. What opens the
    account is a reset email, which goes to the old address again. Raises Overtaken if it was already undone, and Taken;
    the caller must then roll back.
    """
    keep = Keep(browser=client.browser_mark)
    await _move(db, change, change.old_email, client, keep=keep, password_locked_at=now(), reset_paused_until=None)
    if not await _set(db, (_changes.c.id == change.id) & _changes.c.undone_at.is_(None), undone_at=now()):
        raise Overtaken
    await refusals.works_again(db, settings, change.old_email)
    await _end_undoing(db, change, _changes.c.id > change.id)
    await switches.end_silence(db, change.user_id)
    await _note(db, Event.ADDRESS_RESTORED, change, client, old=change.account_email, new=change.old_email)
    user = await users.owner(db, change.user_id)
    await db.refresh(user)
    since = col(Factor.created_at) > change.confirmed_at
    await methods.remove(db, settings, user, client, since, how="not_me")
    for recipient in {change.old_email, change.account_email}:
        await kinds.post(db, settings, "address_restored", recipient, user_id=change.user_id, change=change.id)


async def _move(
    db: AsyncSession,
    change: Change,
    email: str,
    client: ClientInfo,
    *only_if: ColumnElement[bool],
    keep: Keep,
    **values: Any,
) -> Ended:
    """Sets the account's address, and ends everything, including a deletion that a thief may have asked for.

    The account's row is locked first, so of two who confirm or undo at once, the second sees what the first did.
    """
    open_to_owner = ~_is_disabled(), *only_if
    try:
        async with db.begin_nested():
            ended = await endings.end_everything(
                db, change.user_id, *open_to_owner, keep=keep, email=email, disabled_at=None, **values
            )
    except IntegrityError:
        raise Taken("email") from None
    if await reserved_emails.on(db, email, but=change.user_id):
        raise Taken("email")
    await deletions.forget(db, change.user_id, client)
    return ended


async def _set(db: AsyncSession, which: ColumnElement[bool], **values: datetime) -> int:
    return (await execute(db, update(_changes).where(which).values(**values))).rowcount


async def _end_undoing(db: AsyncSession, change: Change, which: ColumnElement[bool]) -> None:
    of_account = _changes.c.user_id == change.user_id
    await _set(db, of_account & which & _changes.c.undone_at.is_(None), undone_at=now())


async def _note(db: AsyncSession, event: Event, change: Change, client: ClientInfo, *, old: str, new: str) -> None:
    await events.note(db, event, change.user_id, client, old=mask(old), new=mask(new))


def _is_disabled() -> ColumnElement[bool]:
    return _users.c.disabled_at.is_not(None) & ~deletions.being_deleted()
