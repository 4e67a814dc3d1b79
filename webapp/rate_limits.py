"""How often is too often; counted in the database, shared by all processes.

A window begins with its first use and ends after its seconds. What was refused is not counted, because
the transaction that counted it is rolled back: nobody stretches another's wait by knocking.
"""

import hashlib
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from sqlalchemy import ColumnElement, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Field, SQLModel, col
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.database import execute, now
from webapp.database.hot import Prepared, Transaction
from webapp.settings import Settings


class LimitWindow(SQLModel, table=True):
    """How often something was done since the window began; `ends` is in seconds since 1970."""

    __tablename__ = "limit_window"
    # One tree and no other index: every request that is limited writes some of these rows.
    __table_args__ = {"sqlite_with_rowid": False}

    key: str = Field(primary_key=True, max_length=80)
    count: int
    ends: float


@dataclass(frozen=True)
class Rate:
    times: int
    seconds: int


class TooOften(Exception):
    """Asked more often than allowed; `seconds` is how long until it may be asked again."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"again in {seconds} s")
        self.seconds = seconds


async def count(db: Transaction, settings: Settings, *uses: tuple[str, str, tuple[Rate, ...]]) -> None:
    """Counts one use of each (name, who, rates), all in one statement.

    Raises TooOften if any is over its rate; the caller must then roll back, so that none of it counts.
    """
    moment = now().timestamp()
    rates = {
        key: rate
        for name, who, some_rates in uses
        for key, rate in zip(_keys(settings, name, who, some_rates), some_rates, strict=True)
    }  # each key once, and sorted: two processes that lock the same rows lock them in the same order
    parameters: dict[str, object] = {"now": moment}
    for number, (key, rate) in enumerate(sorted(rates.items())):
        parameters |= {f"key{number}": key, f"ends{number}": moment + rate.seconds}
    rows = await _statement(len(rates)).rows(db, parameters)
    waits = [ends - moment for key, times, ends in rows if times > rates[key].times]
    if waits:
        raise TooOften(math.ceil(max(waits)))


async def tally(db: Transaction, settings: Settings, name: str, who: str, seconds: int) -> tuple[int, datetime]:
    """Counts one use and refuses none; returns the how manieth it is within its window, and when that ends.

    Whoever counts the same waits on PostgreSQL until this transaction has ended, as all writers do on SQLite.
    """
    key, moment = _keys(settings, name, who, (Rate(1, seconds),))[0], now().timestamp()
    parameters = {"now": moment, "key0": key, "ends0": moment + seconds}
    [(_key, times, ends)] = await _statement(1).rows(db, parameters)
    return times, datetime.fromtimestamp(ends, UTC)


async def begin(db: AsyncSession, settings: Settings, name: str, people: list[str], rate: Rate) -> set[str]:
    """Begins a window for each of the people who is in none; returns who they are. The others are left as they are."""
    if not people:
        return set()
    moment = now().timestamp()
    keys = {key: who for who in people for key in _keys(settings, name, who, (rate,))}
    # In one order for everybody: two processes that begin the same windows wait for each other and don't lock.
    rows = [{"key": key, "count": 1, "ends": moment + rate.seconds} for key in sorted(keys)]
    statement = (sqlite if db.get_bind().dialect.name == "sqlite" else postgresql).insert(LimitWindow).values(rows)
    begun = statement.on_conflict_do_update(
        index_elements=["key"],
        set_={"count": 1, "ends": statement.excluded.ends},
        where=col(LimitWindow.ends) <= moment,
    ).returning(col(LimitWindow.key))
    return {keys[key] for key in (await execute(db, begun)).scalars()}


async def forget(db: AsyncSession, settings: Settings, name: str, who: str, rates: tuple[Rate, ...]) -> None:
    """Starts the count anew, as after a successful log-in."""
    for key in _keys(settings, name, who, rates):
        await execute(db, text("DELETE FROM limit_window WHERE key = :key"), {"key": key})


def outdated() -> ColumnElement[bool]:
    """Which windows have ended."""
    return col(LimitWindow.ends) < now().timestamp()


@cache
def _statement(rows: int) -> Prepared:
    values = ", ".join(f"(:key{number}, 1, :ends{number})" for number in range(rows))
    return Prepared(
        text(
            f"INSERT INTO limit_window (key, count, ends) VALUES {values} ON CONFLICT (key) DO UPDATE SET"
            " count = CASE WHEN limit_window.ends <= :now THEN 1 ELSE limit_window.count + 1 END,"
            " ends = CASE WHEN limit_window.ends <= :now THEN excluded.ends ELSE limit_window.ends END"
            " RETURNING key, count, ends"
        )
    )


def _keys(settings: Settings, name: str, who: str, rates: tuple[Rate, ...]) -> list[str]:
    """Not the address itself: the table shall not tell who asked for what. One person's windows lie side by side."""
    secret = hashlib.blake2b(who.encode(), key=settings.key("limits"), digest_size=16).hexdigest()
    return [f"{secret}:{name}:{rate.seconds}" for rate in rates]


class Busy(Exception):
    """More was asked for at once than this process can do; worth another try in a moment."""
