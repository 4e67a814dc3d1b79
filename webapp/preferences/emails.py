"""What people are told about a change to their settings that somebody else may have made."""

from datetime import timedelta
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts import known_browsers
from webapp.authentication.emails import A_SAMPLE_DAY, notice, told
from webapp.mail.kinds import Draft, email_kind
from webapp.mail.models import Claimed
from webapp.names import usernames
from webapp.settings import Settings

A_SAMPLE = {"username": "susan", "before": "susanne", "when": A_SAMPLE_DAY}
A_BROWSER = {"username": "susan", "when": A_SAMPLE_DAY, "browser": "Firefox/145.0 (Android 15)", "is_everywhere": False}
EVERYWHERE = {"is_everywhere": True, "codes": 10}


@email_kind(
    "username_changed",
    expires_after=timedelta(days=5),
    keeps=("before",),
    samples=lambda site: [_draft(site, 0, "susan@example.com", A_SAMPLE)],
)
async def username_changed(db: AsyncSession, settings: Settings, email: Claimed) -> Draft | None:
    """To a person whose username was changed, whoever did it."""
    return _draft(settings, email.owner_id, email.recipient, await told(db, email, before=""))


@email_kind(
    "sessions_ended",
    expires_after=timedelta(days=5),
    keeps=("codes", "is_everywhere"),
    samples=lambda site: [
        _sessions_ended_draft(site, 0, "susan@example.com", A_BROWSER | more)
        for more in (EVERYWHERE, {"is_everywhere": True, "codes": 0}, {"codes": 0})
    ],
)
async def sessions_ended(db: AsyncSession, settings: Settings, email: Claimed) -> Draft | None:
    """To a person whose other sessions, one or all, were ended from one that may be a thief's."""
    details = await told(db, email, codes=0, browser="", is_everywhere=True)
    return _sessions_ended_draft(settings, email.owner_id, email.recipient, details)


def _sessions_ended_draft(settings: Settings, user_id: int, address: str, details: dict[str, Any]) -> Draft:
    values = details | {
        "browser": known_browsers.described(details["browser"]),
        "codes_link": f"{settings.base_url}/recovery_codes",
    }
    return notice(settings, "sessions_ended", user_id, address, values)


def _draft(settings: Settings, user_id: int, address: str, details: dict[str, Any]) -> Draft:
    return notice(settings, "username_changed", user_id, address, details | {"days": usernames.KEPT.days})
