"""Whom to tell of a weakness of this site (RFC 9116)."""

from datetime import timedelta

from webapp.database import now
from webapp.settings import Settings

# Always ahead: whoever kept a copy asks again in time. RFC 9116 wants less than a year.
KEPT = timedelta(days=180)


def lines(settings: Settings, path: str) -> list[str]:
    """The lines of the file that stands at this path of the site."""
    expires_at = (now() + KEPT).replace(hour=0, minute=0, second=0, microsecond=0)
    return [
        f"Contact: {settings.security_contact}",
        f"Expires: {expires_at:%Y-%m-%dT%H:%M:%SZ}",
        f"Preferred-Languages: {', '.join(settings.languages)}",
        f"Canonical: {settings.base_url}{path}",
    ]
