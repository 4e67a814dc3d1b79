"""The asyncio task that empties the outbox.

    feed: claim -> write -> hand -> (a few workers, each with its own connection) -> finish

A crash needs no rescue: the leases of this process run out, and its letters are due again.
"""

import asyncio
import logging
import os
import socket
import time
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from jinja2 import Environment

from webapp.database import Database, now
from webapp.mail import outbox, writing
from webapp.mail.mailbox import MailboxConnection
from webapp.mail.outbox import Claimed, Outcome, Verdict
from webapp.mail.smtp import DEADLINE, Connection
from webapp.settings import Settings

log = logging.getLogger("webapp.mail")

BATCH = 20
POLL_SECONDS = 1.0
GRACE_SECONDS = 8.0
RESTART_DELAYS = (1, 2, 5, 15, 30)
# Seconds to leave the server alone after it could not be used; the last one repeats.
PAUSES = (1, 2, 5, 15, 30)


class Conveyance(Protocol):
    """What takes a written letter away."""

    async def deliver(self, recipient: str, message: bytes) -> Outcome: ...
    async def close(self) -> None: ...
    def is_idle(self) -> bool: ...


@dataclass(frozen=True)
class Written:
    """A claimed letter with its bytes, ready for a worker."""

    letter: Claimed
    recipient: str
    message: bytes


class Breaker:
    """Remembers that the mail server could not be used, and when to try it again with one letter."""

    def __init__(self) -> None:
        self.failures = 0
        self.reason = ""
        self._until = 0.0

    @property
    def is_open(self) -> bool:
        return self.failures > 0

    @property
    def wait(self) -> float:
        """Seconds until the server may be tried again."""
        return max(0.0, self._until - time.monotonic())

    def trip(self, reason: str) -> bool:
        """Opens the breaker; False if it was open for this moment already."""
        if self.wait > 0:
            return False
        self.reason = reason
        self._until = time.monotonic() + PAUSES[min(self.failures, len(PAUSES) - 1)]
        self.failures += 1
        return True

    def close(self) -> None:
        self.failures, self.reason, self._until = 0, "", 0.0


class Mailer:
    """Empties one database's outbox until it is stopped. Several processes may do so at once."""

    def __init__(self, settings: Settings, database: Database, templates: Environment) -> None:
        self.settings = settings
        self.database = database
        self.templates = templates
        self.breaker = Breaker()
        self.is_running = False
        self.name = f"{socket.gethostname()[:30]}:{os.getpid()}:{uuid.uuid4().hex[:6]}"
        self._stopping = asyncio.Event()
        self._written: asyncio.Queue[Written] = asyncio.Queue()
        self._ended: list[tuple[Claimed, Outcome, asyncio.Future[None]]] = []
        self._something_ended = asyncio.Event()
        self._in_hand = 0
        self._finishing = asyncio.Lock()

    async def run(self) -> None:
        """Works until `stop`. What breaks is logged, and begun again after a pause."""
        for restarts in range(1_000_000):
            try:
                self.is_running = True
                return await self._work()
            except Exception:
                self.is_running = False
                log.exception("mailer_crashed")
                pause = RESTART_DELAYS[min(restarts, len(RESTART_DELAYS) - 1)]
                if await _happens(self._stopping, pause):
                    return None

    async def stop(self) -> None:
        """Asks `run` to end: what is on the wire may finish within the grace, the rest is handed back."""
        self._stopping.set()
        self.database.doorbell.set()

    async def _work(self) -> None:
        self._in_hand = 0
        workers = [asyncio.create_task(self._send_all()) for _ in range(self.settings.mail_connections)]
        feeder = asyncio.create_task(self._feed())
        try:
            # Neither ends by itself: whichever does has failed, and says why when awaited.
            done, _pending = await asyncio.wait([feeder, *workers], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            await self._drain()
        finally:
            for task in (feeder, *workers):
                task.cancel()
            await asyncio.gather(feeder, *workers, return_exceptions=True)
            await self._hand_back()
            self.is_running = False

    async def _feed(self) -> None:
        """Claims letters while there is room for them, until the mailer is stopped."""
        while not self._stopping.is_set():
            if self.breaker.wait:
                await self._hand_back()
                await _happens(self._stopping, self.breaker.wait)
                continue
            self.database.doorbell.clear()
            room = await self._room()
            batch = await self._claim(room) if room > 0 else []
            for letter in await self._write(batch):
                self._in_hand += 1
                self._written.put_nowait(letter)
            if not batch or len(batch) < room or self.breaker.is_open:
                await _happens(self.database.doorbell, POLL_SECONDS if room > 0 else 0.05)
            elif self._written.qsize() > BATCH // 2:
                await _happens(self._something_ended, POLL_SECONDS)
                self._something_ended.clear()

    async def _room(self) -> int:
        """How many letters may be claimed now: one as a probe while the breaker is open, none over the budget."""
        room = 1 - self._in_hand if self.breaker.is_open else BATCH - self._written.qsize()
        if room > 0 and (budget := self.settings.mail_hourly_budget):
            async with self.database.session() as db:
                spent = await outbox.sent_since(db, now() - timedelta(hours=1))
            room = min(room, budget - spent - self._in_hand)
            if budget <= spent:
                log.warning("mail_budget_spent", extra={"fields": {"budget": budget}})
                await _happens(self._stopping, POLL_SECONDS)
        return room

    async def _claim(self, most: int) -> list[Claimed]:
        async with self.database.session(is_writing=True) as db:
            batch = await outbox.claim(db, self.name, most)
            await db.commit()
        return batch

    async def _write(self, batch: list[Claimed]) -> list[Written]:
        """Writes the letters that are still worth it; finishes the others."""
        written: list[Written] = []
        ended: list[tuple[Claimed, Outcome]] = []
        if not batch:
            return written
        async with self.database.session(is_writing=True) as db:
            for letter in batch:
                if letter.expires <= now() or letter.crashes > outbox.CRASHES_ALLOWED:
                    ended.append((letter, Outcome(Verdict.LATER, None, "given up")))
                    continue
                try:
                    draft = await writing.KINDS[letter.kind].write(db, self.settings, letter)
                    if draft is None:
                        ended.append((letter, Outcome(Verdict.NOBODY)))
                        continue
                    if draft.user_id is not None and letter.user_id is None:
                        await outbox.belongs_to(db, letter, draft.user_id)
                    message = writing.compose(self.templates, self.settings, letter, draft)
                    written.append(Written(letter, draft.recipient, message))
                except Exception as error:
                    if not db.is_active:
                        raise
                    log.exception("letter_not_written", extra={"fields": _about(letter)})
                    ended.append((letter, Outcome(Verdict.LATER, None, f"not written: {type(error).__name__}")))
            if ended:
                await outbox.finish(db, ended)
            await db.commit()
        for letter, outcome in ended:
            _tell(letter, outcome)
        return written

    async def _send_all(self) -> None:
        """One worker: sends letter after letter over its own connection."""
        connection = self._connection()
        try:
            while True:
                try:
                    written = await asyncio.wait_for(self._written.get(), POLL_SECONDS)
                except TimeoutError:
                    if connection.is_idle():
                        await connection.close()
                    continue
                await self._send(connection, written)
        finally:
            await connection.close()

    async def _send(self, connection: Conveyance, written: Written) -> None:
        letter = written.letter
        try:
            has_time = letter.due - now() > timedelta(seconds=DEADLINE + 5)
            if self.breaker.wait or not has_time:
                outcome = Outcome(Verdict.UNAVAILABLE, None, self.breaker.reason)
            else:
                outcome = await connection.deliver(written.recipient, written.message)
                self._judge(outcome)
            await self._finish(letter, outcome)
            _tell(letter, outcome)
        except asyncio.CancelledError:
            self._written.put_nowait(written)  # to be handed back
            raise
        finally:
            self._in_hand -= 1
            self._something_ended.set()

    def _judge(self, outcome: Outcome) -> None:
        if outcome.verdict is Verdict.UNAVAILABLE:
            if self.breaker.trip(outcome.reason):
                fields = {"code": outcome.code, "reason": outcome.reason, "pause": round(self.breaker.wait)}
                log.warning("mail_server_unavailable", extra={"fields": fields})
        elif self.breaker.is_open:
            self.breaker.close()
            log.info("mail_server_back")

    async def _finish(self, letter: Claimed, outcome: Outcome) -> None:
        """Writes an outcome down, together with those that ended meanwhile; returns when it is committed."""
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ended.append((letter, outcome, committed))
        async with self._finishing:
            if committed.done():
                return
            batch, self._ended = self._ended, []
            try:
                async with self.database.session(is_writing=True) as db:
                    await outbox.finish(db, [(letter, outcome) for letter, outcome, _future in batch])
                    await db.commit()
            except BaseException:
                for _letter, _outcome, future in batch:
                    future.cancel()
                raise
            for _letter, _outcome, future in batch:
                future.set_result(None)

    async def _drain(self) -> None:
        """Lets what is on the wire finish within the grace; what only waits is handed back at once."""
        await self._hand_back()
        deadline = time.monotonic() + GRACE_SECONDS
        while self._in_hand > 0 and time.monotonic() < deadline:
            await asyncio.sleep(0.02)

    async def _hand_back(self) -> None:
        """Makes the letters that nobody has begun to send due again, for whoever claims them next."""
        waiting: list[Claimed] = []
        while not self._written.empty():
            waiting.append(self._written.get_nowait().letter)
        if waiting:
            self._in_hand = max(0, self._in_hand - len(waiting))
            async with self.database.session(is_writing=True) as db:
                await outbox.finish(db, [(letter, Outcome(Verdict.UNAVAILABLE)) for letter in waiting])
                await db.commit()

    def _connection(self) -> Conveyance:
        if self.settings.mailbox is not None:
            return MailboxConnection(self.settings.mailbox)
        return Connection(self.settings)


async def _happens(event: asyncio.Event, seconds: float) -> bool:
    """Waits for an event, but no longer than so many seconds; says whether it came."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True


def _about(letter: Claimed) -> dict[str, object]:
    return {"letter": letter.id, "kind": letter.kind, "attempt": letter.attempts}


def _tell(letter: Claimed, outcome: Outcome) -> None:
    """One line for each outcome, but none for letters to nobody: the log shall not tell who is not here."""
    if outcome.verdict is not Verdict.NOBODY:
        milliseconds = round((now() - letter.created).total_seconds() * 1000)
        fields = {**_about(letter), "outcome": outcome.verdict.value, "code": outcome.code, "age_ms": milliseconds}
        log.info("letter", extra={"fields": fields})
