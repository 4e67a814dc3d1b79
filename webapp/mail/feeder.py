"""What the mailer's workers are fed with: letters that are due, claimed and written, as many as may leave now."""

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import timedelta

from jinja2 import Environment
from sqlalchemy.exc import DBAPIError
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import limits
from webapp.database import Database, now
from webapp.limits import Rate, TooOften
from webapp.mail import general, outbox, status, writing
from webapp.mail.models import Claimed, Outcome, Verdict
from webapp.mail.writing import Written
from webapp.settings import SITE_NAME, Settings

log = logging.getLogger("webapp.mail")

BATCH = 50
WRITTEN_AT_ONCE = 10
TIDY_SECONDS = 600.0
BUDGET_ALARMS = (Rate(1, 3600),)

SUPPRESSED = Outcome(Verdict.SUPPRESSED, None, "this address was refused for good within the last day")
NOT_WRITTEN = Outcome(Verdict.LATER, None, "not written: the database refused")


class Feeder:
    """Claims letters for one mailer, and writes them."""

    def __init__(self, settings: Settings, database: Database, templates: Environment, mailer: str) -> None:
        self.settings = settings
        self.database = database
        self.templates = templates
        self.mailer = mailer
        # This much of the hour's budget is never spent on what can wait.
        self._reserve = settings.mail_hourly_budget // 5
        self._tidy_at = 0.0

    async def next(self, most: int) -> tuple[list[Written], int]:
        """Up to `most` written letters, those that can wait last, and how many were claimed for them."""
        await self._tidy()
        left = await self._budget_left()
        most = min(most, left)
        async with self.database.session(is_writing=True) as db:
            batch = await (outbox.claim(db, self.mailer, most) if most else outbox.claim_alarm(db, self.mailer))
            if (room := min(most, left - self._reserve) - len(batch)) > 0:
                batch += await outbox.claim_what_can_wait(db, self.mailer, room)
            await db.commit()
        return await self._write_all(batch), len(batch)

    async def suspect(self) -> list[Written]:
        """A letter that mailers died of, if there is one; for when nothing else is in hand that it could harm."""
        async with self.database.session(is_writing=True) as db:
            batch = await outbox.claim_suspect(db, self.mailer)
            await db.commit()
        return await self._write_all(batch)

    async def _budget_left(self) -> int:
        """How many letters the site may still send within this hour; tells the ADMINS when there are none."""
        budget = self.settings.mail_hourly_budget
        if not budget:
            return BATCH
        async with self.database.session() as db:
            spent = await status.spent(db, since=now() - timedelta(hours=1))
        if spent >= budget:
            await self._tell_of_budget(budget)
        return max(0, budget - spent)

    async def _tell_of_budget(self, budget: int) -> None:
        async with self.database.session(is_writing=True) as db:
            try:
                await limits.count(db, self.settings, ("budget_alarm", "all", BUDGET_ALARMS))
            except TooOften:
                return
            log.warning("mail_budget_spent", extra={"fields": {"budget": budget}})
            if self.settings.admins:
                await general.send(
                    db,
                    self.settings,
                    subject=f"[{SITE_NAME}] The hour's letters are spent",
                    text=(
                        f"{budget} letters left within an hour, which is MAIL_HOURLY_BUDGET. Further ones wait, and"
                        f" none is lost. If so many are not what you expect, somebody may be abusing the site:\n\n"
                        f"{self.settings.base_url}/admin/mail\n"
                    ),
                    to=self.settings.admins,
                    is_alarm=True,
                )
            await db.commit()

    async def _write_all(self, batch: list[Claimed]) -> list[Written]:
        """Writes letters, a few at a time, so that nobody waits long for the database meanwhile."""
        written = []
        for start in range(0, len(batch), WRITTEN_AT_ONCE):
            written += await self._write(batch[start : start + WRITTEN_AT_ONCE])
            await asyncio.sleep(0)
        return written

    async def _write(self, batch: Sequence[Claimed]) -> list[Written]:
        """Writes letters in one transaction; each in its own if one of them breaks it."""
        try:
            async with self.database.session(is_writing=True) as db:
                written, ended = await self._written(db, batch)
                await outbox.finish(db, ended)
                await db.commit()
        except DBAPIError:
            if len(batch) > 1:
                return [written for letter in batch for written in await self._write([letter])]
            written, ended = [], [(batch[0], NOT_WRITTEN)]
            async with self.database.session(is_writing=True) as db:
                await outbox.finish(db, ended)
                await db.commit()
        for letter, outcome in ended:
            tell(letter, outcome)
        return written

    async def _written(
        self, db: AsyncSession, batch: Sequence[Claimed]
    ) -> tuple[list[Written], list[tuple[Claimed, Outcome]]]:
        """The letters that can leave, and what became of the others."""
        written: list[Written] = []
        ended: list[tuple[Claimed, Outcome]] = []
        for letter in batch:
            result = await writing.write(db, self.settings, self.templates, letter)
            if isinstance(result, Written):
                written.append(result)
            else:
                ended.append((letter, result))
        refused = await outbox.refused_among(db, [one.recipient for one in written])
        ended += [(one.letter, SUPPRESSED) for one in written if one.recipient in refused]
        return [one for one in written if one.recipient not in refused], ended

    async def _tidy(self) -> None:
        """Clears away a few of the letters that were finished long ago, now and then."""
        if time.monotonic() < self._tidy_at:
            return
        async with self.database.session(is_writing=True) as db:
            purged = await status.purge(db)
            await db.commit()
        self._tidy_at = time.monotonic() + (1 if purged else TIDY_SECONDS)


def tell(letter: Claimed, outcome: Outcome) -> None:
    """One line for each outcome, but none for letters to nobody: the log shall not tell who is not here."""
    if outcome.verdict is not Verdict.NOBODY:
        milliseconds = round((now() - letter.created).total_seconds() * 1000)
        fields = {"letter": letter.id, "kind": letter.kind, "attempt": letter.attempts, "age_ms": milliseconds}
        fields |= {"outcome": outcome.verdict.value, "code": outcome.code}
        log.info("letter", extra={"fields": fields})
