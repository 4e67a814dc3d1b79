"""Addresses that are kept for who lost them: while a change of address can be undone, nobody else gets the old one."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.database import now
from webapp.security.models import AddressChange

# The letter with the link that undoes a change may be under way for five days, and the link works for three more.
KEPT = timedelta(days=8)


def is_undoable() -> ColumnElement[bool]:
    """Which changes of address can still be undone."""
    return col(AddressChange.undone).is_(None) & (col(AddressChange.confirmed) > now() - KEPT)


async def was_in_other_hands(db: AsyncSession, user_id: int, second: datetime) -> bool:
    """Whether an account had, in some second, an address from which it was taken back since.

    The second of the taking back itself does not count: the letters about it are written then.
    """
    query = select(AddressChange.id).where(
        col(AddressChange.user_id) == user_id,
        col(AddressChange.confirmed) <= second,
        col(AddressChange.undone) > second + timedelta(seconds=1),
    )
    return (await db.exec(query.limit(1))).first() is not None


async def on(db: AsyncSession, address: str, *, but: int = 0) -> AddressChange | None:
    """The change that keeps an address for an account, unless that is the account `but`.

    Whoever gives out an address must ask after the database's unique constraint has let it through: only then is
    every change that freed the address seen.
    """
    query = select(AddressChange).where(
        col(AddressChange.old_email) == address, col(AddressChange.user_id) != but, is_undoable()
    )
    return (await db.exec(query.order_by(col(AddressChange.id).desc()).limit(1))).first()


def ends(confirmed: datetime) -> datetime:
    """Until when a change that was confirmed then can be undone."""
    return confirmed + KEPT
