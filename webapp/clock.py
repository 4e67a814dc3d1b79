"""What time it is. The machines of a site go by the clock that they share: PostgreSQL's.

Else what one has counted, signed or put off would be over, or still to come, for another: with clocks an hour apart no
rate limit held for both.
"""

import time
from datetime import UTC, datetime, timedelta

CLOCKS_DIFFER = timedelta(minutes=1)  # what one machine takes from another whose clock is ahead
_AGREES = 1.0  # seconds

# If this machine's clock is wrong: when its steady one began, as the shared one sees it. Nobody looks at the wrong one
# any more, so it doesn't matter either when it is set right.
_began: float | None = None


def now() -> datetime:
    """The current time as tables store it: timezone-aware, in UTC."""
    return datetime.fromtimestamp(seconds(), UTC)


def seconds() -> float:
    """The same in seconds since 1970."""
    return time.time() if _began is None else _began + time.monotonic()


def learn(there: datetime, asked_at: float) -> int:
    """Goes by another clock from now on, unless they agree; it showed `there` after it was `asked_at` a moment of the
    steady one. Returns by how many seconds this machine's is ahead.
    """
    global _began  # of the process, as the clock is of the machine
    answered_at, moment = time.time(), there.timestamp()
    agrees = -_AGREES <= answered_at - moment <= time.monotonic() - asked_at + _AGREES
    _began = None if agrees else moment - time.monotonic()
    return 0 if agrees else round(answered_at - moment)
