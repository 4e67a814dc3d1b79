"""The asyncio task that empties the outbox.

    feed: claim -> write -> queue -> a few workers, each with its own connection: deliver -> finish

A crash needs no clean-up: the leases of the process run out, and its emails are due again.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import replace

from jinja2 import Environment

from webapp.database import Database, now
from webapp.database.refusals import in_words, is_away, what_to_check
from webapp.delivery.breaker import Breaker
from webapp.delivery.dispatcher import BATCH, Dispatcher, Written
from webapp.delivery.finishing import Finishing, happens, next_of, tell
from webapp.delivery.pace import USUAL, Pace, Share
from webapp.delivery.smtp import Transport
from webapp.logs import Report
from webapp.mail import outbox, status
from webapp.mail.models import Claimed, Outcome, Verdict
from webapp.settings import Settings

log = logging.getLogger("webapp.mail")

RUSH_VISITORS = 3  # while so many wait for their pages, emails keep to their share of the process
COST = 5.0  # times the writing: lookups (also for nobody), sending and recording take four times as long
# How many emails are written ahead for each connection, so that it never waits for one.
WRITTEN_AHEAD = 2
HANDED_BACK = Outcome(Verdict.UNAVAILABLE)


class Mailer:
    """Empties a database's outbox until stopped; several processes may do so at once. `transport` makes what takes the
    emails away, one for each worker.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        templates: Environment,
        transport: Callable[[], Transport],
        report: Report,
        pace: Pace = USUAL,
    ) -> None:
        self.settings = settings
        self.database = database
        self.transport = transport
        self.pace = pace
        self.breaker = Breaker(pace.pauses)
        self.is_running = False
        self._dispatcher = Dispatcher(settings, database, templates, report, pace)
        self._stopping = asyncio.Event()
        self._queue = self._new_queue()
        self._in_hand: dict[int, Claimed] = {}
        self._outcomes: dict[int, Outcome] = {}  # sent, but not yet recorded
        self._finishing = Finishing(database, pace)
        self._suspect_at = 0.0
        self._share = Share(pace.share)

    async def run(self) -> None:
        """Runs until `stop`. Any error is logged, and the work starts again after a pause."""
        crashes = 0
        while not self._stopping.is_set():
            try:
                self.is_running = True
                await self._work()
            except Exception as error:
                self.is_running = False
                if is_away(error):
                    await self._wait_for_database(error)
                    continue
                log.exception("mailer_crashed")
                await self._dispatcher.report(error, "mailer")
                await happens(self._stopping, self.pace.restarts[min(crashes, len(self.pace.restarts) - 1)])
                crashes += 1
        self.is_running = False

    async def _wait_for_database(self, error: Exception) -> None:
        """Logs once that the database is away, and once that it is back. What was in hand is due again."""
        log.warning("mailer_waits", extra={"fields": {"reason": in_words(error), "check": what_to_check(error)}})
        since = time.monotonic()
        while not self._stopping.is_set():
            await happens(self._stopping, self.pace.away)
            with contextlib.suppress(Exception):
                await self.database.try_write(must_grow=True)
                await self._hand_back()
                log.warning("mailer_goes_on", extra={"fields": {"seconds": round(time.monotonic() - since)}})
                return

    async def stop(self) -> None:
        """Asks `run` to end. Emails on the wire may finish within the grace period; the rest are handed back."""
        self._stopping.set()
        self.database.wake.set()

    async def _work(self) -> None:
        workers = [asyncio.create_task(self._send_all()) for _ in range(self.settings.mail_connections)]
        dispatcher = asyncio.create_task(self._feed())
        tasks: list[asyncio.Task[object]] = [asyncio.create_task(self._stopping.wait()), dispatcher, *workers]
        renewing = asyncio.create_task(self._renew_leases())
        try:
            # A worker never ends by itself: if one does it has failed, and says why when awaited.
            # The dispatcher may hang, too: in a full queue, behind a server that hangs.
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.pace.grace):
                    await asyncio.wait([dispatcher])
                    await self._queue.join()
        finally:
            for task in (*tasks, renewing):
                task.cancel()
            await asyncio.gather(*tasks, renewing, return_exceptions=True)
            await self._hand_back()

    async def _feed(self) -> None:
        """Queues emails for the workers until the mailer is stopped."""
        while not self._stopping.is_set():
            if self.breaker.wait:
                await happens(self._stopping, self.breaker.wait)
                continue
            self.database.wake.clear()
            await self._try_suspect()
            most = int(not self._in_hand) if self.breaker.is_open else BATCH  # one, for a server that was down
            claimed = await self._dispatcher.claim(most) if most else []
            written = await self._hand_over(claimed)
            if len(claimed) < (BATCH if written else 1) and not self._stopping.is_set():
                await happens(self.database.wake, self.pace.poll)

    async def _renew_leases(self) -> None:
        """Renews the leases of what is in hand, however long the server takes; an expired one may be another's."""
        while True:
            await asyncio.sleep(self.pace.lease.total_seconds() / 3)
            held = [email for email in self._in_hand.values() if email.due_at > now()]
            try:
                async with self.database.direct(is_writing=True) as db:
                    until = await outbox.renew(db, held, self.pace.lease)
                    await db.commit()
            except Exception as error:
                log.warning("leases_not_renewed", exc_info=not is_away(error))
                if not is_away(error):
                    await self._dispatcher.report(error, "mailer")
                continue
            for email in held:
                if email.id in self._in_hand:
                    self._in_hand[email.id] = replace(email, due_at=until)

    async def _try_suspect(self) -> None:
        """Now and then tries, on its own, an email that mailers died with, so that it can't harm others."""
        if time.monotonic() < self._suspect_at or self.breaker.is_open:
            return
        try:
            await asyncio.wait_for(self._queue.join(), self.pace.poll)
        except TimeoutError:  # a slow server has something in hand: others needn't wait for it
            return
        if claimed := await self._dispatcher.claim_suspect():
            await self._hand_over(claimed)
            await self._queue.join()
            self.database.wake.set()  # there may be more
        else:
            self._suspect_at = time.monotonic() + self.pace.suspect

    async def _hand_over(self, claimed: list[Claimed]) -> int:
        """Queues emails as they are written; returns how many had a reader."""
        self._in_hand |= {email.id: email for email in claimed}
        unwritten = {email.id for email in claimed}
        try:
            async for written in self._dispatcher.write(claimed):
                unwritten.discard(written.email.id)
                await self._queue.put(written)
                rest = self._share.rest_after(COST * written.seconds)
                if rest and self.database.visitors >= RUSH_VISITORS:
                    await happens(self._stopping, rest)
        except asyncio.CancelledError:
            unwritten.clear()  # the mailer is stopped, and hands them back
            raise
        finally:
            # There is nobody to send them to; or one of them breaks the mailer, and all their leases run out.
            for email_id in unwritten:
                del self._in_hand[email_id]
        return len(claimed) - len(unwritten)

    async def _send_all(self) -> None:
        """One worker: sends one email after another over its own connection."""
        connection = self.transport()
        try:
            while True:
                if written := await next_of(self._queue, self.pace.poll):
                    await self._send(connection, written)
                    self._queue.task_done()
                elif connection.is_idle():
                    await connection.close()
        finally:
            await connection.close()

    async def _send(self, connection: Transport, queued: Written) -> None:
        email = self._in_hand.get(queued.email.id, queued.email)  # whose lease may have been renewed meanwhile
        if self._stopping.is_set() or self.breaker.wait or email.due_at - now() <= self.pace.least_lease:
            return await self._finish(email, HANDED_BACK)
        if (written := await self._dispatcher.up_to_date(queued)) is None:
            self._in_hand.pop(email.id, None)
            return None
        with self._finishing.awaits_another():
            outcome = await connection.deliver(written.recipient, written.message, email.attempts)
        outcome = self.breaker.judge(outcome, written.recipient)
        if written.is_marked and outcome.verdict is Verdict.SENT:
            outcome = replace(outcome, accepted=written.recipient)
        is_news = self.breaker.note(outcome)
        await self._finish(email, outcome)  # before anything else can fail: it is sent
        tell(email, outcome)
        if is_news:
            await self._tell_all(outcome)

    async def _tell_all(self, outcome: Outcome) -> None:
        """Tells all processes, and the admin, that the mail server went away or came back."""
        async with self.database.session(is_writing=True) as db:
            await status.note_trouble(db, self.breaker.since, outcome)
            await db.commit()

    async def _finish(self, email: Claimed, outcome: Outcome) -> None:
        self._outcomes[email.id] = outcome
        await self._finishing.finish(email, outcome)
        self._in_hand.pop(email.id, None)
        self._outcomes.pop(email.id, None)

    async def _hand_back(self) -> None:
        """Makes the emails that are still in hand due again, for whoever claims them next.

        Emails that left while the database was away are recorded as sent.
        """
        ended = [(email, self._outcomes.get(email.id, HANDED_BACK)) for email in self._in_hand.values()]
        self._finishing.forget()
        self._queue = self._new_queue()
        if ended:
            async with self.database.direct(is_writing=True) as db:
                await outbox.finish(db, ended, self.pace.retries)
                await db.commit()
        self._in_hand.clear()
        self._outcomes.clear()

    def _new_queue(self) -> asyncio.Queue[Written]:
        return asyncio.Queue(WRITTEN_AHEAD * self.settings.mail_connections)
