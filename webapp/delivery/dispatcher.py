"""What the mailer's workers are fed with: letters that are due, claimed and written, as many as may leave now."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import NamedTuple

from jinja2 import Environment
from sqlalchemy.exc import DBAPIError
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import i18n as languages
from webapp import rate_limits
from webapp.database import Database, now
from webapp.mail import general, outbox, refusals, status
from webapp.mail.kinds import KINDS, Draft
from webapp.mail.mime import compose
from webapp.mail.models import Claimed, Outcome, Verdict
from webapp.rate_limits import Rate, TooOften
from webapp.settings import SITE_NAME, Settings

log = logging.getLogger("webapp.mail")

BATCH = 50
DRAFTED_AT_ONCE = 10
TIDY_SECONDS = 600.0
BUDGET_ALARMS = (Rate(1, 3600),)

SUPPRESSED = Outcome(Verdict.SUPPRESSED, None, "this address was refused for good within the last day")
NOT_WRITTEN = Outcome(Verdict.LATER, None, "not written: the database refused")


class Written(NamedTuple):
    """A claimed letter with its bytes, ready to be taken away."""

    letter: Claimed
    recipient: str
    message: bytes


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

    async def claim(self, most: int) -> list[Claimed]:
        """Up to `most` letters that may leave now, those that can wait last."""
        await self._tidy()
        left = await self._budget_left()
        most = min(most, left)
        async with self.database.direct(is_writing=True) as db:
            batch = await (outbox.claim(db, self.mailer, most) if most else outbox.claim_alarm(db, self.mailer))
            if (room := min(most, left - self._reserve) - len(batch)) > 0:
                batch += await outbox.claim_what_can_wait(db, self.mailer, room)
            await db.commit()
        return batch

    async def claim_suspect(self) -> list[Claimed]:
        """A letter that mailers died of, if there is one; for when nothing else is in hand that it could harm."""
        async with self.database.direct(is_writing=True) as db:
            batch = await outbox.claim_suspect(db, self.mailer)
            await db.commit()
        return batch

    async def write(self, batch: Sequence[Claimed]) -> AsyncIterator[Written]:
        """Those of the letters that there is somebody to send to, each as soon as it is written.

        A few are looked up at once, and none is written while the database waits; others have their turn in between.
        """
        for start in range(0, len(batch), DRAFTED_AT_ONCE):
            for letter, draft in await self._drafts(batch[start : start + DRAFTED_AT_ONCE]):
                written = write(self.settings, self.templates, letter, draft)
                if isinstance(written, Written):
                    yield written
                else:
                    await self._end(letter, written)
                await asyncio.sleep(0)

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
                await rate_limits.count(db, self.settings, ("budget_alarm", "all", BUDGET_ALARMS))
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

    async def _drafts(self, batch: Sequence[Claimed]) -> list[tuple[Claimed, Draft]]:
        """What letters are to say, looked up in one transaction; each in its own if one of them breaks it."""
        try:
            async with self.database.session(is_writing=True) as db:
                drafts, ended = await self._drafted(db, batch)
                await outbox.finish(db, ended)
                await db.commit()
        except DBAPIError:
            if len(batch) > 1:
                return [draft for letter in batch for draft in await self._drafts([letter])]
            await self._end(batch[0], NOT_WRITTEN)
            return []
        for letter, outcome in ended:
            tell(letter, outcome)
        return drafts

    async def _drafted(
        self, db: AsyncSession, batch: Sequence[Claimed]
    ) -> tuple[list[tuple[Claimed, Draft]], list[tuple[Claimed, Outcome]]]:
        """The letters that can be written, and what became of the others."""
        drafts: list[tuple[Claimed, Draft]] = []
        ended: list[tuple[Claimed, Outcome]] = []
        for letter in batch:
            result = await draft(db, self.settings, letter)
            if isinstance(result, Draft):
                drafts.append((letter, result))
            else:
                ended.append((letter, result))
        refused = await refusals.among(db, [draft.recipient for _letter, draft in drafts])
        ended += [(letter, SUPPRESSED) for letter, draft in drafts if draft.recipient in refused]
        return [(letter, draft) for letter, draft in drafts if draft.recipient not in refused], ended

    async def _end(self, letter: Claimed, outcome: Outcome) -> None:
        async with self.database.direct(is_writing=True) as db:
            await outbox.finish(db, [(letter, outcome)])
            await db.commit()
        tell(letter, outcome)

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


async def draft(db: AsyncSession, settings: Settings, letter: Claimed) -> Draft | Outcome:
    """What a letter is to say, or what became of it instead. Raises only what the database raises."""
    if letter.crashes > outbox.CRASHES_ALLOWED:
        return Outcome(Verdict.NEVER, None, "given up: its mailer died of it again and again")
    if letter.expires <= now():
        return Outcome(Verdict.LATER, None, "given up: it was too late for it")
    try:
        with languages.use(letter.language):
            draft = await KINDS[letter.kind].write(db, settings, letter)
    except DBAPIError:
        raise
    except Exception as error:
        return _not_written(letter, error)
    if draft is None:
        return Outcome(Verdict.NOBODY)
    if letter.user_id is None and draft.user_id is not None:
        await outbox.belongs_to(db, letter, draft.user_id)
    return draft


def write(settings: Settings, templates: Environment, letter: Claimed, draft: Draft) -> Written | Outcome:
    """Writes a letter, or says that it could not be written."""
    try:
        return Written(letter, draft.recipient, compose(templates, settings, letter, draft))
    except Exception as error:
        return _not_written(letter, error)


def _not_written(letter: Claimed, error: Exception) -> Outcome:
    log.error("letter_not_written", exc_info=error, extra={"fields": {"letter": letter.id, "kind": letter.kind}})
    return Outcome(Verdict.LATER, None, f"not written: {type(error).__name__}")
