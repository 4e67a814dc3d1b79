"""What is signed and comes back after a while, perhaps to another machine of the site (itsdangerous)."""

import hashlib
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
