"""Usernames that nobody can have, because they speak for the site, its mail or its admin."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from webapp.settings import Settings

# Anybody with one of these could pretend to be the site, its mail or its admin (RFC 2142 lists the mailboxes).
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

# Those that speak for the site on their own, so also when put together or misspelled.
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
# Words that can stand beside one of those without changing what it means.
FILLING = frozenset(["at", "by", "for", "from", "info", "mail", "of", "on", "our", "real", "site", "the"])
# Characters that look alike: i, l and 1; o and 0; and so on.
_ALIKE = str.maketrans("01l3457892", "oiieastbgz")
_AS_ONE = re.compile("vv|rn")


@dataclass(frozen=True)
class Reserved:
    """What nobody may choose: `words` as they are, and `speaking` words also when misspelled or combined."""

    words: frozenset[str]
    speaking: frozenset[str]


def reserved(settings: Settings, words: Iterable[str]) -> Reserved:
    """What nobody may choose, in the form in which it is compared; `words` come from the site's paths."""
    names = [settings.site_name, settings.host]
    speaking = frozenset(_looks_like(_compared(name)) for name in [*SPEAKING, *names]) - {""}
    return Reserved(frozenset(map(_compared, [*RESERVED, *names, *words])), speaking)


def is_reserved(username: str, names: Reserved) -> bool:
    """Whether a username is reserved, however it is written.

    Capitals, underscores, numbers around it, and digits that look like letters make no difference. `admin_susan` is
    allowed; `microblog_support`, which consists only of reserved words, is not.
    """
    return _compared(username) in names.words or _speaks(username.lower(), names.speaking)


def _speaks(username: str, speaking: frozenset[str]) -> bool:
    """Whether it consists only of such words and of what may stand beside them."""
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
