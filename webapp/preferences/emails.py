"""What a person is told of a change in their settings that somebody else may have made."""

from datetime import datetime, timedelta
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts import usernames
from webapp.accounts.tokens import not_me_link
from webapp.authentication.emails import A_SAMPLE_DAY
from webapp.mail.kinds import Draft, email_kind
from webapp.mail.models import Claimed
from webapp.settings import Settings

A_SAMPLE = {"username": "susan", "before": "susanne", "when": A_SAMPLE_DAY.isoformat()}


@email_kind(
    "username_changed",
    expires_after=timedelta(days=5),
    samples=lambda site: [_draft(site, 0, "susan@example.com", A_SAMPLE)],
)
async def username_changed(db: AsyncSession, settings: Settings, email: Claimed) -> Draft | None:
    """To a person whose username was changed, whoever did it."""
    assert email.user_id is not None
    return _draft(settings, email.user_id, email.recipient, email.parameters)


@email_kind(
    "sessions_ended",
    expires_after=timedelta(days=5),
    samples=lambda site: [
        _sessions_ended_draft(site, 0, "susan@example.com", A_SAMPLE | {"codes": codes}) for codes in (0, 10)
    ],
)
async def sessions_ended(db: AsyncSession, settings: Settings, email: Claimed) -> Draft | None:
    """To a person who was logged out everywhere but in one browser, whoever did it."""
    assert email.user_id is not None
    return _sessions_ended_draft(settings, email.user_id, email.recipient, email.parameters)


def _sessions_ended_draft(settings: Settings, user_id: int, address: str, details: dict[str, Any]) -> Draft:
    values = details | {
        "when": datetime.fromisoformat(details["when"]),
        "codes_link": f"{settings.base_url}/recovery_codes",
        "not_me_link": not_me_link(settings, user_id, "sessions_ended", address),
    }
    return Draft("sessions_ended", address, values, user_id)


def _draft(settings: Settings, user_id: int, address: str, details: dict[str, Any]) -> Draft:
    values = details | {
        "when": datetime.fromisoformat(details["when"]),
        "days": usernames.KEPT.days,
        "not_me_link": not_me_link(settings, user_id, "username_changed", address),
    }
    return Draft("username_changed", address, values, user_id)
