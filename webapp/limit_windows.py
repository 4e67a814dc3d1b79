"""What a rate limit is; the windows of all of them, one row each; and the statements that count in many at once."""

from dataclasses import dataclass
from functools import cache
from ipaddress import ip_network

from sqlalchemy import ColumnElement, text
from sqlmodel import Field, SQLModel, col

from webapp.database import now
from webapp.database.hot import Prepared

KEPT = 3600  # seconds after its end, because `last` asks when it began
# A whole IPv6 /48 may do what so many client IPs may.
WIDER, WIDER_TIMES = 48, 16


@dataclass(frozen=True)
class Rate:
    times: int
    seconds: int


@dataclass(frozen=True)
class Limit:
    """How often something may be done by one account, one client_ip or anybody else who is counted, under this `name`.

    Once it was done more often than `after`, the rates in `then` also apply: a slower pace instead of a long wait.
    What is counted for a client_ip by itself is `of_client_ip`: an IPv6 one also counts for the /48 around it. What a
    thief of a session could use up although its owner needs it is `of_session`: each session has its own count.
    """

    name: str
    rates: tuple[Rate, ...]
    after: Rate | None = None
    then: tuple[Rate, ...] = ()
    of_client_ip: bool = False
    of_session: bool = False

    @property
    def counted(self) -> tuple[Rate, ...]:
        return (*self.rates, *self.then, self.after) if self.after else self.rates

    @property
    def of_wider(self) -> "Limit":
        """The same for a whole IPv6 /48."""
        return Limit(f"{self.name}_48", tuple(Rate(rate.times * WIDER_TIMES, rate.seconds) for rate in self.rates))


def wider(client_ip: str) -> str:
    """The /48 that an IPv6 client_ip is in, else "".

    Anybody who rents a server or opens a tunnel may get a whole one: 65,536 client IPs. But so many phones of one
    company may share it, too.
    """
    return str(ip_network(client_ip).supernet(new_prefix=WIDER)) if client_ip.endswith("::/64") else ""


def mailbox(address: str) -> str:
    """What many mail servers deliver an address to: they ignore dots, or what follows a +."""
    local, _at, domain = address.partition("@")
    return f"{local.partition('+')[0].replace('.', '')}@{domain}"


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


# How many seconds later than a window that begins now another may end. One that ends later still was begun by a clock
# that was ahead, and is over. With fewer, two machines whose clocks differ would each begin it anew, and let somebody
# guess for ever.
LATEST = 600
_IS_OVER = f"(limit_window.ends <= :now OR limit_window.ends > excluded.ends + {LATEST})"
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
