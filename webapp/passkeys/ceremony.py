"""What the site and a passkey say to each other (W3C WebAuthn level 3): the challenge, and whether the answer is right.

Passkeys know the site by the host of BASE_URL, never by what a request says. An answer for another host is refused
here, whatever the browser let through. None of the library's types leaves this module.
"""

import hashlib
import hmac
import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Any

from webapp import clock
from webapp.settings import Settings

LIFETIME_SECONDS = 600
ALGORITHMS = (-8, -7, -257)  # EdDSA, ES256, RS256 (the registry of COSE algorithms)
RANDOM_BYTES, MAC_BYTES = 24, 32


class PasskeyInvalid(Exception):
    """Not a passkey's answer to a recent challenge of ours."""


@dataclass(frozen=True)
class Made:
    """What is stored of a new passkey. `is_synced` is whether it is on more than one device."""

    credential_id: str
    public_key: str
    counter: int
    is_synced: bool


@dataclass(frozen=True)
class PasskeyAnswer:
    """Who answered, not yet verified: a passkey's id, and the account's handle as that passkey knows it."""

    credential_id: str
    handle: str
    sent: dict[str, Any]


@dataclass(frozen=True)
class Used:
    """A right answer: the challenge it was given to, and what the passkey now says of itself."""

    challenge: bytes
    counter: int
    is_synced: bool


def new_handle() -> str:
    """How passkeys know an account. Random, so that it tells its finder nothing (WebAuthn, 14.6.1)."""
    return _text(os.urandom(32))


def to_make(settings: Settings, about: str, handle: str, username: str, others: list[str]) -> str:
    """The options for making a passkey, as JSON; `others` are those the account already has, so none is added twice."""
    return json.dumps(
        {
            "challenge": _text(_challenge(settings, about)),
            "rp": {"id": settings.host, "name": settings.site_name},
            "user": {"id": handle, "name": username, "displayName": username},
            "pubKeyCredParams": [{"type": "public-key", "alg": number} for number in ALGORITHMS],
            "excludeCredentials": [{"type": "public-key", "id": other} for other in others],
            "authenticatorSelection": {"residentKey": "required", "userVerification": "required"},
            "attestation": "none",
            "timeout": LIFETIME_SECONDS * 1000,
        }
    )


def to_use(settings: Settings, about: str, only: list[str] | None = None) -> dict[str, Any]:
    """The options for using a passkey: any that the person has for this site, or `only` some.

    If none is named, nobody learns who has any.
    """
    return {
        "challenge": _text(_challenge(settings, about)),
        "rpId": settings.host,
        "allowCredentials": [{"type": "public-key", "id": each} for each in only or []],
        "userVerification": "required",
        "timeout": LIFETIME_SECONDS * 1000,
    }


def read(credential: str) -> PasskeyAnswer:
    """Who claims to have answered. Raises PasskeyInvalid for what no browser sends."""
    try:
        sent = json.loads(credential)
        answer = PasskeyAnswer(str(sent["rawId"]), str(sent["response"].get("userHandle") or ""), sent)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise PasskeyInvalid from None
    named = answer.credential_id + answer.handle
    if not (named.isascii() and named.isprintable()):  # no database can be asked for "\ud800", nor PostgreSQL for "\0"
        raise PasskeyInvalid
    return answer


def made(settings: Settings, about: str, credential: str) -> Made:
    """The passkey that was made for this. Raises PasskeyInvalid. Loads the library the first time."""
    server, answer = _server(settings), read(credential)
    challenge = _asked(settings, about, answer)
    try:
        data = server.register_complete(_state(challenge), answer.sent)
        key = data.credential_data
        if key.public_key[3] not in ALGORITHMS or _text(key.credential_id) != answer.credential_id:
            raise PasskeyInvalid
        return Made(answer.credential_id, _text(bytes(key)), data.counter, _is_synced(data))
    except Exception:  # for bytes that a stranger made up, the library raises all kinds of errors
        raise PasskeyInvalid from None


def used(settings: Settings, about: str, answer: PasskeyAnswer, public_key: str) -> Used:
    """The passkey's answer: given by this passkey, for this, just now, unlocked by its owner. Raises PasskeyInvalid."""
    from fido2.webauthn import AttestedCredentialData, AuthenticationResponse

    challenge = _asked(settings, about, answer)
    try:
        key = AttestedCredentialData(_bytes(public_key))
        _server(settings).authenticate_complete(_state(challenge), [key], answer.sent)
        data = AuthenticationResponse.from_dict(answer.sent).response.authenticator_data
        return Used(challenge, data.counter, _is_synced(data))
    except Exception:
        raise PasskeyInvalid from None


def _server(settings: Settings) -> Any:
    """The library. Loading takes 0.1 to 0.4 s and 4 to 19 MB, so that waits until somebody uses a passkey."""
    from fido2.server import Fido2Server
    from fido2.webauthn import PublicKeyCredentialRpEntity

    site = PublicKeyCredentialRpEntity(name=settings.site_name, id=settings.host)
    return Fido2Server(site, verify_origin=lambda origin: origin == settings.base_url)


def _state(challenge: bytes) -> dict[str, str]:
    return {"challenge": _text(challenge), "user_verification": "required"}


def _is_synced(data: Any) -> bool:
    return bool(data.flags & data.FLAG.BACKUP_STATE)


def _challenge(settings: Settings, about: str) -> bytes:
    """Random bytes, the time, and our signature over both and over what it is about: nothing has to be stored."""
    said = os.urandom(RANDOM_BYTES) + int(clock.seconds()).to_bytes(8)
    return said + _signature(settings.key("passkey"), about, said)


def _asked(settings: Settings, about: str, answer: PasskeyAnswer) -> bytes:
    """The challenge that was answered, if it is ours, for this, and not too old. Raises PasskeyInvalid."""
    try:
        client_data = json.loads(_bytes(answer.sent["response"]["clientDataJSON"]))
        challenge = _bytes(client_data["challenge"])
        is_embedded = client_data.get("crossOrigin", False)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise PasskeyInvalid from None
    said, signature = challenge[:-MAC_BYTES], challenge[-MAC_BYTES:]
    is_ours = any(hmac.compare_digest(signature, _signature(key, about, said)) for key in settings.keys("passkey"))
    if is_embedded or not is_ours or clock.seconds() > int.from_bytes(said[RANDOM_BYTES:]) + LIFETIME_SECONDS:
        raise PasskeyInvalid
    return challenge


def _signature(key: bytes, about: str, said: bytes) -> bytes:
    return hmac.digest(key, about.encode() + b"\0" + said, hashlib.sha256)


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
