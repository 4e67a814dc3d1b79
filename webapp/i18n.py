"""The language of the person: for pages the one they asked for, for emails the one they had then.

English is written in the code; other languages are gettext catalogues in `webapp/translations`.
"""

import gettext as catalogues
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, lru_cache

from webapp.settings import ROOT

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


@lru_cache(1000)
def choose(accept_language: str, offered: tuple[str, ...]) -> str:
    """The best of the offered languages for an `Accept-Language` header (RFC 9110, 12.5.4)."""
    wanted: list[tuple[float, str]] = []
    for part in accept_language.split(",")[:20]:
        name, _, quality = part.strip().partition(";q=")
        try:
            wanted.append((-float(quality or 1), name.split("-")[0].lower()))
        except ValueError:
            continue
    return next((name for quality, name in sorted(wanted) if quality and name in offered), offered[0])


@cache
def _catalogue(language: str) -> catalogues.NullTranslations:
    return catalogues.translation("messages", ROOT / "webapp" / "translations", [language], fallback=True)
