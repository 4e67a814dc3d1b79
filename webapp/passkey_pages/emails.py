"""What people are told about their passkeys, whoever changed them."""

from typing import Any

from webapp.authentication.emails import A_SAMPLE_DAY, notice_kind
from webapp.settings import Settings
from webapp.web.words import without_links

A_SAMPLE: dict[str, Any] = {"username": "susan", "when": A_SAMPLE_DAY, "name": "Android", "before": "Firefox"}
UNNAMED = {"name": "", "before": ""}


@notice_kind("passkey_added", A_SAMPLE, usual=UNNAMED, counts_repeats=False)
@notice_kind("passkey_renamed", A_SAMPLE, usual=UNNAMED, counts_repeats=False)
@notice_kind("passkey_removed", A_SAMPLE, usual=UNNAMED, counts_repeats=False)
def passkey_changed(settings: Settings, details: dict[str, Any]) -> dict[str, Any]:
    """To a person whose account has a new passkey, or whose passkey was renamed or removed."""
    names = {which: without_links(details[which]) for which in UNNAMED}  # a thief may have chosen them
    return details | names | {"passkeys_link": f"{settings.base_url}/passkeys"}
