"""Password hashes from other software: which can be checked here, how they are stored, and what that costs.

They are stored in one notation, which begins with everything that determines the cost, up to the salt:
`$argon2id$v=19$m=65536,t=3,p=4$…`, `scrypt:32768:8:1$…`, `pbkdf2:sha256:600000$…`, `$2b$12$…` and, for Django's bcrypt
over the password's SHA-256, `sha256$2b$12$…`.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from contextlib import suppress

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from webapp.i18n import N_
from webapp.i18n import gettext as _

LONGEST = 200  # what the column holds
# What a hash may cost: 128 MiB at most, and about half a second. For argon2 and scrypt that is how much memory they go
# through, in KiB.
MOST_MEMORY, MOST_WORK, MOST_LANES = 128 * 1024, 512 * 1024, 16
MOST_SCRYPT_WORK = 2 * 1024 * 1024
MOST_PBKDF2 = 1_500_000  # turns
MOST_BCRYPT = 13  # a power of two
BCRYPT_BYTES = 72  # bcrypt only looks at the first 72 bytes of a password
DIGESTS = {"sha1": 40, "sha256": 64, "sha512": 128}  # characters in hexadecimal
UNKNOWN = N_(
    "this password_hash can't be checked here; argon2, bcrypt, scrypt and pbkdf2 can,"
    " as Werkzeug, Django and Devise write them"
)
TOO_COSTLY = N_("the password_hash is too costly to check: more than 128 MiB of memory or half a second")

_BCRYPT64 = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_SALT = r"[!-#%-~]{1,64}"
# Salt from 8 bytes, hash from 12 (RFC 9106, 3.1, asks for 4), in base64 without padding.
_ARGON2 = r"(?:argon2)?(\$argon2(?:id|i|d)\$v=(?:16|19)\$m=(\d{1,10}),t=(\d{1,5}),p=(\d{1,3})"
_ARGON2 += r"\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{16,})"
_BCRYPT = (
    r"(?:bcrypt\$|(bcrypt_sha256\$|sha256))?\$2[aby]\$(\d\d)\$([./A-Za-z0-9]{21})([./A-Za-z0-9])([./A-Za-z0-9]{31})"
)
_SCRYPT = rf"scrypt:(\d{{1,8}}):(\d{{1,3}}):(\d{{1,3}})\$({_SALT})\$([0-9a-f]{{128}})"
_DJANGO_SCRYPT = rf"scrypt\$(\d{{1,8}})\$({_SALT})\$(\d{{1,3}})\$(\d{{1,3}})\$([A-Za-z0-9+/]{{86}}==)"
_PBKDF2 = rf"pbkdf2:(sha1|sha256|sha512):(\d{{1,9}})\$({_SALT})\$([0-9a-f]+)"
_DJANGO_PBKDF2 = rf"pbkdf2_(sha1|sha256)\$(\d{{1,9}})\$({_SALT})\$([A-Za-z0-9+/]+=*)"
_COST = re.compile(r"\$argon2[^$]*\$[^$]*\$[^$]*\$|(?:sha256)?\$2b\$\d\d\$|(?:scrypt|pbkdf2):[^$]*\$")
_TOGETHER = re.compile(r"(pbkdf2:\w+):(\d+)\$|((?:sha256)?\$2b)\$(\d\d)\$")

# Salt and digest of a password that nobody has, to run argon2 for its cost alone.
DUMMY = "VufvwlOlSSKR5lKTbW9mNw$3jq8EoreQK3lIrfObrp84uXFnHbswLnSM0DUHLjYRZs"


def read(text: str) -> str:
    """A hash from elsewhere, as it is stored. Raises ValueError if it can't be checked, or only at an unbearable cost.

    It is judged by its form: checking it would take as long as a log-in.
    """
    for shape, kept in _READERS:
        if match := re.fullmatch(shape, text, re.ASCII):
            hash_ = kept(match)
            if len(hash_) > LONGEST:
                raise ValueError(_(UNKNOWN))
            return hash_
    raise ValueError(_(UNKNOWN))


def is_sound(hash_: str) -> bool:
    """Whether a stored hash can be checked."""
    with suppress(ValueError):
        return read(hash_) == hash_
    return False


def cost_of(hash_: str) -> str:
    """The cost of checking a stored hash, which it says at its beginning; "" if it is no hash."""
    found = _COST.match(hash_)
    return found[0] if found else ""


def share(cost: str) -> tuple[str, int]:
    """What pays for a cost, and how much of it.

    pbkdf2 and bcrypt can continue where a cheaper hash has ended, so a site that has raised its costs over the years
    has one share of each. For the others, each cost is a share of its own.
    """
    found = _TOGETHER.fullmatch(cost)
    if not found:
        return cost, 1
    return (found[1], int(found[2])) if found[1] else (found[3], 1 << int(found[4]))


def is_of(argon2: PasswordHasher, password: str, hash_: str) -> bool:
    """Whether a stored hash matches the password. Takes as long as its cost says."""
    cost, typed = cost_of(hash_), password.encode()
    if cost.startswith("$argon2"):
        with suppress(VerificationError, InvalidHashError):
            return argon2.verify(hash_, password)
        return False
    if "$2b$" in cost:
        salt, digest = hash_[len(cost) : -31], hash_[-31:]
        return hmac.compare_digest(_bcrypt(typed, cost, salt), digest.encode())
    salt, _dollar, digest = hash_[len(cost) :].partition("$")
    return hmac.compare_digest(_derived(typed, cost, salt), digest)


def spend(argon2: PasswordHasher, password: str, cost: str, spent: int = 0) -> None:
    """Works for as long as a hash of this cost takes, minus what was already spent on another of the same share."""
    typed, (kind, whole) = password.encode(), share(cost)
    if spent >= whole:
        return
    if kind.startswith("pbkdf2"):
        _pbkdf2(typed, kind.partition(":")[2], whole - spent, "")
    elif kind.endswith("$2b"):
        for power in range((spent or whole).bit_length() - 1, whole.bit_length() - bool(spent)):
            _bcrypt(typed, f"{kind}${power:02}$", "." * 22)
    elif kind.startswith("scrypt"):
        _derived(typed, cost, "")
    else:
        is_of(argon2, password, cost + DUMMY)


def _bcrypt(typed: bytes, cost: str, salt: str) -> bytes:
    """The digest. The bcrypt package replaces `crypt`, which left Python in 3.13."""
    import bcrypt  # only where it is used: most sites have no such hash

    if cost.startswith("sha256"):
        typed = hashlib.sha256(typed).hexdigest().encode()
    return bcrypt.hashpw(typed[:BCRYPT_BYTES], f"{cost.removeprefix('sha256')}{salt}".encode())[-31:]


def _derived(typed: bytes, cost: str, salt: str) -> str:
    kind, *numbers = cost.rstrip("$").split(":")
    if kind == "pbkdf2":
        return _pbkdf2(typed, numbers[0], int(numbers[1]), salt)
    n, r, p = map(int, numbers)
    memory = 132 * n * r * p + 2**20
    return hashlib.scrypt(typed, salt=salt.encode(), n=n, r=r, p=p, maxmem=memory, dklen=64).hex()


def _pbkdf2(typed: bytes, digest: str, turns: int, salt: str) -> str:
    return hashlib.pbkdf2_hmac(digest, typed, salt.encode(), turns).hex()


def _kept_argon2(found: re.Match[str]) -> str:
    memory, turns, lanes = map(int, found.groups()[1:])
    if memory > MOST_MEMORY or memory * turns > MOST_WORK or lanes > MOST_LANES:
        raise ValueError(_(TOO_COSTLY))
    if not turns or not lanes or memory < 8 * lanes:
        raise ValueError(_(UNKNOWN))
    return found[1]


def _kept_bcrypt(found: re.Match[str]) -> str:
    """Since 2014, $2a$ and $2y$ mean the same as $2b$. Only two bits of the salt's last character count."""
    if int(found[2]) > MOST_BCRYPT:
        raise ValueError(_(TOO_COSTLY))
    if int(found[2]) < 4:
        raise ValueError(_(UNKNOWN))
    last = _BCRYPT64[_BCRYPT64.index(found[4]) & 0b110000]
    return f"{'sha256' if found[1] else ''}$2b${found[2]}${found[3]}{last}{found[5]}"


def _kept_scrypt(n: int, r: int, p: int, salt: str, digest: str) -> str:
    if n * r > MOST_MEMORY * 8 or n * r * p > MOST_SCRYPT_WORK or p > MOST_LANES:
        raise ValueError(_(TOO_COSTLY))
    if not n > 1 or n & (n - 1) or not r or not p:
        raise ValueError(_(UNKNOWN))
    return f"scrypt:{n}:{r}:{p}${salt}${digest}"


def _kept_pbkdf2(digest: str, turns: int, salt: str, derived: str) -> str:
    if turns > MOST_PBKDF2:
        raise ValueError(_(TOO_COSTLY))
    if not turns or len(derived) != DIGESTS[digest]:
        raise ValueError(_(UNKNOWN))
    return f"pbkdf2:{digest}:{turns}${salt}${derived}"


def _hexadecimal(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).hex()
    except ValueError:
        raise ValueError(_(UNKNOWN)) from None


_READERS: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (_ARGON2, _kept_argon2),
    (_BCRYPT, _kept_bcrypt),
    (_SCRYPT, lambda found: _kept_scrypt(int(found[1]), int(found[2]), int(found[3]), found[4], found[5])),
    (
        _DJANGO_SCRYPT,
        lambda found: _kept_scrypt(int(found[1]), int(found[3]), int(found[4]), found[2], _hexadecimal(found[5])),
    ),
    (_PBKDF2, lambda found: _kept_pbkdf2(found[1], int(found[2]), found[3], found[4])),
    (_DJANGO_PBKDF2, lambda found: _kept_pbkdf2(found[1], int(found[2]), found[3], _hexadecimal(found[4]))),
)
