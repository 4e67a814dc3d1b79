"""Is mail flowing? The answer in a sentence, for the operator's page and the command line."""

import hmac
import logging
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.database import Database, execute, execute_together, now
from webapp.i18n import decimal, ngettext
from webapp.i18n import gettext as _
from webapp.logs import mask, mask_all
from webapp.mail import refusals, status
from webapp.mail.status import Status
from webapp.settings import Settings

# Waiting longer than this without any known trouble means that nobody is sending.
STUCK_AFTER = timedelta(seconds=90)
MOST_SHOWN = 50
REMINDED_EVERY = 3600.0  # seconds

log = logging.getLogger("webapp.mail")


@dataclass(frozen=True)
class GivenUp:
    """An email that was not sent, as the admin may see it: the address is masked."""

    id: int
    kind: str
    recipient: str
    reason: str
    created_at: datetime
    finished_at: datetime


@dataclass(frozen=True)
class Unreachable:
    """An address that gets only urgent emails, as the admin may see it; `mark` stands for it in a form."""

    mark: str
    address: str
    reason: str
    since: datetime


async def failed(db: AsyncSession, settings: Settings) -> tuple[list[GivenUp], list[Unreachable]]:
    """Emails that were given up; and addresses that refuse emails, send them back, or whose owners complained. The
    newest first.
    """
    emails, addresses = await execute_together(db, {}, status.given_up(MOST_SHOWN), refusals.newest(MOST_SHOWN))
    return [_given_up(row) for row in emails], [_unreachable(settings, row) for row in addresses]


async def unreachable_address(db: AsyncSession, settings: Settings, mark: str) -> str | None:
    """The address that a mark stands for."""
    rows = await execute(db, refusals.newest(100_000))
    return next(
        (row.address for row in rows if hmac.compare_digest(_mark(settings, row.address).encode(), mark.encode())), None
    )


def _given_up(row: Any) -> GivenUp:
    return GivenUp(row.id, row.kind, mask(row.recipient or ""), _why(row), row.created_at, row.finished_at)


def _unreachable(settings: Settings, row: Any) -> Unreachable:
    return Unreachable(_mark(settings, row.address), mask(row.address), _why_unreachable(row), row.since)


def _mark(settings: Settings, address: str) -> str:
    return hmac.digest(settings.key("refused_address"), address.encode(), "sha256").hex()[:32]


def _why_unreachable(row: Any) -> str:
    words = {"bounce": _("An email came back."), "complaint": _("Its owner marked an email as spam.")}.get(
        row.source, _("The mail server refused it for good.")
    )
    return _with_answer(words, row)


def sentence(state: Status, settings: Settings) -> str:
    """Whether emails are leaving; if not, why and since when."""
    waiting = ngettext("%(count)s email waits", "%(count)s emails wait", state.waiting) % {"count": state.waiting}
    if not settings.sends_mail:
        return _("This site sends no email (MAILER=off).")
    if state.paused_at:
        words = _(
            "Paused since %(time)s; %(waiting)s. Nobody gets an email until you resume, and a link that somebody"
            " asks for is dropped after an hour."
        )
        return words % {"time": _clock(state.paused_at), "waiting": waiting}
    if state.trouble:
        code = f"{state.trouble.code} " if state.trouble.code else ""
        values = {"time": _clock(state.trouble.since), "reason": code + state.trouble.reason, "waiting": waiting}
        server = {"server": f"{settings.mail_server}:{settings.mail_port}"}
        return _("Email to %(server)s has stopped since %(time)s: %(reason)s; %(waiting)s.") % (values | server)
    if _is_stuck(state):
        words = _("%(waiting)s, the oldest since %(time)s. Is a mailer running?")
        return words % {"waiting": waiting, "time": _clock(state.oldest_waiting or now())}
    if state.median_seconds is None and state.given_up:
        words = ngettext(
            "No email was sent in the last hour, and %(count)s has failed: see below.",
            "No email was sent in the last hour, and %(count)s have failed: see below.",
            state.given_up,
        )
        return words % {"count": state.given_up}
    if state.median_seconds is None and state.waiting:
        return _("No email was sent in the last hour; %(waiting)s until it is tried again.") % {"waiting": waiting}
    if state.median_seconds is None:
        return _("All quiet: no email in the last hour, and none waiting.")
    seconds = decimal(max(state.median_seconds, 0.1))
    return _("Delivering normally: half of the last hour's emails left within %(seconds)s s.") % {"seconds": seconds}


def is_well(state: Status) -> bool:
    """Whether emails may leave, and a mailer takes them."""
    return not (state.paused_at or state.trouble or _is_stuck(state))


def _is_stuck(state: Status) -> bool:
    return state.overdue_since is not None and now() - state.overdue_since > STUCK_AFTER


def _why(row: Any) -> str:
    """Why an email was given up, in words."""
    words = {
        "expired": _("It couldn't be sent in time."),
        "suppressed": _("Its address was refused for good a short while ago."),
    }.get(row.state, _("The mail server refused it for good."))
    return _with_answer(words, row)


def _with_answer(words: str, row: Any) -> str:
    said = " ".join(str(part) for part in (row.code, mask_all(row.reason or "")) if part)
    return f"{words} ({said})" if said else words


def _clock(when: datetime) -> str:
    return f"{when:%H:%M} UTC" if now() - when < timedelta(hours=20) else f"{when:%Y-%m-%d %H:%M} UTC"


class PausedMail:
    """Says in the log now and then that the mail is still paused, since no email can."""

    name = "mail_status"

    def __init__(self, every: float = REMINDED_EVERY) -> None:
        self._every, self._next = every, 0.0

    async def run_batch(self, database: Database) -> bool:
        """Looks once; there is never more to do at once."""
        async with database.session() as db:
            state = await status.read(db)
        if state.paused_at and time.monotonic() >= self._next:
            self._next = time.monotonic() + self._every
            fields = {"since": _clock(state.paused_at), "waiting": state.waiting}
            log.warning("mail_still_paused", extra={"fields": fields})
        return False
