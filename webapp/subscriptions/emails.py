"""What people are told when emails that guard their account were turned off."""

from typing import Any

from webapp.authentication.emails import A_SAMPLE_DAY, notice_kind
from webapp.i18n import gettext as _
from webapp.mail.kinds import KINDS
from webapp.settings import Settings

A_SAMPLE = {"username": "susan", "about": "new_sign_in", "when": A_SAMPLE_DAY}


@notice_kind("emails_turned_off", A_SAMPLE, usual={"about": ""})
def emails_turned_off(settings: Settings, details: dict[str, Any]) -> dict[str, Any]:
    """To a person whose emails about the safety of the account were turned off."""
    label = _(KINDS[details["about"]].label) if details["about"] in KINDS else ""
    return details | {"label": label, "settings_link": f"{settings.base_url}/letters"}
