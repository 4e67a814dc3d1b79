"""The language of the person: for pages the one they asked for, for emails the one they had then.

English is written in the code; other languages are gettext catalogues in `webapp/translations`.
"""

import gettext as catalogues
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

from webapp.settings import ROOT

MOST_CHARACTERS = 500  # of a header; browsers send a tenth
_WISH = re.compile(r"(?P<name>[A-Za-z]{1,8})(-[A-Za-z0-9-]{1,40})?(\s*;\s*q=(?P<quality>[01](\.\d{0,3})?))?")
_language: ContextVar[str] = ContextVar("language", default="en")


def gettext(text: str) -> str:
    return _catalogue(_language.get()).gettext(text)


def ngettext(one: str, many: str, number: int) -> str:
    return _catalogue(_language.get()).ngettext(one, many, number)


def current() -> str:
    """The language in force, such as `en`."""
    return _language.get()


@contextmanager
def use(language: str) -> Iterator[None]:
    token = _language.set(language)
    try:
        yield
    finally:
        _language.reset(token)


def choose(accept_language: str, offered: tuple[str, ...]) -> str:
    """The best of the offered languages for an `Accept-Language` header (RFC 9110, 12.5.4)."""
    if len(offered) == 1:
        return offered[0]
    wanted: list[tuple[float, str]] = []
    for part in accept_language[:MOST_CHARACTERS].split(",")[:20]:
        if found := _WISH.fullmatch(part.strip()):
            wanted.append((-float(found["quality"] or 1), found["name"].lower()))
    return next((name for quality, name in sorted(wanted) if quality and name in offered), offered[0])


@cache
def _catalogue(language: str) -> catalogues.NullTranslations:
    return catalogues.translation("messages", ROOT / "webapp" / "translations", [language], fallback=True)
