"""Takes what came back, and marks the address: it gets no optional emails until it is known to work again."""

import logging
from collections.abc import Iterable

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.bounces import providers, reports
from webapp.bounces.reports import Report
from webapp.delivery import return_paths
from webapp.logs import mask
from webapp.mail import refusals
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
        if address := return_paths.recipient(settings, paths, report.addresses):
            proved.append(Report(report.source, (address,), report.reason))
    return await _mark(db, proved)


async def take_event(db: AsyncSession, event: dict[str, object]) -> list[str]:
    """The same for a provider's event, whose sender has already been verified. Raises Unreadable."""
    return await _mark(db, providers.reports(event))


async def _mark(db: AsyncSession, found: list[Report]) -> list[str]:
    for report in found:
        reason = "".join(character for character in report.reason if character.isprintable())
        await refusals.mark(db, report.addresses[0].lower(), report.source, reason)
        log.warning("bounced", extra={"fields": {"source": report.source, "address": mask(report.addresses[0])}})
    return [mask(report.addresses[0]) for report in found]
