"""Addresses that programs know beforehand (RFC 8615): whom to tell of a weakness (RFC 9116)."""

from datetime import timedelta

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from webapp.database import now

# Always ahead: whoever kept a copy asks again in time. RFC 9116 wants less than a year.
KEPT = timedelta(days=180)


async def security_txt(request: Request) -> Response:
    """Whom to tell of a weakness of this site; 404 if nobody was named."""
    settings = request.app.state.settings
    if not settings.security_contact:
        raise HTTPException(404)
    expires = (now() + KEPT).replace(hour=0, minute=0, second=0, microsecond=0)
    lines = [
        f"Contact: {settings.security_contact}",
        f"Expires: {expires:%Y-%m-%dT%H:%M:%SZ}",
        f"Preferred-Languages: {', '.join(settings.languages)}",
        f"Canonical: {settings.base_url}{request.url.path}",
    ]
    return PlainTextResponse("".join(f"{line}\n" for line in lines))
