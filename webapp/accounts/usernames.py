"""Usernames that are kept: for nobody, because they speak for the site, or for who had one until lately."""

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, bindparam, delete, select, text
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts.models import KeptUsername, RetiredUsername
from webapp.database import execute, now, table
from webapp.settings import Settings

KEPT = timedelta(days=30)
RETIRED = timedelta(days=365)  # of an account that was deleted
# Who has one of these can pretend to be the site, its mail or whoever runs it (RFC 2142 has the mailboxes).
RESERVED = [
    "abuse",
    "account",
    "accounts",
    "admin",
    "administrator",
    "admins",
    "billing",
    "contact",
    "daemon",
    "everybody",
    "everyone",
    "feedback",
    "ftp",
    "help",
    "helpdesk",
    "hostmaster",
    "info",
    "legal",
    "mailer",
    "mailerdaemon",
    "me",
    "microblog",
    "mod",
    "moderator",
    "moderators",
    "no_reply",
    "nobody",
    "noreply",
    "null",
    "office",
    "official",
    "owner",
    "postmaster",
    "press",
    "privacy",
    "register",
    "root",
    "sales",
    "security",
    "self",
    "service",
    "sign_in",
    "signin",
    "signup",
    "staff",
    "status",
    "superuser",
    "support",
    "sysadmin",
    "system",
    "team",
    "undefined",
    "uucp",
    "verification",
    "verified",
    "webmaster",
    "www",
]

# Those of them that speak for the site by themselves, so also when they are put together or misspelled.
SPEAKING = frozenset(
    [
        "abuse",
        "admin",
        "administrator",
        "admins",
        "billing",
        "contact",
        "daemon",
        "feedback",
        "help",
        "helpdesk",
        "hostmaster",
        "legal",
        "mailer",
        "mailerdaemon",
        "microblog",
        "mod",
        "moderator",
        "moderators",
        "noreply",
        "office",
        "official",
        "owner",
        "postmaster",
        "press",
        "privacy",
        "root",
        "sales",
        "security",
        "service",
        "staff",
        "superuser",
        "support",
        "sysadmin",
        "system",
        "team",
        "verification",
        "verified",
        "webmaster",
    ]
)
# What stands beside such a word without making it another.
FILLING = frozenset(["at", "by", "for", "from", "info", "mail", "of", "on", "our", "real", "site", "the"])
# As they look alike: i, l and 1; o and 0; and so on.
_ALIKE = str.maketrans("01l3457892", "oiieastbgz")
_AS_ONE = re.compile("vv|rn")

_kept = table(KeptUsername)
_retired = table(RetiredUsername)
# What shows nothing, and comes along when a name or an address is copied: zero-width characters, byte order and
# direction marks, soft hyphens. Within one, joiners can be a part of a domain, and what turns the direction of writing
# round makes it read other than it is: these are left in, to be refused.
_UNSEEN = re.compile(r"[\u00ad\u061c\u200b\u200e\u200f\u2060\ufeff]")
_AROUND = "".join(filter(str.isspace, map(chr, range(0x3001))))
_AROUND += "\u200c\u200d\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def visible(typed: str) -> str:
    """A username or an address as its writer sees it, without what shows nothing in it and around it."""
    return _UNSEEN.sub("", typed).strip(_AROUND)


@dataclass(frozen=True)
class Reserved:
    """What nobody may choose: `words` as they are, and `speaking` ones also when misspelled or put together."""

    words: frozenset[str]
    speaking: frozenset[str]


def reserved(settings: Settings, words: Iterable[str]) -> Reserved:
    """What nobody may choose, as it is compared; `words` are those of the site's paths."""
    names = [settings.site_name, settings.host]
    speaking = frozenset(_looks_like(_compared(name)) for name in [*SPEAKING, *names]) - {""}
    return Reserved(frozenset(map(_compared, [*RESERVED, *names, *words])), speaking)


def is_reserved(username: str, names: Reserved) -> bool:
    """Whether a username is one of those, however it is written.

    Neither capitals, underscores nor numbers around it make another, nor digits that look like letters. `admin_susan`
    is another; `microblog_support` says nothing but what is reserved.
    """
    return _compared(username) in names.words or _speaks(username.lower(), names.speaking)


async def keep(db: AsyncSession, user_id: int, username: str) -> None:
    """Keeps a username that an account has given up, so that nobody gets what is meant for its owner."""
    row = {"username_key": username.lower(), "user_id": user_id, "kept_until": now() + KEPT}
    await execute(db, _KEEP, row)


async def take_back(db: AsyncSession, user_id: int, username: str) -> None:
    """A username that is in use again needs not to be kept."""
    await execute(db, delete(_kept).where(_kept.c.username_key == username.lower(), _kept.c.user_id == user_id))


async def former_owner(db: AsyncSession, username: str) -> int | None:
    """For whose account a username is kept.

    Whoever gives out a username must ask after the database's unique constraint has let it through: only then is every
    change that freed it seen.
    """
    kept = _kept.c.username_key == username.lower(), _kept.c.kept_until > now()
    return (await execute(db, select(_kept.c.user_id).where(*kept))).scalar()


async def held(db: AsyncSession) -> set[str]:
    """All usernames that are kept for somebody."""
    return set((await execute(db, select(_kept.c.username_key).where(_kept.c.kept_until > now()))).scalars())


async def retire(db: AsyncSession, settings: Settings, username: str, until: datetime) -> None:
    """Keeps a username from everybody without saying which it is: only with our key can it be told."""
    row = {"name_hash": _mark(settings.key("retired_username"), username), "kept_until": until}
    await execute(db, _RETIRE, row)


async def is_retired(db: AsyncSession, settings: Settings, username: str) -> bool:
    """Whether an account that was deleted had the username. Ask as for its `former_owner`."""
    marks = [_mark(key, username) for key in settings.keys("retired_username")]
    query = select(_retired.c.kept_until).where(_retired.c.name_hash.in_(marks), _retired.c.kept_until > now())
    return (await execute(db, query)).first() is not None


async def retired(db: AsyncSession, settings: Settings) -> Callable[[str], bool]:
    """The same for many usernames, as it is now."""
    query = select(_retired.c.name_hash).where(_retired.c.kept_until > now())
    marks, keys = set((await execute(db, query)).scalars()), settings.keys("retired_username")
    return lambda username: bool(marks) and any(_mark(key, username) in marks for key in keys)


def no_longer_retired() -> ColumnElement[bool]:
    """Which usernames of deleted accounts are anybody's again."""
    return _retired.c.kept_until < now()


def outdated() -> ColumnElement[bool]:
    """Which usernames are anybody's again."""
    return _kept.c.kept_until < now()


def _speaks(username: str, speaking: frozenset[str]) -> bool:
    """Whether it is made of such words and what may stand beside them alone."""
    filling = speaking | {_looks_like(word) for word in FILLING}
    without_number = username.strip("0123456789_")
    joined = [_looks_like(_compared(text)) for text in (username, without_number)]
    apart = [[_looks_like(part) for part in username.split("_") if part and not part.isdigit()]]
    apart += [[text[:cut], text[cut:]] for text in joined for cut in range(2, len(text) - 1)]
    made_of = [*([text] for text in joined), *apart]
    return any(speaking.intersection(parts) and filling.issuperset(parts) for parts in made_of)


def _looks_like(text: str) -> str:
    return _AS_ONE.sub(lambda found: {"vv": "w", "rn": "m"}[found[0]], text).translate(_ALIKE)


def _compared(text: str) -> str:
    return "".join(character for character in text.lower() if character.isalnum())


def _mark(key: bytes, username: str) -> str:
    return hmac.digest(key, username.lower().encode(), hashlib.sha256).hex()


_RETIRE = text(
    "INSERT INTO retired_username (name_hash, kept_until) VALUES (:name_hash, :kept_until)"
    " ON CONFLICT (name_hash) DO UPDATE SET kept_until = excluded.kept_until"
).bindparams(bindparam("kept_until", type_=_retired.c.kept_until.type))
_KEEP = text(
    "INSERT INTO kept_username (username_key, user_id, kept_until) VALUES (:username_key, :user_id, :kept_until)"
    " ON CONFLICT (username_key) DO UPDATE SET user_id = excluded.user_id, kept_until = excluded.kept_until"
).bindparams(bindparam("kept_until", type_=_kept.c.kept_until.type))
