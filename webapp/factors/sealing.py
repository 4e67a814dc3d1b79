"""Secrets that the site itself must read again, encrypted: a copy of the database alone is worth nothing.

AES-256-GCM (NIST SP 800-38D) under a key derived from SECRET_KEY, with a random nonce, bound to what it is for. What an
older key has sealed opens as long as that key is among SECRET_KEY_FALLBACKS.
"""

import hashlib
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode

from webapp.settings import Settings

PURPOSE = "factor"
NONCE_BYTES = 12


class Unreadable(Exception):
    """Sealed with a key that the site no longer has, for something else, or not by us."""


def mark(settings: Settings) -> str:
    """Tells which key seals at the moment, and nothing of the key."""
    return _mark(settings.key(PURPOSE))


def seal(settings: Settings, plain: str, about: str) -> str:
    """The encrypted text; it opens only with the same `about`."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # slow to import, and few need it

    nonce = os.urandom(NONCE_BYTES)
    sealed = AESGCM(settings.key(PURPOSE)).encrypt(nonce, plain.encode(), about.encode())
    return urlsafe_b64encode(nonce + sealed).decode()


def unseal(settings: Settings, sealed: str, about: str) -> str:
    """The plain text. Raises Unreadable."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        data = urlsafe_b64decode(sealed.encode("ascii"))
    except ValueError:
        raise Unreadable from None
    for key in settings.keys(PURPOSE):
        try:
            return AESGCM(key).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], about.encode()).decode()
        except (InvalidTag, ValueError):
            continue
    raise Unreadable


def _mark(key: bytes) -> str:
    return hashlib.sha256(b"mark of " + key).hexdigest()[:16]
