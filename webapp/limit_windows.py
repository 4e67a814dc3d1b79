"""The windows of rate limits, one row each, and the statements that count in many of them at once."""

from functools import cache

from sqlalchemy import ColumnElement, text
from sqlmodel import Field, SQLModel, col

from webapp.database import now
from webapp.database.hot import Prepared

KEPT = 3600  # seconds after its end, because `last` asks when it began


class LimitWindow(SQLModel, table=True):
    """How often something was done since the window began; `ends` is in seconds since 1970."""

    __tablename__ = "limit_window"
    # One tree and no other index: every limited request writes some of these rows.
    __table_args__ = {"sqlite_with_rowid": False}

    key: str = Field(primary_key=True, max_length=80)
    count: int
    ends: float


def outdated() -> ColumnElement[bool]:
    """The SQL condition for windows that ended so long ago that nobody asks when they began."""
    return col(LimitWindow.ends) < now().timestamp() - KEPT


# Ended, or begun by a clock that was ahead: it would end later than one that begins now. Clocks of several machines may
# differ by a minute.
_IS_OVER = "(limit_window.ends <= :now OR limit_window.ends > excluded.ends + 60)"
ENDS = Prepared(text("SELECT ends FROM limit_window WHERE key = :key"))


@cache
def statement(rows: int) -> Prepared:
    values = ", ".join(f"(:key{number}, 1, :ends{number})" for number in range(rows))
    return Prepared(
        text(
            f"INSERT INTO limit_window (key, count, ends) VALUES {values} ON CONFLICT (key) DO UPDATE SET"
            f" count = CASE WHEN {_IS_OVER} THEN 1 ELSE limit_window.count + 1 END,"
            f" ends = CASE WHEN {_IS_OVER} THEN excluded.ends ELSE limit_window.ends END"
            " RETURNING key, count, ends"
        )
    )
