"""Stores the outcomes of emails together: one commit for all that finish at the same moment."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from webapp.database import Database, now
from webapp.delivery.pace import Pace
from webapp.mail import outbox
from webapp.mail.models import Claimed, Outcome, Verdict

log = logging.getLogger("webapp.mail")

# How long an outcome waits for others that are on the way, to be stored with them.
GATHER_SECONDS = 0.001
Thing = TypeVar("Thing")


class Finishing:
    """Gathers outcomes while other emails are on the wire, and stores them."""

    def __init__(self, database: Database, pace: Pace) -> None:
        self.database = database
        self.pace = pace
        self._ended: list[tuple[Claimed, Outcome, asyncio.Future[None]]] = []
        self._lock = asyncio.Lock()
        self._on_the_wire = 0
        self._wire_is_clear = asyncio.Event()

    @contextmanager
    def awaits_another(self) -> Iterator[None]:
        """Held while an email is on the wire, since its outcome may be stored together with others."""
        self._on_the_wire += 1
        self._wire_is_clear.clear()
        try:
            yield
        finally:
            self._on_the_wire -= 1
            if not self._on_the_wire:
                self._wire_is_clear.set()

    async def finish(self, email: Claimed, outcome: Outcome) -> None:
        """Stores an outcome, together with others that came meanwhile; returns once it is committed.

        It doesn't wait for SQLite's disk: after a power cut the email is sent again, as if its server hadn't answered.
        """
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ended.append((email, outcome, committed))
        async with self._lock:
            if self._on_the_wire and not committed.done():
                await happens(self._wire_is_clear, GATHER_SECONDS)
            if not committed.done():
                await self._commit_ended()
        await committed

    def forget(self) -> None:
        """Drops the outcomes that weren't stored; their emails are handed back."""
        self._ended.clear()

    async def _commit_ended(self) -> None:
        batch, self._ended = self._ended, []
        try:
            async with self.database.direct(is_writing=True, waits_for_disk=False) as db:
                results = [(email, outcome) for email, outcome, _future in batch]
                await outbox.finish(db, results, self.pace.retries)
                await db.commit()
        except BaseException as error:
            for _email, _outcome, committed in batch:
                committed.set_exception(error)
            return
        for _email, _outcome, committed in batch:
            committed.set_result(None)


def tell(email: Claimed, outcome: Outcome) -> None:
    """Logs a line for each outcome, except for emails to nobody: the log must not tell who has no account."""
    if outcome.verdict is not Verdict.NOBODY:
        milliseconds = round((now() - email.created_at).total_seconds() * 1000)
        fields = {"letter": email.id, "kind": email.kind, "attempt": email.attempts, "age_ms": milliseconds}
        fields |= {"outcome": outcome.verdict.value, "code": outcome.code}
        log.info("letter", extra={"fields": fields})


async def happens(event: asyncio.Event, seconds: float) -> bool:
    """Waits for an event, for at most so many seconds; returns whether it came."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True


async def next_of(queue: asyncio.Queue[Thing], seconds: float) -> Thing | None:
    """The next item in a queue; None if none came within so many seconds."""
    try:
        return queue.get_nowait() if not queue.empty() else await asyncio.wait_for(queue.get(), seconds)
    except TimeoutError:
        return None
