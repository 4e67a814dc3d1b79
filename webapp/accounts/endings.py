"""What ends an account's links, sessions and codes: all of them at once, by its epoch."""

from typing import Any, NamedTuple

from sqlalchemy import ColumnElement
from sqlmodel import col, delete, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts import known_browsers, sessions
from webapp.accounts.models import AccountDeletion, Passkey, RecoveryCode, Session, User
from webapp.audit import events
from webapp.audit.events import ClientInfo, Event
from webapp.database import execute, now


class Overtaken(Exception):
    """The account has changed since it was read, so nothing was written."""


class Keep(NamedTuple):
    """What deliberately survives: the session of the person who asks, and their browser (by its mark).

    The session keeps the passkey that opened it, and a reset the `passkey` that was just shown. Recovery codes also
    survive if the second factor was just shown.
    """

    session: int | None = None
    browser: str = ""
    codes: bool = False
    passkey: int | None = None


NOTHING = Keep()


class Ended(NamedTuple):
    """The new epoch, how many sessions ended, how many unused recovery codes, and how many passkeys."""

    epoch: int
    sessions: int
    codes: int
    passkeys: int = 0


async def end_everything(
    db: AsyncSession, user_id: int, *only_if: ColumnElement[bool], keep: Keep = NOTHING, **changes: Any
) -> Ended:
    """Raises the account's epoch and makes `changes` to its row.

    That ends every session, link, known browser, recovery code, passkey, trusted browser, pending change of address and
    pending removal of factors, except what is in `keep`. An authenticator app stays: no reset removes it.

    Raises Overtaken if the row doesn't match `only_if`, or if the session to keep has ended. If several try at once,
    one wins.
    """
    # Otherwise PostgreSQL, having waited for the row, sees it as it is now, but the other tables as they were.
    await lock(db, user_id)
    if keep.session is not None and not await _hold_session(db, keep.session):
        raise Overtaken
    changes |= {"factor_removal_due_at": None, "factor_removal_told_at": None}
    raised = update(User).where(col(User.id) == user_id, *only_if).values(epoch=col(User.epoch) + 1, **changes)
    epoch = (await execute(db, raised.returning(col(User.epoch)))).scalar_one_or_none()
    if epoch is None:
        raise Overtaken
    ended = await sessions.end_all(db, user_id, epoch - 1, keep.session)
    # With no session to keep, anybody could be asking: a trusted browser stays known, but is no longer trusted.
    await known_browsers.forget_others(db, user_id, keep.browser, epoch, keeps_trust=keep.session is not None)
    codes = delete(RecoveryCode).where(col(RecoveryCode.user_id) == user_id).returning(col(RecoveryCode.used_at))
    unused = [] if keep.codes else [used_at is None for used_at in (await execute(db, codes)).scalars()]
    return Ended(epoch, ended, sum(unused), await _end_passkeys(db, user_id, epoch, keep))


async def lock(db: AsyncSession, user_id: int) -> None:
    """Keeps others from changing the account until the transaction ends."""
    await execute(db, select(col(User.id)).where(col(User.id) == user_id).with_for_update())


async def hold(db: AsyncSession, user_id: int, epoch: int, session_id: int) -> None:
    """Keeps others from ending the account's sessions and links, or this session, until the transaction is over.

    Raises Overtaken if the account has left that epoch or is disabled, or if the session has ended.
    """
    unchanged = col(User.id) == user_id, col(User.epoch) == epoch, col(User.disabled_at).is_(None)
    held = select(col(User.id)).where(*unchanged).with_for_update()
    if (await execute(db, held)).first() is None or not await _hold_session(db, session_id):
        raise Overtaken


async def _hold_session(db: AsyncSession, session_id: int) -> bool:
    """Whether a session is still open, which nobody ends until the transaction is over.

    The caller holds the account's row, as whoever ends a session does: otherwise the two could deadlock.
    """
    this = select(col(Session.id)).where(col(Session.id) == session_id)
    return (await execute(db, this.with_for_update())).first() is not None


async def goes_on(db: AsyncSession, session_id: int) -> bool:
    """Whether a session is still open, even if it was carried over into a new epoch of its account meanwhile."""
    carried = col(Session.id) == session_id, col(Session.epoch) == col(User.epoch), col(User.disabled_at).is_(None)
    open_one = select(col(Session.id)).join(User, col(User.id) == col(Session.user_id)).where(*carried)
    return (await execute(db, open_one)).first() is not None


async def _end_passkeys(db: AsyncSession, user_id: int, epoch: int, keep: Keep) -> int:
    """Ends all of an account's passkeys except what is in `keep`; returns how many."""
    own = select(Session.passkey_id).where(col(Session.id) == keep.session)
    kept = keep.passkey or ((await db.exec(own)).first() if keep.session is not None else None)
    this = col(Passkey.user_id) == user_id, col(Passkey.id) == (kept or 0), col(Passkey.epoch) == epoch - 1
    if kept:
        await db.exec(update(Passkey).where(*this).values(epoch=epoch))
    others = delete(Passkey).where(col(Passkey.user_id) == user_id, col(Passkey.epoch) != epoch)
    gone = (await execute(db, others.returning(col(Passkey.epoch)))).scalars()
    return sum(each == epoch - 1 for each in gone)


async def set_disabled(db: AsyncSession, user: User, is_disabled: bool, by: ClientInfo = events.BY_OPERATOR) -> None:
    """Disables an account, or enables it again, which also cancels its deletion. Either way, everything ends.

    Somebody whose account is disabled while it is being deleted can't undo the deletion. Raises Overtaken if the
    account has changed since it was read: of two who decide at once, one does.
    """
    await end_everything(db, user.id, col(User.epoch) == user.epoch, disabled_at=now() if is_disabled else None)
    theirs = col(AccountDeletion.user_id) == user.id
    if is_disabled:
        await db.exec(
            update(AccountDeletion).where(theirs, col(AccountDeletion.reason) == "").values(reason="disabled")
        )
    else:
        await db.exec(delete(AccountDeletion).where(theirs))
    await events.note(db, Event.DISABLED if is_disabled else Event.ENABLED, user.id, by)


async def log_out_everywhere(
    db: AsyncSession, user_id: int, keep: Keep = NOTHING, by: ClientInfo = events.BY_OPERATOR
) -> Ended:
    """Ends everything, for the account's owner or the admin."""
    ended = await end_everything(db, user_id, keep=keep)
    await events.note(db, Event.SESSIONS_ENDED, user_id, by, ended=ended.sessions)
    return ended
