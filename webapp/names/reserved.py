"""Usernames that nobody can have, because they speak for the site, its mail or its admin."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from webapp.settings import Settings

# Those that speak for the site on their own, so also when put together or misspelled.
_SPEAKING = """
    abuse account accounts admin administraciya administration administrator administratsiya admins alert alerts
    bezopasnost billing contact customercare customerservice daemon donotreply feedback help helpcenter helpdesk
    hostmaster legal login mailer mailerdaemon microblog mod moderaciya moderation moderator moderators moderatsiya
    newsletter noreply notification notifications office official owner password passwords podderjka podderzhka
    postmaster press privacy recovery root safety sales security service siteadmin staff superadmin superuser
    support sysadmin sysop system team verification verified webmail webmaster
"""
SPEAKING = frozenset(_SPEAKING.split())
# Anybody with one of these could pretend to be the site, its mail or its admin (RFC 2142 lists the mailboxes).
_RESERVED = """
    api bot everybody everyone ftp info me no_reply nobody null register robots self sign_in signin signup status
    undefined uucp welcome www
"""
RESERVED = [*SPEAKING, *_RESERVED.split()]
# Words that can stand beside one of those without changing what it means.
_FILLING = """
    and at by for from it of on our the your center check customer desk info mail message news real reset site super
    tech trust update
"""
FILLING = frozenset(_FILLING.split())
# Characters that look alike: i, l and 1; o and 0; and so on.
_ALIKE = str.maketrans("01l3457892", "oiieastbgz")
_AS_ONE = re.compile("vv|rn")


@dataclass(frozen=True)
class Reserved:
    """What nobody may choose: `words` by themselves, `alike` with digits for letters, and `speaking` words also
    when combined.
    """

    words: frozenset[str]
    alike: frozenset[str]
    speaking: frozenset[str]


def reserved(settings: Settings, words: Iterable[str]) -> Reserved:
    """What nobody may choose, in the form in which it is compared; `words` come from the site's paths."""
    names = [settings.site_name, settings.host]
    speaking = frozenset(_looks_like(_compared(name)) for name in [*SPEAKING, *names]) - {""}
    by_themselves = frozenset(map(_compared, [*RESERVED, *names, *words]))
    return Reserved(by_themselves, frozenset(map(_looks_like, by_themselves)), speaking)


def is_reserved(username: str, names: Reserved) -> bool:
    """Whether a username is reserved, however it is written.

    Capitals, underscores, numbers around it, and digits that look like letters make no difference. `admin_susan` is
    allowed; `microblog_support`, which consists only of reserved words, is not.
    """
    plain = _compared(username)
    is_misspelled = not plain.isalpha() and _looks_like(plain) in names.alike  # Seif is a name
    return plain in names.words or is_misspelled or _speaks(username.lower(), names.speaking)


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
