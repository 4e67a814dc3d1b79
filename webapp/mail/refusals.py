"""Addresses that don't accept our emails; what can wait isn't sent to them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import BindParameter, Select, bindparam, delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import rate_limits
from webapp.database import CLOCKS_DIFFER, execute, now, table, upsert
from webapp.database.hot import Prepared, Transaction
from webapp.mail.models import Outcome, RefusedAddress
from webapp.settings import Settings

KEPT = timedelta(hours=24)
REMEMBERED = timedelta(days=30)

_refusals = table(RefusedAddress)


async def note(db: Transaction, outcomes: Sequence[Outcome]) -> None:
    """Records the addresses that a server refused, always in the same order: two mailers may meet the same ones."""
    rows = [
        {"address": outcome.refused, "since": now(), "code": outcome.code, "reason": outcome.reason[:300]}
        for outcome in sorted(outcomes, key=lambda one: one.refused or "")
    ]
    if rows:
        await _NOTE.run_each(db, rows)


async def among(db: Transaction, addresses: Sequence[str]) -> set[str]:
    """Which of the addresses were refused within the last day, or had emails come back."""
    if not addresses:
        return set()
    parameters = {f"address{number}": address for number, address in enumerate(addresses)}
    rows = await _among(len(addresses)).rows(db, parameters | {"since": now() - KEPT, "until": now() + CLOCKS_DIFFER})
    return {address for (address,) in rows}


async def mark(db: AsyncSession, address: str, source: str, reason: str) -> None:
    """Records an address whose emails came back, or whose owner complained. It stays marked until that is fixed."""
    values = {"address": address, "since": now(), "source": source, "reason": reason[:300]}
    await execute(db, _MARK, values)


def newest(most: int) -> Select[*tuple[Any, ...]]:
    """Finds what is recorded about addresses, newest first: address, since, source, code, reason."""
    return select(_refusals).order_by(_refusals.c.since.desc()).limit(most)


async def works_again(db: AsyncSession, settings: Settings, *addresses: str) -> None:
    """Forgets everything recorded about addresses. Emails sent before now that come back say nothing about them."""
    await execute(db, delete(_refusals).where(_refusals.c.address.in_(addresses)))
    await rate_limits.forget(db, settings, *((rate_limits.ADDRESS_WORKS, address) for address in addresses))
    await rate_limits.begin(db, settings, rate_limits.ADDRESS_WORKS, list(addresses))


async def works_since(db: AsyncSession, settings: Settings, address: str) -> datetime | None:
    """When an address was last shown to work, if that was within a month."""
    return await rate_limits.last(db, settings, rate_limits.ADDRESS_WORKS, address)


async def lift(db: Transaction, addresses: Sequence[str]) -> None:
    """Forgets the refusals of addresses that the mail server takes again."""
    if addresses:
        await _LIFT.run_each(db, [{"again": address} for address in sorted(addresses)])


async def lift_since(db: AsyncSession, since: datetime) -> None:
    """Forgets the refusals since a time when the addresses weren't at fault."""
    await execute(db, delete(_refusals).where(_refusals.c.since >= since, _BY_SMTP))


async def forget(db: AsyncSession, settings: Settings) -> None:
    """Forgets all refusals, so that everything is tried again."""
    addresses = (await execute(db, select(_refusals.c.address))).scalars().all()
    for start in range(0, len(addresses), 500):
        await works_again(db, settings, *addresses[start : start + 500])


_MARK = upsert(_refusals, "address", "since", "source", "reason")
_NOTE = Prepared(upsert(_refusals, "address", "since", "code", "reason"))
_BY_SMTP = _refusals.c.source == "smtp"
# An email that the server accepts may still come back later.
_LIFT = Prepared(delete(_refusals).where(_refusals.c.address == bindparam("again"), _BY_SMTP))


@cache
def _among(count: int) -> Prepared:
    addresses: list[BindParameter[str]] = [bindparam(f"address{number}") for number in range(count)]
    is_recent = _refusals.c.since.between(bindparam("since"), bindparam("until"))
    return Prepared(select(_refusals.c.address).where(_refusals.c.address.in_(addresses), is_recent | ~_BY_SMTP))
