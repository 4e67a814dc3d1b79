"""What people are told when emails that guard their account were turned off."""

from datetime import timedelta
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.authentication.emails import A_SAMPLE_DAY, notice, told
from webapp.i18n import gettext as _
from webapp.mail.kinds import KINDS, Draft, email_kind
from webapp.mail.models import Claimed
from webapp.settings import Settings

A_SAMPLE = {"username": "susan", "about": "new_sign_in", "when": A_SAMPLE_DAY}


@email_kind(
    "emails_turned_off",
    expires_after=timedelta(days=5),
    samples=lambda site: [_draft(site, 0, "susan@example.com", A_SAMPLE)],
)
async def emails_turned_off(db: AsyncSession, settings: Settings, email: Claimed) -> Draft | None:
    """To a person whose emails about the safety of the account were turned off, whoever did it."""
    return _draft(settings, email.owner_id, email.recipient, await told(db, email, about=""))


def _draft(settings: Settings, user_id: int, address: str, details: dict[str, Any]) -> Draft:
    values = details | {
        "label": _(KINDS[details["about"]].label) if details["about"] in KINDS else "",
        "settings_link": f"{settings.base_url}/letters",
    }
    return notice(settings, "emails_turned_off", user_id, address, values)
