"""What a person had typed when their session ended: it comes back in the form after they have logged in again."""

import hashlib

from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.requests import Request
from starlette.responses import Response

from webapp.settings import Settings
from webapp.web import cookies

COOKIE = "draft"
KEPT_SECONDS = 900
MOST_BYTES = 3800  # of a cookie; what is longer is still behind the browser's Back
# What nobody should find in a cookie, or in a form that somebody else has opened.
SECRET = ("password", "code", "token", "key", "secret")


def keep(request: Request, response: Response, path: str, values: dict[str, str]) -> bool:
    """Keeps what was typed into the form at a path, but no password; whether there was anything to keep."""
    typed = {name: value for name, value in values.items() if value.strip() and not _is_secret(name)}
    value = _serializer(request.app.state.settings).dumps([path, typed]) if typed else ""
    if not typed or len(value) > MOST_BYTES:
        return False
    cookies.write(request, response, COOKIE, value, KEPT_SECONDS)
    return True


def take(request: Request) -> dict[str, str]:
    """What was typed into the form of the page that is asked for; the answer then forgets it."""
    cookie = cookies.read(request, COOKIE)
    try:
        path, typed = (
            _serializer(request.app.state.settings).loads(cookie, max_age=KEPT_SECONDS) if cookie else ("", {})
        )
    except BadSignature:
        return {}
    if path != request.url.path:
        return {}
    request.state.draft = typed
    return dict(typed)


def forget(request: Request, response: Response) -> None:
    """Once it has been shown."""
    if getattr(request.state, "draft", None):
        cookies.delete(request, response, COOKIE)


def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in SECRET)


def _serializer(settings: Settings) -> URLSafeTimedSerializer:
    keys = [key.hex() for key in reversed(settings.keys("draft"))]
    return URLSafeTimedSerializer(keys, salt="draft", signer_kwargs={"digest_method": hashlib.sha256})
