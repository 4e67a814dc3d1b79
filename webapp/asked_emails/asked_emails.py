"""What a visitor asked an email for, as part of the address of the page "Check your email".

It is signed, and holds only what this visitor typed or brought: it doesn't tell who has an account.
"""

import hashlib
import hmac
import json
import math
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from itsdangerous import BadSignature

from webapp import i18n, signing
from webapp.database import now
from webapp.i18n import gettext as _
from webapp.rate_limits import EMAILS
from webapp.settings import Settings

KEPT_SECONDS = 24 * 3600
WAIT_SECONDS = EMAILS.rates[0].seconds
# Can be asked for again without typing; a new address takes the password.
REPEATABLE = {"reset_password", "register", "app_link"}
# The page behind the link of each kind that carries a code beside it.
PAGES = {
    "reset_password": "reset_password",
    "register": "finish_registration",
    "confirm_email": "confirm_email",
    "app_link": "authenticator_app",
}

# Comes in the language of an account, if there is one, and not in that of the page.
OF_AN_ACCOUNT = {"reset_password", "factor_removal_link"}


@dataclass(frozen=True)
class Asked:
    """`recipient` is what was typed, in the form in which it is looked up; `typed` is exactly what was typed.

    `typed` is empty for an email to the address of the account `user_id`, whose link the visitor has followed. `id` is
    this request's own, and is in the outbox, too. `browser` is the mark of the browser that asked: the email's code
    works only there. For a new address, `change` is the request. For that, and `by_owner`, `epoch` is the account's.
    """

    kind: str
    recipient: str
    typed: str = ""
    user_id: int | None = None
    by_owner: bool = False
    id: str = ""
    browser: str = ""
    change: int = 0
    epoch: int = 0
    invite: int = 0

    @property
    def is_repeatable(self) -> bool:
        return self.kind in REPEATABLE

    @property
    def has_code(self) -> bool:
        return self.kind in PAGES


def subject(settings: Settings, kind: str) -> str:
    """What to look for in the mailbox, in the current language."""
    words = {
        "reset_password": _("Reset your password on %(site)s"),
        "factor_removal_link": _("Log in to %(site)s without your second step"),
        "app_link": _("Set up an authenticator app on %(site)s"),
        "register": _("Your registration on %(site)s"),
        "confirm_email": _("Your new email on %(site)s"),
    }
    return words[kind] % {"site": settings.site_name}


def other_subjects(settings: Settings, kind: str) -> list[tuple[str, str]]:
    """The other languages it may come in, and its subject there. The account decides, and the page can't say which."""
    if kind not in OF_AN_ACCOUNT:
        return []
    found = []
    for language in settings.languages:
        if language != i18n.current():
            with i18n.use(language):
                found.append((language, subject(settings, kind)))
    return found


def new_id() -> str:
    return secrets.token_hex(16)


def robot_id(settings: Settings) -> str:
    """The id of a robot's request. Only we can tell it from others; no email is written for it."""
    half = secrets.token_hex(8)
    return half + _second_half(settings.key("robots_id"), half)


def is_robot_id(settings: Settings, asked_id: str) -> bool:
    half, rest = asked_id[:16].encode(errors="replace"), asked_id[16:].encode(errors="replace")
    keys = settings.keys("robots_id")
    return any(hmac.compare_digest(_second_half(key, half.decode()).encode(), rest) for key in keys)


def mark(browser: str) -> str:
    """Represents the secret of a browser where others may read it."""
    return hashlib.sha256(browser.encode()).hexdigest()[:32]


def seal(settings: Settings, asked: Asked) -> str:
    """The request as part of an address, valid for a day. Not compressed, so its length says only how long the typed
    text was.
    """
    payload = urlsafe_b64encode(json.dumps(asdict(asked)).encode()).rstrip(b"=")
    return _signer(settings).sign(payload).decode()


def unseal(settings: Settings, token: str) -> tuple[Asked, datetime] | None:
    """What was asked for, and when; None if it isn't ours or is too old."""
    try:
        payload, asked_at = _signer(settings).unsign(token, max_age=KEPT_SECONDS, return_timestamp=True)
    except BadSignature:
        return None
    return Asked(**json.loads(urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))), asked_at.astimezone(UTC)


def seconds_until_again(asked_at: datetime) -> int:
    """How long until an email that was asked for at that time may be asked for again."""
    return max(0, math.ceil(WAIT_SECONDS - (now() - asked_at).total_seconds()))


def _second_half(key: bytes, half: str) -> str:
    return hmac.digest(key, half.encode(), hashlib.sha256).hex()[:16]


def _signer(settings: Settings) -> signing.Signer:
    return signing.signer(settings, "asked_email", "asked_email")
