"""What is signed and comes back after a while, perhaps to another machine of the site (itsdangerous); and what is
encrypted, so that a copy of the database alone is worth nothing (AES-256-GCM, NIST SP 800-38D).
"""

import hashlib
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from itsdangerous import SignatureExpired, TimestampSigner, URLSafeTimedSerializer

from webapp import clock
from webapp.clock import CLOCKS_DIFFER, now
from webapp.settings import Settings


class Signer(TimestampSigner):
    """Takes what a machine has signed whose clock is ahead. To itsdangerous, even a second makes it too old."""

    def get_timestamp(self) -> int:
        """When it is signed, by the clock that the site's machines share."""
        return int(clock.seconds())

    def unsign(self, signed_value: str | bytes, max_age: int | None = None, return_timestamp: bool = False) -> Any:
        value, signed_at = super().unsign(signed_value, return_timestamp=True)
        age = now() - signed_at
        if max_age is not None and not -CLOCKS_DIFFER <= age <= timedelta(seconds=max_age):
            raise SignatureExpired(f"signed {age} ago", payload=value, date_signed=signed_at)
        return (value, signed_at) if return_timestamp else value


def signer(settings: Settings, purpose: str, salt: str) -> Signer:
    return Signer(settings.signing_keys(purpose), salt=salt, digest_method=hashlib.sha256)


def serializer(settings: Settings, purpose: str, salt: str) -> URLSafeTimedSerializer:
    keys = settings.signing_keys(purpose)
    return URLSafeTimedSerializer(keys, salt=salt, signer=Signer, signer_kwargs={"digest_method": hashlib.sha256})


NONCE_BYTES = 12


class CannotDecrypt(Exception):
    """Encrypted with a key that the site no longer has, or for another purpose, or not by us."""


def seal(key: bytes, plain: bytes, about: bytes = b"") -> str:
    """Encrypts, with a random nonce. It can be read only with the same `about`."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # slow to import, and rarely needed

    nonce = os.urandom(NONCE_BYTES)
    return urlsafe_b64encode(nonce + AESGCM(key).encrypt(nonce, plain, about)).decode()


def unseal(keys: Iterable[bytes], sealed: str, about: bytes = b"") -> bytes:
    """Decrypts with whichever of the keys it was encrypted with. Raises CannotDecrypt."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    for key in keys:
        try:
            data = urlsafe_b64decode(sealed.encode("ascii"))
            return AESGCM(key).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], about)
        except (InvalidTag, ValueError):
            continue
    raise CannotDecrypt
