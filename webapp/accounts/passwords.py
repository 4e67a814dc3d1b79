"""Passwords: hash and check. What is too easy to guess stands in weakness.py."""

from collections.abc import Iterator
from contextlib import contextmanager

import anyio
from anyio.to_thread import run_sync
from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from webapp.rate_limits import Busy

MAX_LENGTH = 256
# At 26 ms each on a core, this is a wait of about a second.
MOST_WAITING = 80

# OWASP's smallest recommended argon2id: 19 MiB, two passes, one lane.
_argon2 = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, type=Type.ID)
# The hash of a password that nobody has, for names that nobody has: both cost the same.
_NOBODYS = "$argon2id$v=19$m=19456,t=2,p=1$VufvwlOlSSKR5lKTbW9mNw$3jq8EoreQK3lIrfObrp84uXFnHbswLnSM0DUHLjYRZs"


class Hasher:
    """Hashes off the event loop, two at a time: each takes 19 MiB and a core."""

    def __init__(self) -> None:
        self._limiter = anyio.CapacityLimiter(2)
        self._in_hand = 0

    async def hash(self, password: str) -> str:
        """The argon2id hash. Raises Busy when too many wait already."""
        with self._place():
            return await run_sync(_argon2.hash, password, limiter=self._limiter)

    async def is_right(self, password: str, password_hash: str | None) -> bool:
        """Whether the password fits the hash; costs the same when there is no hash. Raises Busy."""
        with self._place():
            return await run_sync(_fits, password, password_hash, limiter=self._limiter)

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._in_hand >= MOST_WAITING:
            raise Busy
        self._in_hand += 1
        try:
            yield
        finally:
            self._in_hand -= 1


def is_outdated(password_hash: str) -> bool:
    """Whether the hash was made with other costs than today's."""
    return _argon2.check_needs_rehash(password_hash)


def is_hash(text: str) -> bool:
    """Whether a text from elsewhere is an argon2 hash that this site can check."""
    try:
        _argon2.verify(text, "")
    except VerifyMismatchError:
        return True
    except (VerificationError, InvalidHashError):
        return False
    return True


def _fits(password: str, password_hash: str | None) -> bool:
    try:
        return _argon2.verify(password_hash or _NOBODYS, password) and password_hash is not None
    except VerifyMismatchError:
        return False
    except (VerificationError, InvalidHashError):
        return _fits(password, None)  # an account that has no password takes as long as one that has
