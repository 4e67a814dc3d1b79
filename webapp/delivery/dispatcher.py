"""Claims and writes due emails for the mailer's workers, as many as may leave now."""

import asyncio
import logging
import os
import socket
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

from jinja2 import Environment
from sqlalchemy.exc import DBAPIError
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import i18n as languages
from webapp.accounts import users
from webapp.accounts.models import User
from webapp.database import Database, now
from webapp.database.hot import Transaction
from webapp.database.refusals import is_away
from webapp.delivery import budget
from webapp.delivery.finishing import tell
from webapp.delivery.pace import Pace, mend_times, prolong_leases, steady
from webapp.logs import Report
from webapp.mail import outbox, refusals
from webapp.mail.kinds import KINDS, Draft
from webapp.mail.mime import compose
from webapp.mail.models import Claimed, Outcome, Priority, Verdict
from webapp.settings import Settings

log = logging.getLogger("webapp.mail")

BATCH = 50
DRAFTED_AT_ONCE = 10
ALARM = "alarm"  # the kind that tells ADMINS; if it breaks, another would break, too
TIDY_SECONDS = 600.0
CLOCK_JUMPED = 30.0  # seconds: how far a clock must jump, or stand still with its machine, to upset the leases

SUPPRESSED = Outcome(Verdict.SUPPRESSED, None, "this address was refused for good within the last day")
NOT_WRITTEN = Outcome(Verdict.LATER, None, "not written: the database refused")


class Written(NamedTuple):
    """A claimed email with its bytes. `seconds` is how long writing it took; `looked_up_at` is monotonic time."""

    email: Claimed
    recipient: str
    message: bytes
    seconds: float
    is_marked: bool = False  # as an address that was refused
    looked_up_at: float = 0.0


class Drafted(NamedTuple):
    """A claimed email and what it will say; `is_marked` if its address was refused before."""

    email: Claimed
    draft: Draft
    is_marked: bool


class Dispatcher:
    """Claims and writes emails for one mailer."""

    def __init__(
        self, settings: Settings, database: Database, templates: Environment, report: Report, pace: Pace
    ) -> None:
        self.pace = pace
        self.report = report
        self.settings = settings
        self.database = database
        self.templates = templates
        self._tidy_at = 0.0
        self._steady = steady()

    @cached_property
    def mailer(self) -> str:
        """The name under which it claims, made in the process that does: a site is made before its workers are."""
        return f"{socket.gethostname()[:30]}:{os.getpid()}:{uuid.uuid4().hex[:6]}"

    async def claim(self, most: int) -> list[Claimed]:
        """Claims up to `most` emails that may leave now, starting with those that somebody is waiting for."""
        await self._tidy()
        left, batch = await budget.left(self.settings, self.database), list[Claimed]()
        async with self.database.direct(is_writing=True) as db:
            for priority in Priority:
                if (room := min(most, left[priority]) - len(batch)) > 0:
                    batch += await outbox.claim(db, self.mailer, room, priority, self.pace.lease)
            if not batch and not left[Priority.NOTICE]:
                batch = await outbox.claim_alarm(db, self.mailer, self.pace.lease)
            return await self._keep(db, batch)

    async def claim_suspect(self) -> list[Claimed]:
        """Claims an email that mailers died with, if there is one. Nothing else may be in hand, as it could be
        harmed.
        """
        async with self.database.direct(is_writing=True) as db:
            batch = await outbox.claim_suspect(db, self.mailer, self.pace.lease)
            return await self._keep(db, batch)

    async def _keep(self, db: Transaction, batch: list[Claimed]) -> list[Claimed]:
        """What was claimed; nothing if the clock was set meanwhile, so that leases only seemed to be over."""
        if abs(steady() - self._steady) > CLOCK_JUMPED:
            return []
        await db.commit()
        return batch

    async def write(self, batch: Sequence[Claimed]) -> AsyncIterator[Written]:
        """Yields the emails that have a recipient, each as soon as it is written.

        A few are looked up at once, and none is written while the database waits. Others get their turn in between.
        """
        for start in range(0, len(batch), DRAFTED_AT_ONCE):
            looked_up_at = time.monotonic()
            for email, draft, is_marked in await self._drafts(batch[start : start + DRAFTED_AT_ONCE]):
                written = write(self.settings, self.templates, email, draft)
                if isinstance(written, Written):
                    yield written._replace(is_marked=is_marked, looked_up_at=looked_up_at)
                else:
                    await self._end(email, written)
                await asyncio.sleep(0)

    async def up_to_date(self, written: Written) -> Written | None:
        """The email, looked up again if it has waited long behind a slow server: what it tells of may be gone by now,
        or not be wanted any more. None if it isn't to be sent.
        """
        if time.monotonic() - written.looked_up_at < self.pace.fresh:
            return written
        return next(iter([again async for again in self.write([written.email])]), None)

    async def _drafts(self, batch: Sequence[Claimed]) -> list[Drafted]:
        """Looks up what emails will say, in one transaction; if one of them breaks it, in one each."""
        try:
            async with self.database.session(is_writing=True) as db:
                drafts, ended = await self._drafted(db, batch)
                await outbox.finish(db, ended, self.pace.retries)
                await db.commit()
        except DBAPIError as error:
            if len(batch) > 1:
                return [draft for email in batch for draft in await self._drafts([email])]
            await self._end(batch[0], replace(NOT_WRITTEN, error=error))
            return []
        for email, outcome in ended:
            await self._tell(email, outcome)
        return drafts

    async def _drafted(
        self, db: AsyncSession, batch: Sequence[Claimed]
    ) -> tuple[list[Drafted], list[tuple[Claimed, Outcome]]]:
        """The emails that can be written, and what became of the others."""
        drafts: list[tuple[Claimed, Draft]] = []
        ended: list[tuple[Claimed, Outcome]] = []
        for email in batch:
            result = await draft(db, self.settings, email)
            if isinstance(result, Draft):
                drafts.append((email, result))
            else:
                ended.append((email, result))
        await outbox.belong(db, [(email, draft.user_id) for email, draft in drafts if draft.user_id])
        refused = await refusals.among(db, [draft.recipient for _email, draft in drafts])
        drafted = [Drafted(email, draft, draft.recipient in refused) for email, draft in drafts]
        suppressed = [one for one in drafted if one.is_marked and one.email.priority == Priority.CAN_WAIT]
        ended += [(one.email, SUPPRESSED) for one in suppressed]
        return [one for one in drafted if one not in suppressed], ended

    async def _end(self, email: Claimed, outcome: Outcome) -> None:
        async with self.database.direct(is_writing=True) as db:
            await outbox.finish(db, [(email, outcome)], self.pace.retries)
            await db.commit()
        await self._tell(email, outcome)

    async def _tell(self, email: Claimed, outcome: Outcome) -> None:
        tell(email, outcome)
        if outcome.error and email.kind != ALARM:
            await self.report(outcome.error, f"email {email.kind}")

    async def _tidy(self) -> None:
        """Now and then checks the clock."""
        seen = steady()
        if time.monotonic() < self._tidy_at and abs(seen - self._steady) < CLOCK_JUMPED:
            return
        async with self.database.session(is_writing=True) as db:
            if seen - self._steady > CLOCK_JUMPED:
                await prolong_leases(db)
            if count := await mend_times(db):
                log.warning("clock_was_ahead", extra={"fields": {"emails": count}})
            await db.commit()
        self._steady, self._tidy_at = seen, time.monotonic() + TIDY_SECONDS


async def draft(db: AsyncSession, settings: Settings, email: Claimed) -> Draft | Outcome:
    """What an email will say, or what became of it instead. Raises only database errors."""
    if email.crashes > outbox.CRASHES_ALLOWED:
        return Outcome(Verdict.NEVER, None, "given up: its mailer died of it again and again")
    if email.expires_at <= now():
        return Outcome(Verdict.LATER, None, "given up: it was too late for it")
    try:
        # Held here, or the session would forget who it is, and the writer look it up again.
        reader = await users.get(db, email.user_id) if email.user_id else None
        with languages.use(_language(settings, reader, email), is_typeset=True):
            draft = await KINDS[email.kind].write(db, settings, email)
    except Exception as error:
        if isinstance(error, DBAPIError) or is_away(error):
            raise
        return _not_written(email, error)
    if draft is None:
        return Outcome(Verdict.NOBODY)
    if draft.message is not None:
        return draft  # written already, in the language that the row says
    if draft.language:
        return replace(draft, language=languages.pick(settings.languages, [draft.language]))
    if draft.user_id not in {None, email.user_id}:
        reader = await users.get(db, draft.user_id)
    return replace(draft, language=_language(settings, reader, email))


def _language(settings: Settings, reader: User | None, email: Claimed) -> str:
    """The reader's current language, or for a warning the one that they are warned in; for strangers, that of the page
    on which the email was asked for. If the site no longer has it, its first.
    """
    if reader is None:
        return languages.pick(settings.languages, [email.language])
    is_warning = KINDS[email.kind].is_warning
    return languages.pick(settings.languages, [reader.warned_in if is_warning else reader.language])


def write(settings: Settings, templates: Environment, email: Claimed, draft: Draft) -> Written | Outcome:
    """Writes an email, or says that it couldn't be written."""
    began = time.thread_time()
    try:
        message = compose(templates, settings, email, draft)
        email = replace(email, user_id=draft.user_id or email.user_id)  # as its row says by now
        return Written(email, draft.recipient, message, time.thread_time() - began)
    except Exception as error:
        return _not_written(email, error)


def _not_written(email: Claimed, error: Exception) -> Outcome:
    log.error("letter_not_written", exc_info=error, extra={"fields": {"letter": email.id, "kind": email.kind}})
    return Outcome(Verdict.LATER, None, f"not written: {type(error).__name__}", error=error)
