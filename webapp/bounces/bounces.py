"""Takes what came back, and marks the address: it gets no optional emails until it is known to work again."""

import logging
from collections.abc import Iterable

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import rate_limits
from webapp.bounces import providers, reports
from webapp.bounces.reports import BounceReport
from webapp.logs import mask, printable
from webapp.mail import refusals
from webapp.replies import return_paths
from webapp.settings import Settings

log = logging.getLogger("webapp.mail")


async def take_message(db: AsyncSession, settings: Settings, raw: bytes, to: Iterable[str] = ()) -> list[str]:
    """Marks the addresses whose email came back; returns them, masked.

    Anybody can write such a message. So it counts only for an address that was sent an email with the very return path
    the message came to. `to` are addresses that it came to and that are not in its headers.
    """
    message = reports.parse(raw)
    paths = [*to, *reports.return_paths(message)]
    proved = []
    for report in reports.read(message):
        if sent := return_paths.sent(settings, paths, report.addresses):
            sent_by = reports.sent_by(raw, sent.day)
            proved.append(BounceReport(report.source, (sent.recipient,), report.reason, sent_by))
    return await _mark(db, settings, proved)


async def take_event(db: AsyncSession, settings: Settings, event: dict[str, object]) -> list[str]:
    """The same for a provider's event, whose sender has already been verified. Raises UnknownReport."""
    return await _mark(db, settings, providers.reports(event))


async def is_new(db: AsyncSession, settings: Settings, event: dict[str, object]) -> bool:
    """Whether this signature is here for the first time. It doesn't cover the event, so it must not vouch for
    another.
    """
    times, _ends = await rate_limits.tally(db, settings, rate_limits.SIGNED_EVENT, providers.signature(event))
    return times == 1


async def _mark(db: AsyncSession, settings: Settings, found: list[BounceReport]) -> list[str]:
    news = [report for report in found if await _is_news(db, settings, report)]
    for report in news:
        await refusals.mark(db, report.addresses[0].lower(), report.source, printable(report.reason))
        log.warning("bounced", extra={"fields": {"source": report.source, "address": mask(report.addresses[0])}})
    return [mask(report.addresses[0]) for report in news]


async def _is_news(db: AsyncSession, settings: Settings, report: BounceReport) -> bool:
    """Whether the email was, or may have been, sent after the address was last shown to work."""
    works_since = await refusals.works_since(db, settings, report.addresses[0].lower())
    return works_since is None or report.sent_by is None or report.sent_by > works_since
