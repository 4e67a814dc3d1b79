"""The JWT helper: links that are signed, expire, and serve one purpose each (RFC 7519, RFC 8725).

A token holds no state. What makes it single-use is the account's epoch, which the caller compares.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

import jwt

from webapp import clock
from webapp.accounts.models import User
from webapp.database import CLOCKS_DIFFER, LAST_ID
from webapp.settings import NOT_ME_HOURS, Settings

REGISTER_LIFETIME = timedelta(hours=24)
CONFIRM_LIFETIME = timedelta(hours=24)
INVITE_LIFETIME = timedelta(days=30)  # at most; its maker chooses
APP_LIFETIME = timedelta(hours=1)
NOT_ME_LIFETIME = timedelta(hours=NOT_ME_HOURS)
FROM_CODE = "recovery code"
ASKED = "asked"  # what a registration link is about that its owner asked for: without it, it is an invitation
_BY_INVITE = "invite "
FORM_GRACE = timedelta(minutes=5)  # to send a form that was opened while its link was good
# All our tokens begin the same way: {"alg":"HS256","typ":"JWT"}. No other header is ever looked at.
HEADER = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
SHAPE = HEADER + r"\.[A-Za-z0-9_-]{1,900}\.[A-Za-z0-9_-]{43}"
_SHAPE = re.compile(SHAPE)


class Purpose(StrEnum):
    """What a token is for. It determines the claim, the audience and the key, so no token passes for another kind."""

    RESET_PASSWORD = "reset_password"
    REGISTER = "register"
    CONFIRM_EMAIL = "confirm_email"
    UNDO_EMAIL = "undo_email"
    NOT_ME = "not_me"
    UNDO_DELETION = "undo_deletion"
    UNSUBSCRIBE = "unsubscribe"
    FACTOR_REMOVAL = "factor_removal"
    KEEP_FACTORS = "keep_factors"
    CHECKUP = "checkup"
    INVITE = "invite"
    ADD_APP = "add_app"


@dataclass(frozen=True)
class Claim:
    """What a token says: about whom (an id, or an address), in which epoch, until when (Unix seconds).

    `about` is the kind of email that the link stood in, and `to` the mark of the address that it was mailed to, for
    the purposes that need them.
    """

    subject: int | str
    epoch: int
    expires_at: int
    about: str = ""
    to: str = ""


class TokenInvalid(Exception):
    """The token is refused. `reason` picks the sentence to show; `minutes` is how long ago it expired."""

    reason = "mangled"
    minutes = 0


class TokenMalformed(TokenInvalid):
    """Incomplete, forged, or signed for something else."""


class TokenStale(TokenInvalid):
    """Ours, but no longer valid. `claim` is what it said."""

    def __init__(self, claim: Claim) -> None:
        super().__init__(self.reason)
        self.claim = claim


class TokenExpired(TokenStale):
    """Too old."""

    reason = "expired"

    def __init__(self, claim: Claim) -> None:
        super().__init__(claim)
        self.minutes = max(0, int(clock.seconds() - claim.expires_at)) // 60


class TokenUsed(TokenStale):
    """The account has changed since the token was made."""

    reason = "used"


class TokenClosed(TokenUsed):
    """The account is disabled, or being deleted."""

    reason = "closed"


class TokenGone(TokenStale):
    """What it was about has been deleted: the account, or what its owner had asked for."""

    reason = "gone"


def issue(
    settings: Settings,
    purpose: Purpose,
    subject: int | str,
    lifetime: timedelta,
    epoch: int = 0,
    about: str = "",
    to: str = "",
) -> str:
    """A token about `subject` for one purpose, valid from now on for the lifetime. `to` is the address that gets it."""
    issued = int(clock.seconds())
    to = to and _mark(to, settings.key("token.address"))
    payload = {
        purpose.value: subject,
        "epoch": epoch,
        "aud": purpose.value,
        "iat": issued,
        "exp": issued + int(lifetime.total_seconds()),
    }
    payload |= {name: text for name, text in (("about", about), ("to", to)) if text}
    return jwt.encode(payload, settings.key(f"token.{purpose}"), algorithm="HS256")


def stamp(settings: Settings, token: str) -> str:
    """A signed time for the form behind a link: when it was opened, so that the form may be sent a little late."""
    opened_at = str(int(clock.seconds()))
    return f"{opened_at}.{_stamp_of(settings.key('form_stamp'), opened_at, token)}"


def verify(settings: Settings, purpose: Purpose, token: str, opened: str = "") -> Claim:
    """What a token says, if we signed it for this purpose.

    Raises TokenExpired or TokenMalformed. The caller finds out by the epoch whether it was used.
    With the stamp of a form that was `opened` in time, the token may be up to FORM_GRACE late.
    """
    claim, expired = read(settings, purpose, token, opened)
    if expired:
        raise expired
    return claim


def read(settings: Settings, purpose: Purpose, token: str, opened: str = "") -> tuple[Claim, TokenExpired | None]:
    """The same, but an expired token is read, too: what became of its account is told first."""
    if not _SHAPE.fullmatch(token):
        raise TokenMalformed
    payload = _payload(settings, purpose, token)
    said = (payload[purpose.value], payload["epoch"], payload["exp"], payload.get("about", ""), payload.get("to", ""))
    issued, wanted = payload["iat"], str if purpose is Purpose.REGISTER else int
    types = tuple(map(type, (*said, issued)))
    if types != (wanted, int, int, str, str, int) or (wanted is int and not 0 <= said[0] <= LAST_ID):
        raise TokenMalformed
    claim = Claim(*said)
    if purpose is Purpose.RESET_PASSWORD and issued > clock.seconds() + CLOCKS_DIFFER.total_seconds():
        return claim, TokenExpired(claim)  # issued by a clock that was ahead, so it would work for too long
    is_late = clock.seconds() >= claim.expires_at and not _was_open(settings, token, opened, claim.expires_at)
    return claim, TokenExpired(claim) if is_late else None


def _was_open(settings: Settings, token: str, opened: str, expires_at: int) -> bool:
    """Whether the form was opened while the link worked, and is sent soon enough."""
    opened_at, _dot, signature = opened.partition(".")
    if not (opened.isascii() and opened_at.isdecimal() and len(opened_at) < 12 and int(opened_at) < expires_at):
        return False
    keys = settings.keys("form_stamp")
    is_ours = any(hmac.compare_digest(signature, _stamp_of(key, opened_at, token)) for key in keys)
    return is_ours and clock.seconds() < expires_at + FORM_GRACE.total_seconds()


def _stamp_of(key: bytes, opened_at: str, token: str) -> str:
    return hmac.digest(key, f"{opened_at}.{token}".encode(), hashlib.sha256).hex()


def reset_link(settings: Settings, user: User, about: str = "") -> str:
    """The link to the form that sets a new password, valid from now for RESET_TOKEN_MINUTES.

    If a recovery code led to it, it is about FROM_CODE: no other code can then stand in for the second factor.
    """
    lifetime = timedelta(minutes=settings.reset_token_minutes)
    token = issue(settings, Purpose.RESET_PASSWORD, user.id, lifetime, user.epoch, about)
    return f"{settings.base_url}/reset_password/{token}"


def not_me_link(settings: Settings, user_id: int, kind: str, address: str) -> str:
    """The link in every security email. No change of the account disables it, since it gives control back.

    It names the address it was sent to. Links sent to a thief's address become void once the address is changed back.
    """
    token = issue(settings, Purpose.NOT_ME, user_id, NOT_ME_LIFETIME, about=kind, to=address)
    return f"{settings.base_url}/not_me/{token}"


def app_link(settings: Settings, user_id: int, epoch: int) -> str:
    """The link to the page that sets up an authenticator app, for a browser that is logged in to that account."""
    token = issue(settings, Purpose.ADD_APP, user_id, APP_LIFETIME, epoch)
    return f"{settings.base_url}/authenticator_app/{token}"


def was_mailed_to(settings: Settings, claim: Claim, address: str) -> bool:
    return claim.to in {_mark(address, key) for key in settings.keys("token.address")}


def by_invite(invite_id: int) -> str:
    """What a registration link is about: the member's invitation that led to it, or nothing."""
    return f"{_BY_INVITE}{invite_id}" if invite_id else ""


def invite_in(about: str) -> int:
    """The member's invitation that a registration link is about; 0 if there is none."""
    return int(about.removeprefix(_BY_INVITE)) if about.startswith(_BY_INVITE) else 0


def register_link(settings: Settings, address: str, about: str = "") -> str:
    """The link that proves a mailbox and leads to the form for a username and a password. Unless it is about something
    else, it is an invitation.
    """
    token = issue(settings, Purpose.REGISTER, address, REGISTER_LIFETIME, about=about)
    return f"{settings.base_url}/register/{token}"


def _mark(address: str, key: bytes) -> str:
    return hashlib.blake2b(address.encode(), key=key, digest_size=12).hexdigest()


def _payload(settings: Settings, purpose: Purpose, token: str) -> dict[str, Any]:
    # Time is compared by `verify`, which needs the claim of an expired token too.
    required = [purpose.value, "epoch", "aud", "iat", "exp"]
    options: Any = {"require": required, "verify_exp": False, "verify_iat": False}
    for key in settings.keys(f"token.{purpose}"):
        try:
            return jwt.decode(token, key, algorithms=["HS256"], audience=purpose.value, options=options)
        except jwt.InvalidSignatureError:
            continue
        except (jwt.PyJWTError, ValueError):
            break
    raise TokenMalformed
