"""How long the mailer waits, and for what; and what becomes of that when the clock is set."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import case, update
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import clock
from webapp.database import CLOCKS_DIFFER, execute, now
from webapp.mail import outbox
from webapp.mail.models import LEASED
from webapp.mail.outbox import LEASE, REFUSED_HOURS, emails

LONGEST_WAIT = timedelta(hours=REFUSED_HOURS[-1])


@dataclass(frozen=True)
class Pace:
    """In seconds, except for the leases. The last value of a series repeats."""

    poll: float = 1.0  # until the outbox is checked again if nothing wakes the mailer
    lease: timedelta = outbox.LEASE
    least_lease: timedelta = timedelta(seconds=5)  # with less time left, no email is begun
    fresh: float = 5.0  # how long what an email says may wait for the server before it is looked up again
    retries: Sequence[float] = outbox.RETRY_DELAYS
    suspect: float = 5.0  # between attempts at an email that mailers died with
    share: float = 0.2  # of the process's time, for emails while visitors wait for pages
    grace: float = 6.0  # at a stop, for what is on the wire
    restarts: Sequence[float] = (1, 2, 5, 15, 30)  # after a crash
    pauses: Sequence[float] = (1, 2, 5, 15, 30)  # for a server that could not be used
    away: float = 1.0  # between looks at a database that is away
    # For each answer of a server: at first, since a silent one keeps others' emails waiting; then twice as long each
    # time, up to what RFC 5321, 4.5.3.2, gives it. For its answer to the email itself it has that at once.
    patience: float = 30.0
    command: float = 300.0
    final: float = 600.0
    deadline: float = 1800.0  # for one email, connecting included


USUAL = Pace()


class Share:
    """Keeps work to a share of the time, from 0 to 1, averaged over a few moments.

    Time that others used counts as well, so the work gets its share even in a process that is always busy.
    """

    MOST = 0.05  # seconds of work that may be saved up, or owed: the first email also compiles its templates

    def __init__(self, share: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.share = share
        self._clock = clock
        self._credit, self._at = 0.0, clock()

    def rest_after(self, seconds: float) -> float:
        """How many seconds to rest after work that took so many; 0 until the share is used up."""
        moment = self._clock()
        earned = (moment - self._at) * self.share
        credit = min(self._credit + earned, self.MOST) - seconds
        self._credit, self._at = max(credit, -self.MOST), moment
        return max(0.0, -self._credit / self.share)


def steady() -> float:
    """The time at which the monotonic clock began. It changes when somebody sets the clock."""
    return clock.seconds() - time.monotonic()


async def mend_times(db: AsyncSession) -> int:
    """Makes due what a clock that ran ahead has put off: no email waits longer than its schedule allows.

    One that a mailer holds may be on its way to the server, so it is due a lease later.
    """
    moment = now()
    latest, is_held = moment + CLOCKS_DIFFER, emails.c.state == LEASED
    is_late = is_held & (emails.c.due_at > latest + LEASE) | (emails.c.due_at > latest + LONGEST_WAIT)
    put_off = update(emails).where(emails.c.finished_at.is_(None), (emails.c.created_at > latest) | is_late)
    due_at = case((is_held, moment + LEASE), else_=moment)
    created_at = case((emails.c.created_at > moment, moment), else_=emails.c.created_at)
    return (await execute(db, put_off.values(due_at=due_at, created_at=created_at))).rowcount


async def prolong_leases(db: AsyncSession) -> None:
    """After a clock has jumped ahead: leases look expired whose holders are still sending."""
    held = update(emails).where(emails.c.state == LEASED, emails.c.due_at < now() + LEASE)
    await execute(db, held.values(due_at=now() + LEASE))
