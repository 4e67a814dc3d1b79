"""Encrypts secrets that the site itself must read again, so that a copy of the database alone is worth nothing.

AES-256-GCM (NIST SP 800-38D) under a key derived from SECRET_KEY, with a random nonce, bound to its purpose. What an
older key encrypted can be read as long as that key is among SECRET_KEY_FALLBACKS.
"""

import hashlib
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode

from webapp.settings import Settings

PURPOSE = "factor"
NONCE_BYTES = 12


class CannotDecrypt(Exception):
    """Encrypted with a key that the site no longer has, or for another purpose, or not by us."""


def mark(settings: Settings) -> str:
    """Identifies today's key, and reveals nothing of it."""
    return _mark(settings.key(PURPOSE))


def seal(settings: Settings, plain: str, about: str) -> str:
    """Encrypts a text. It can be read only with the same `about`."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # slow to import, and rarely needed

    nonce = os.urandom(NONCE_BYTES)
    sealed = AESGCM(settings.key(PURPOSE)).encrypt(nonce, plain.encode(), about.encode())
    return urlsafe_b64encode(nonce + sealed).decode()


def unseal(settings: Settings, sealed: str, about: str) -> str:
    """Decrypts a text. Raises CannotDecrypt."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        data = urlsafe_b64decode(sealed.encode("ascii"))
    except ValueError:
        raise CannotDecrypt from None
    for key in settings.keys(PURPOSE):
        try:
            return AESGCM(key).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], about.encode()).decode()
        except (InvalidTag, ValueError):
            continue
    raise CannotDecrypt


def _mark(key: bytes) -> str:
    return hashlib.sha256(b"mark of " + key).hexdigest()[:16]
