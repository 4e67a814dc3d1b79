"""Emails to ADMINS about unexpected errors: each error once, and without anybody's secrets."""

import asyncio
import contextlib
import hashlib
import logging
import time
import traceback
from datetime import datetime

from sqlalchemy import text
from sqlmodel import Field, SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import i18n, mail, rate_limits
from webapp.database import Database, execute, now, refusals
from webapp.i18n import gettext as _
from webapp.i18n import ngettext
from webapp.logs import current_request, redact
from webapp.rate_limits import TooOften
from webapp.settings import Settings

log = logging.getLogger("webapp.alarms")

TRIED_EVERY = 2.0  # seconds between checks whether the database is back
LEFT_OVER = 5.0  # seconds in which requests still fail that began before the database was back


class ErrorReport(SQLModel, table=True):
    """One distinct error; `count` is how often it happened since the last email about it."""

    __tablename__ = "error_report"

    fingerprint: str = Field(primary_key=True, max_length=32)
    count: int = 0


class Alarms:
    """Tells ADMINS of unhandled exceptions, in its own transaction, and no more often than they can read."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings = settings
        self.database = database
        self._outage: asyncio.Task[None] | None = None
        self._back_at = float("-inf")

    @property
    def is_away(self) -> bool:
        """Whether a visitor or some work found no database, and it isn't back since."""
        return self._outage is not None and not self._outage.done()

    def stop(self) -> None:
        """Stops waiting for a database."""
        if self._outage:
            self._outage.cancel()

    async def report(self, error: Exception, place: str) -> None:
        """Counts the error, and posts an email if it is time for one. Never raises: the log has the error already.

        Its `place` is a route or, where there is no request, the work that was under way.
        """
        if refusals.is_away(error):
            return self.note_outage(error)
        if not self.settings.admins or not self.settings.sends_mail:
            return
        fingerprint = _fingerprint(error)
        try:
            async with self.database.session(is_writing=True) as db:
                count = await _count(db, fingerprint)
                await db.commit()
                await self._post(db, error, fingerprint, count, place)
                await db.commit()
        except TooOften:
            pass
        except Exception:
            log.exception("alarm_not_posted")

    def note_outage(self, error: Exception) -> None:
        """One line in the log and one email for everything that fails until the database is back; nothing can be posted
        before.
        """
        is_left_over = time.monotonic() < self._back_at + LEFT_OVER  # its connection is from before the outage
        if (self._outage is None or self._outage.done()) and not is_left_over:
            with i18n.use(self.settings.languages[0]):
                reason, check = _reason(error), refusals.what_to_check(error)
            log.error("database_away", extra={"fields": {"reason": reason, "check": check}})
            self._outage = asyncio.create_task(self._tell_when_back(reason, now()))

    async def _tell_when_back(self, reason: str, since: datetime) -> None:
        while not await self._is_back(reason, since):
            await asyncio.sleep(TRIED_EVERY)
        self._back_at = time.monotonic()
        log.warning("database_back", extra={"fields": {"seconds": _seconds(since)}})

    async def _is_back(self, reason: str, since: datetime) -> bool:
        """Whether it takes the email about the outage: on a full disk a smaller write may still find room."""
        try:
            await self.database.try_write(must_grow=True)
        except Exception:
            return False
        try:
            await self._tell_of_outage(reason, since)
        except Exception as error:
            if refusals.is_away(error):
                return False
            log.exception("alarm_not_posted")
        return True

    async def _tell_of_outage(self, reason: str, since: datetime) -> None:
        if not self.settings.admins or not self.settings.sends_mail:
            return
        with contextlib.suppress(TooOften):
            async with self.database.session(is_writing=True) as db:
                with i18n.use(self.settings.languages[0]):
                    await self._send(db, "database", _("The database could not be used"), _outage(reason, since))
                await db.commit()

    async def _post(self, db: AsyncSession, error: Exception, fingerprint: str, count: int, place: str) -> None:
        with i18n.use(self.settings.languages[0]):
            name = type(error).__name__
            facts = _facts(name, place, count)
            subject = _("%(error)s in %(route)s") % {"error": name, "route": place}
            await self._send(db, fingerprint, subject, f"{facts}\n\n{_trace(error, self.settings)}\n")
        await execute(
            db, text("UPDATE error_report SET count = 0 WHERE fingerprint = :fingerprint"), {"fingerprint": fingerprint}
        )

    async def _send(self, db: AsyncSession, about: str, subject: str, words: str) -> None:
        """Raises TooOften."""
        await rate_limits.count(db, self.settings, (rate_limits.ERROR_ALARM, about), (rate_limits.ERROR_ALARMS, "all"))
        subject = f"[{self.settings.site_name}] {subject}"
        await mail.send(db, self.settings, subject=subject, text=words, to=self.settings.admins, is_alarm=True)


def _seconds(since: datetime) -> int:
    return round((now() - since).total_seconds())


def _outage(reason: str, since: datetime) -> str:
    seconds = _seconds(since)
    lines = [
        _("What: %(what)s") % {"what": reason},
        _("Since: %(when)s UTC") % {"when": f"{since:%Y-%m-%d %H:%M:%S}"},
        ngettext("For: %(num)s second", "For: %(num)s seconds", seconds) % {"num": seconds},
        "",
        _("Visitors were asked to come back in a moment. It works again."),
    ]
    return "\n".join(lines) + "\n"


def _facts(name: str, place: str, count: int) -> str:
    request_id = current_request.get()
    lines = [
        _("What: %(what)s") % {"what": name},
        _("Where: %(route)s") % {"route": place},
        _("When: %(when)s UTC") % {"when": f"{now():%Y-%m-%d %H:%M:%S}"},
        *([_("Request: %(number)s") % {"number": request_id}] if request_id else []),
        _("How often since the last email about it: %(count)s") % {"count": count},
    ]
    return "\n".join(lines)


async def _count(db: AsyncSession, fingerprint: str) -> int:
    statement = text(
        "INSERT INTO error_report (fingerprint, count) VALUES (:fingerprint, 1)"
        " ON CONFLICT (fingerprint) DO UPDATE SET count = error_report.count + 1 RETURNING count"
    )
    return int((await execute(db, statement, {"fingerprint": fingerprint})).scalar_one())


def _reason(error: Exception) -> str:
    return redact(refusals.in_words(error))[:200]


def _fingerprint(error: Exception) -> str:
    """The same for the same error in the same place, whoever ran into it."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    place = "|".join(f"{frame.filename}:{frame.lineno}" for frame in frames)
    return hashlib.sha256(f"{type(error).__name__}|{place}".encode()).hexdigest()[:32]


def _trace(error: Exception, settings: Settings) -> str:
    """The traceback, without anything that opens something or names somebody."""
    trace = "".join(traceback.format_exception(error))
    for secret in (settings.secret_key, *settings.secret_key_fallbacks, settings.mail_password):
        if secret:
            trace = trace.replace(secret, "[cut]")
    return redact(trace)
