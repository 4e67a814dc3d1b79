"""What people are told about a change to their settings that somebody else may have made."""

from typing import Any

from webapp.accounts import known_browsers
from webapp.authentication.emails import A_SAMPLE_DAY, notice_kind
from webapp.names import usernames
from webapp.settings import Settings

A_SAMPLE = {"username": "susan", "before": "susanne", "when": A_SAMPLE_DAY}
NOTHING_ELSE = {"codes": 0, "passkeys": 0, "how": ""}
A_BROWSER = {"username": "susan", "when": A_SAMPLE_DAY, "browser": "Firefox/145.0 (Android 15)", **NOTHING_ELSE}
EVERYWHERE = A_BROWSER | {"is_everywhere": True}


@notice_kind("username_changed", A_SAMPLE, usual={"before": ""}, keeps=("before",))
def username_changed(_settings: Settings, details: dict[str, Any]) -> dict[str, Any]:
    """To a person whose username was changed."""
    return details | {"days": usernames.KEPT.days}


@notice_kind("profile_shown", {"username": "susan", "when": A_SAMPLE_DAY})
def profile_shown(settings: Settings, details: dict[str, Any]) -> dict[str, Any]:
    """To a person whose private profile was shown to people without an account."""
    return details | {"profile_link": f"{settings.base_url}/edit_profile"}


@notice_kind(
    "sessions_ended",
    EVERYWHERE | {"codes": 10, "passkeys": 2},
    EVERYWHERE,
    EVERYWHERE | {"how": "operator"},
    A_BROWSER | {"is_everywhere": False},
    usual=NOTHING_ELSE | {"browser": "", "is_everywhere": True},
    keeps=("codes", "passkeys", "is_everywhere"),
)
def sessions_ended(_settings: Settings, details: dict[str, Any]) -> dict[str, Any]:
    """To a person whose other sessions, one or all, were ended from one that may be a thief's; or all, by the admin."""
    return details | {"browser": known_browsers.described(details["browser"])}
