"""MAIL_HOURLY_BUDGET: how many emails may still leave this hour, and which."""

import logging
from datetime import timedelta

from webapp import i18n as languages
from webapp import rate_limits
from webapp.database import Database
from webapp.i18n import gettext as _
from webapp.i18n import ngettext
from webapp.mail import general, status
from webapp.mail.models import Priority
from webapp.settings import Settings

log = logging.getLogger("webapp.mail")

UNLIMITED = 1_000_000


async def left(settings: Settings, database: Database) -> dict[Priority, int]:
    """How many emails the site may still send this hour; tells ADMINS when there are none left."""
    budget = settings.mail_hourly_budget
    if not budget:
        return dict.fromkeys(Priority, UNLIMITED)
    async with database.session() as db:
        spent = await status.spent(db, within=timedelta(hours=1))
    left = shared(budget, spent)
    if not left[Priority.ASKED_BY_ANYBODY]:
        await _tell(settings, database, budget)
    elif not left[Priority.NEWCOMER]:
        await _tell(settings, database, budget, newcomers=spent[Priority.NEWCOMER])
    return left


def shared(budget: int, spent: dict[Priority, int]) -> dict[Priority, int]:
    """How much of the hour's budget each priority may still use.

    Notices may use half of it, emails to newcomers too, and both together three quarters. The last quarter is for
    people who have an account and are waiting for an email; half of that for those who surely are, because they asked
    in a session or in a browser the account is known by. A fifth of the notices' half is kept from those that can wait.
    """
    half = budget - budget // 2
    left = budget - sum(spent.values())
    by_anybody = left - max(0, budget // 8 - spent[Priority.WAITED_FOR])
    waited_for = spent[Priority.WAITED_FOR] + spent[Priority.ASKED_BY_ANYBODY]
    not_waited_for = min(by_anybody, left + waited_for - budget // 4)
    notices = half - spent[Priority.NOTICE] - spent[Priority.CAN_WAIT]
    room = {
        Priority.WAITED_FOR: left,
        Priority.ASKED_BY_ANYBODY: by_anybody,
        Priority.NEWCOMER: min(not_waited_for, half - spent[Priority.NEWCOMER]),
        Priority.NOTICE: min(not_waited_for, notices),
        Priority.CAN_WAIT: min(not_waited_for, notices - half // 5),
    }
    return {priority: max(0, min(left, most)) for priority, most in room.items()}


async def _tell(settings: Settings, database: Database, budget: int, newcomers: int = 0) -> None:
    """Tells ADMINS that the budget is used up; or, given a number of `newcomers`, that their part is."""
    async with database.session(is_writing=True) as db:
        times, _ends = await rate_limits.tally(
            db, settings, rate_limits.BUDGET_ALARM, "newcomers" if newcomers else "all"
        )
        if times > 1:
            return
        log.warning("mail_budget_spent", extra={"fields": {"budget": budget, "newcomers": newcomers}})
        if settings.admins:
            with languages.use(settings.languages[0]):
                said = _said(settings, budget, newcomers)
                to = settings.admins
                await general.send(db, settings, subject=said[0], text=said[1], to=to, is_alarm=True)
        await db.commit()


def _said(settings: Settings, budget: int, newcomers: int) -> tuple[str, str]:
    """The subject and text of the email to ADMINS."""
    happened = _(
        "This hour's emails are used up, or nearly: MAIL_HOURLY_BUDGET is %(count)s. The others wait; none is lost."
    ) % {"count": budget}
    if newcomers:
        happened = ngettext(
            "%(count)s registration email was sent within an hour. The others have to wait, so that the rest of"
            " MAIL_HOURLY_BUDGET is for people who have an account.",
            "%(count)s registration emails were sent within an hour. The others have to wait, so that the rest of"
            " MAIL_HOURLY_BUDGET is for people who have an account.",
            newcomers,
        ) % {"count": newcomers}
    advice = _("If you don't expect so many, somebody may be abusing the site:")
    subject = f"[{settings.site_name}] " + _("This hour's emails are used up")
    return subject, f"{happened}\n\n{advice}\n\n{settings.base_url}/admin/mail\n"
