"""What a person had typed when their session ended or the site failed: it is back in the form when they open it again.

Somebody else who logs in next in that browser never sees it: a cookie says whose account was the last.
"""

import hashlib

from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.requests import Request
from starlette.responses import Response

from webapp import signing
from webapp.settings import Settings
from webapp.web import cookies

COOKIE = "draft"
ACCOUNT_COOKIE = "account"
KEPT_SECONDS = 900
ACCOUNT_SECONDS = 90 * 24 * 3600  # as long as a session
MOST_BYTES = 3800  # of a cookie; for anything longer there is the browser's Back
# Never kept: nobody should find these in a cookie, or in a form that somebody else opened.
SECRET = ("password", "code", "token", "key", "secret")


def belong_to(request: Request, response: Response, user_id: int) -> None:
    """Records who has logged in, so that what is kept later belongs to them."""
    account = _account(request.app.state.settings.key("draft"), user_id)
    cookies.write(request, response, ACCOUNT_COOKIE, account, ACCOUNT_SECONDS)


def last_account(request: Request) -> str:
    """Marks the account that was logged in last in this browser; "" if there was none."""
    return cookies.read(request, ACCOUNT_COOKIE)


def keep(request: Request, response: Response, path: str, values: dict[str, str]) -> bool:
    """Keeps what was typed into the form at a path, except passwords; returns whether there was anything to keep.

    It is for the person who logged in last in this browser, or for a stranger if nobody logs in meanwhile.
    """
    typed = {name: value for name, value in values.items() if value.strip() and not _is_secret(name)}
    whose = last_account(request)
    value = _serializer(request.app.state.settings).dumps([whose, path, typed]) if typed else ""
    if not value or len(value) > MOST_BYTES:
        return False
    cookies.write(request, response, COOKIE, value, KEPT_SECONDS)
    return True


def take(request: Request) -> dict[str, str]:
    """What the person had typed into the form of this page. The answer then deletes it."""
    cookie, user, settings = cookies.read(request, COOKIE), request.state.user, request.app.state.settings
    if not cookie:
        return {}
    try:
        whose, path, typed = _serializer(settings).loads(cookie, max_age=KEPT_SECONDS)
    except BadSignature:
        return {}
    keys = settings.keys("draft")
    owners = [_account(key, user.id) for key in keys] if user else [last_account(request)]
    if path != request.url.path or whose not in owners:
        return {}
    request.state.draft = typed
    return dict(typed)


def forget_shown(request: Request, response: Response) -> None:
    """Deletes what was kept, once it has been shown."""
    if getattr(request.state, "draft", None):
        forget(request, response)


def forget(request: Request, response: Response) -> None:
    """Deletes what was kept, when somebody logs out: strangers may come next."""
    cookies.delete(request, response, COOKIE)


def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in SECRET)


def _account(key: bytes, user_id: int) -> str:
    """Marks the account in a way that only the site can read."""
    return hashlib.blake2b(str(user_id).encode(), key=key, digest_size=16).hexdigest()


def _serializer(settings: Settings) -> URLSafeTimedSerializer:
    return signing.serializer(settings, "draft", "draft of")
