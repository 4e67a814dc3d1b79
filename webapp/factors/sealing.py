"""Encrypts secrets that the site itself must read again.

The key is derived from SECRET_KEY. What an older key encrypted can be read as long as that is among
SECRET_KEY_FALLBACKS.
"""

import hashlib

from webapp import signing
from webapp.settings import Settings

PURPOSE = "factor"


def mark(settings: Settings) -> str:
    """Identifies today's key, and reveals nothing of it."""
    return hashlib.sha256(b"mark of " + settings.key(PURPOSE)).hexdigest()[:16]


def seal(settings: Settings, plain: str, about: str) -> str:
    """Encrypts a text. It can be read only with the same `about`."""
    return signing.seal(settings.key(PURPOSE), plain.encode(), about.encode())


def unseal(settings: Settings, sealed: str, about: str) -> str:
    """Decrypts a text. Raises CannotDecrypt."""
    return signing.unseal(settings.keys(PURPOSE), sealed, about.encode()).decode()
