"""What time it is. The machines of a site go by the clock that they share: PostgreSQL's.

Otherwise what one machine has counted, signed or put off would be over, or yet to come, for another. With clocks an
hour apart, no rate limit held.
"""

import time
from datetime import UTC, datetime, timedelta

CLOCKS_DIFFER = timedelta(minutes=1)  # how far another machine's clock may be ahead
_AGREES = 1.0  # seconds
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)  # of others' times: to asyncpg, the first there is has no end

# If this machine's clock is wrong: the time, by the shared one, at which its monotonic clock began. Nobody reads the
# wrong clock after that, so it makes no difference when somebody sets it.
_began: float | None = None


def now() -> datetime:
    """The current time as tables store it: timezone-aware, in UTC."""
    return datetime.fromtimestamp(seconds(), UTC)


def seconds() -> float:
    """The same in seconds since 1970."""
    return time.time() if _began is None else _began + time.monotonic()


def moment_in(text: object) -> datetime:
    """A time that others have written, in UTC unless it says otherwise; never in the future. Raises ValueError."""
    when = datetime.fromisoformat(str(text))
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    if when < EARLIEST:
        raise ValueError(text)
    return min(when, now()).astimezone(UTC)


def learn(there: datetime, asked_at: float) -> int:
    """Goes by the shared clock from now on, unless this machine's agrees. `there` is what it showed when it was asked,
    and `asked_at` when that was, on the monotonic clock. Returns how many seconds this machine's is ahead.
    """
    global _began  # of the process, as the clock is of the machine
    answered_at, moment = time.time(), there.timestamp()
    agrees = -_AGREES <= answered_at - moment <= time.monotonic() - asked_at + _AGREES
    _began = None if agrees else moment - time.monotonic()
    return 0 if agrees else round(answered_at - moment)
