"""MAIL_HOURLY_BUDGET: how many emails may still leave within the hour, and which of them."""

import logging
from datetime import timedelta

from webapp import i18n as languages
from webapp import rate_limits
from webapp.database import Database, now
from webapp.i18n import gettext as _
from webapp.i18n import ngettext
from webapp.mail import general, status
from webapp.mail.models import Priority
from webapp.rate_limits import TooOften
from webapp.settings import Settings

log = logging.getLogger("webapp.mail")

UNLIMITED = 1_000_000


async def left(settings: Settings, database: Database) -> dict[Priority, int]:
    """How many emails the site may still send this hour; tells the ADMINS when there are none."""
    budget = settings.mail_hourly_budget
    if not budget:
        return dict.fromkeys(Priority, UNLIMITED)
    async with database.session() as db:
        spent = await status.spent(db, since=now() - timedelta(hours=1))
    left = shared(budget, spent)
    if not left[Priority.WAITED_FOR]:
        await _tell(settings, database, budget)
    return left


def shared(budget: int, spent: dict[Priority, int]) -> dict[Priority, int]:
    """How much of the hour's budget each priority may still use.

    Half of it is for emails that somebody waits for alone; of the other half, a fifth is kept for notices.
    """
    share = budget - budget // 2
    notices = share - spent[Priority.NOTICE] - spent[Priority.CAN_WAIT]
    left = budget - sum(spent.values())
    room = {Priority.WAITED_FOR: left, Priority.NOTICE: notices, Priority.CAN_WAIT: notices - share // 5}
    return {priority: max(0, min(left, most)) for priority, most in room.items()}


async def _tell(settings: Settings, database: Database, budget: int) -> None:
    async with database.session(is_writing=True) as db:
        try:
            await rate_limits.count(db, settings, (rate_limits.BUDGET_ALARM, "all"))
        except TooOften:
            return
        log.warning("mail_budget_spent", extra={"fields": {"budget": budget}})
        if settings.admins:
            with languages.use(settings.languages[0]):
                said = _said(settings, budget)
                to = settings.admins
                await general.send(db, settings, subject=said[0], text=said[1], to=to, is_alarm=True)
        await db.commit()


def _said(settings: Settings, budget: int) -> tuple[str, str]:
    """The subject and the text that ADMINS get."""
    happened = ngettext(
        "%(count)s email left within an hour, which is MAIL_HOURLY_BUDGET. Further ones wait, and none is lost.",
        "%(count)s emails left within an hour, which is MAIL_HOURLY_BUDGET. Further ones wait, and none is lost.",
        budget,
    ) % {"count": budget}
    advice = _("If so many are not what you expect, somebody may be abusing the site:")
    subject = f"[{settings.site_name}] " + _("The hour's emails are spent")
    return subject, f"{happened}\n\n{advice}\n\n{settings.base_url}/admin/mail\n"
