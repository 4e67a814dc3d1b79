"""How long the mailer waits for what."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from webapp.mail import outbox


@dataclass(frozen=True)
class Pace:
    """In seconds, but for the leases. Of what repeats, the last one repeats for good."""

    poll: float = 1.0  # until the outbox is looked at again, though nothing woke the mailer
    lease: timedelta = outbox.LEASE
    least_lease: timedelta = timedelta(seconds=5)  # with less left of it, an email is not begun
    retries: Sequence[float] = outbox.RETRY_DELAYS
    suspect: float = 5.0  # between tries of an email that mailers died of
    rush: float = 0.1  # the rest after each email while visitors wait for their pages
    grace: float = 6.0  # at a stop, for what is on the wire
    restarts: Sequence[float] = (1, 2, 5, 15, 30)  # after a crash
    pauses: Sequence[float] = (1, 2, 5, 15, 30)  # for a server that could not be used
    away: float = 1.0  # between looks at a database that is away
    # What RFC 5321, 4.5.3.2, gives a server: for its greeting and each command, and for the email itself.
    command: float = 300.0
    final: float = 600.0
    deadline: float = 1800.0  # for one email, connecting included


USUAL = Pace()
