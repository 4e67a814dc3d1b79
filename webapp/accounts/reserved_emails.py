"""Addresses reserved for people who may want them back: while a change can be undone, nobody else gets the old one."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import BindParameter, ColumnElement, Row, bindparam, select
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts.models import AddressChange
from webapp.database import execute, now, table
from webapp.database.hot import Prepared

# The email with the link that undoes a change may be under way for five days, and the link works for three more.
KEPT = timedelta(days=8)


_changes = table(AddressChange)


def _confirmed_since(moment: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
    """The SQL condition for changes of address confirmed since then and not undone."""
    return _changes.c.undone_at.is_(None) & (_changes.c.confirmed_at > moment)


_ON = Prepared(
    select(_changes.c.user_id, _changes.c.confirmed_at)
    .where(
        _changes.c.old_email == bindparam("address"),
        _changes.c.user_id != bindparam("but"),
        _confirmed_since(bindparam("moment")),
    )
    .order_by(_changes.c.id.desc())
    .limit(1)
)


class Reservation(NamedTuple):
    """The account that an address is reserved for, and until when."""

    user_id: int
    until: datetime


async def undoable_changes(db: AsyncSession, user_id: int) -> Sequence[Row[int, str]]:
    """An account's changes of address that can still be undone, oldest first: the number and the old address."""
    query = select(_changes.c.id, _changes.c.old_email).where(_changes.c.user_id == user_id, undoable())
    return (await execute(db, query.order_by(_changes.c.id))).all()


async def on(db: AsyncSession, address: str, *, but: int = 0) -> Reservation | None:
    """The account that an address is reserved for, unless that is `but`.

    Ask this after the database's unique constraint has let the address through: only then is every change that freed it
    seen.
    """
    row = await _ON.row(db, {"address": address, "but": but, "moment": now() - KEPT})
    return Reservation(row[0], ends(row[1])) if row else None


def undoable() -> ColumnElement[bool]:
    """The SQL condition for changes of address that can still be undone."""
    return _confirmed_since(now() - KEPT)


async def held(db: AsyncSession) -> set[str]:
    """All reserved addresses."""
    return set((await execute(db, select(_changes.c.old_email).where(undoable()))).scalars())


def ends(confirmed_at: datetime) -> datetime:
    """When a change that was confirmed at that time can no longer be undone."""
    return confirmed_at + KEPT
