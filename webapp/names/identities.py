"""A username or an email: as people type it, and the one form in which it is stored and compared."""

import re
from collections.abc import Collection
from functools import lru_cache

from email_validator import EmailNotValidError, validate_email

from webapp.i18n import gettext as _

MOST_PLAIN = 100  # characters of an address
_PLAIN = re.compile(r"[a-z0-9_]{1,30}(?:[.+-][a-z0-9_]{1,30})?", re.ASCII | re.IGNORECASE)  # before the @
USERNAME = re.compile(r"[a-z0-9_]{3,30}", re.ASCII | re.IGNORECASE)
# What shows nothing, and comes along when a name or an address is copied: zero-width characters, byte order and
# direction marks, soft hyphens. Within one, joiners can be a part of a domain, and what turns the direction of writing
# round makes it read other than it is: these are left in, to be refused.
_UNSEEN = re.compile(r"[\u00ad\u061c\u200b\u200e\u200f\u2060\ufeff]")
_AROUND = "".join(filter(str.isspace, map(chr, range(0x3001))))
_AROUND += "\u200c\u200d\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def visible(typed: str) -> str:
    """A username or address as its writer sees it, without invisible characters."""
    return _UNSEEN.sub("", typed).strip(_AROUND)


def canonical_address(text: str, local_domains: Collection[str] = ()) -> str:
    """The one form in which an address is stored, compared and mailed: ASCII, in lower case.

    Raises ValueError with words for the visitor. An address whose local part isn't ASCII is refused, never mapped to a
    look-alike (CVE-2019-19844). `local_domains` are those that only the admin's own network knows.
    """
    before, at, domain = visible(text).rpartition("@")
    local_domain = domain.lower() if domain.lower() in local_domains else ""
    known = f"{before}@example.com" if local_domain else f"{before}{at}{domain}"
    try:
        address = validate_email(known, check_deliverability=False, strict=True, allow_smtputf8=False)
    except EmailNotValidError:
        raise ValueError(_("That doesn't look like an email, such as name@example.com.")) from None
    # Some mail programs and servers decode =?utf-8?q?...?= even here, and would write to somebody else.
    if not address.ascii_email or len(address.ascii_email) > 254 or "=?" in address.ascii_email:
        raise ValueError(_("That doesn't look like an email, such as name@example.com."))
    if local_domain:
        return f"{address.local_part.lower()}@{local_domain}"
    return address.ascii_email.lower()


def address_of_many(text: str, local_domains: Collection[str] = ()) -> str:
    """Like `canonical_address`, but it checks each domain once, which otherwise takes two fifths of an import.

    Not for visitors: its timing tells which domains were seen before. Raises ValueError.
    """
    typed = visible(text)
    before, _at, domain = typed.rpartition("@")
    if len(typed) > MOST_PLAIN or not _PLAIN.fullmatch(before):
        return canonical_address(typed, local_domains)
    return f"{before.lower()}@{_canonical_domain(domain, frozenset(local_domains))}"


@lru_cache(maxsize=10_000)
def _canonical_domain(domain: str, local_domains: frozenset[str]) -> str:
    return canonical_address(f"name@{domain}", local_domains).rpartition("@")[2]


def canonical_identity(text: str, local_domains: Collection[str] = ()) -> str:
    """The form in which to look up what somebody typed as "username or email". Raises ValueError."""
    text = visible(text)
    if "@" in text:
        return canonical_address(text, local_domains)
    if not USERNAME.fullmatch(text):
        raise ValueError(_("Type your username or your email."))
    return text.lower()


def identity_or_nonsense(typed: str) -> str:
    """For the log-in, where a name that can't exist must look like one that doesn't.

    It also knows addresses of MAIL_LOCAL_DOMAINS.
    """
    try:
        return canonical_identity(typed)
    except ValueError:
        return visible(typed).lower()
