"""Finds out from the outcomes of emails whether the mail server works at all."""

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from webapp.database import now
from webapp.mail.models import Outcome, Verdict

log = logging.getLogger("webapp.mail")

# When this many people's emails are refused alike, with none accepted in between, the people aren't the reason.
ALIKE = 3


class Breaker:
    """Remembers that the mail server doesn't work, and when to try it again with one email.

    `pauses` are the seconds to leave it alone, longer after each failure.
    """

    def __init__(self, pauses: Sequence[float]) -> None:
        self.reason = ""
        self.since: datetime | None = None
        self._pauses = pauses
        self._failures = 0
        self._until = 0.0
        self._is_new = True
        self._has_sent = False
        self._alike: dict[str, set[str]] = {}
        self._alike_since = now()

    @property
    def is_open(self) -> bool:
        return self.since is not None

    @property
    def wait(self) -> float:
        """Seconds until the server may be tried again."""
        return max(0.0, self._until - time.monotonic())

    def judge(self, outcome: Outcome, recipient: str) -> Outcome:
        """The outcome, or a fault of ours if emails to several people have failed with the same words.

        Once the server has accepted any email, many addresses may really not exist.
        """
        if outcome.verdict is Verdict.SENT:
            self._has_sent = True
            self._alike.clear()
        if not outcome.alike or (outcome.refused and self._has_sent):
            return outcome
        if not self._alike:
            self._alike_since = now()
        people = self._alike.setdefault(outcome.alike, set())
        people.add(recipient)
        if len(people) < ALIKE:
            return outcome
        reason = f"The server refuses everybody's emails alike: {outcome.reason}"
        return replace(outcome, verdict=Verdict.UNAVAILABLE, reason=reason, refused=None, backs_off=True)

    def note(self, outcome: Outcome) -> bool:
        """Opens after an outcome that was the server's fault, and closes after any other; returns whether that is news.

        The first outcome of a process always is, since an earlier process may have left trouble behind.
        """
        is_news, self._is_new = self.is_open or self._is_new, False
        if outcome.verdict is not Verdict.UNAVAILABLE:
            if self.is_open:
                log.info("mail_server_back")
            self.since, self._failures, self._until = None, 0, 0.0
            return is_news
        if not self.wait:  # otherwise it was already open
            pause = self._pauses[min(self._failures, len(self._pauses) - 1)]
            self.reason, self.since = outcome.reason, self.since or self._began(outcome)
            self._failures, self._until = self._failures + 1, time.monotonic() + pause
            fields = {"code": outcome.code, "reason": outcome.reason, "pause": pause}
            log.warning("mail_server_unavailable", extra={"fields": fields})
            return True
        return False

    def _began(self, outcome: Outcome) -> datetime:
        return self._alike_since if outcome.alike else now()
