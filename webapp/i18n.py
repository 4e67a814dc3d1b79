"""Which language a person reads, and gettext for it.

The code is written in English; other languages are gettext catalogues in `webapp/translations`, compiled and committed
beside their sources. `en-XA` is a pseudo-language: English made longer and accented. It shows developers every text
that isn't translated, and every place that is too narrow.
"""

import gettext as catalogues
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, lru_cache

from babel import Locale
from babel.numbers import format_decimal

from webapp.settings.problems import N_ as N_
from webapp.settings.variables import PSEUDO as PSEUDO
from webapp.settings.variables import TRANSLATIONS as TRANSLATIONS
from webapp.settings.variables import spoken as spoken

MOST_CHARACTERS = 500  # of a header; browsers send a tenth of that
_WISH = re.compile(r"(?P<name>[A-Za-z]{1,8})(-[A-Za-z0-9-]{1,40})?(\s*;\s*q=(?P<quality>[01](\.\d{0,3})?))?")
_PLACEHOLDER = re.compile(r"(%\(\w+\)[sd]|%%|<[^>]*>)")
# What a line doesn't part in Russian: a dash and the word before it, a number and what it counts, a short word and the
# next one. Where an address or a name follows, it may be long, and parts.
_A_NUMBER = r"%\((?:num|count|ended|most|length|max_length|times|size|seconds)\)s"
_A_TIME = r"%\((?:when|time|day|date|since|until|due)\)s"
_SHORT = r"(?<![\w-])(?:[авикосуя]|во|до|за|из|ко|на|не|ни|но|об|от|по|со)"
_TOGETHER = re.compile(
    rf" (?=—|UTC\b|(?:бы|же|ли)\b)|({_SHORT}(?= (?:[\w«]|{_A_NUMBER}|{_A_TIME}))"
    rf"|(?:{_A_NUMBER}|\b\d+)(?= (?:[А-яё]{{3}}|МБ|[гс](?:[.;)]|$)))) ",
    re.IGNORECASE,
)
_ACCENTS = str.maketrans("aeiouyAEIOUY", "áéíóúýÁÉÍÓÚÝ")
_OF_A_TERMINAL = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")
_language: ContextVar[str] = ContextVar("language", default="en")
_is_typeset: ContextVar[bool] = ContextVar("is_typeset", default=False)


def gettext(text: str) -> str:
    return _catalogue(_language.get()).gettext(text)


def ngettext(one: str, many: str, number: int) -> str:
    return _catalogue(_language.get()).ngettext(one, many, number)


def pgettext(context: str, text: str) -> str:
    """For texts that are the same in English but not in other languages: "Log in" as a heading, and on a button."""
    return _catalogue(_language.get()).pgettext(context, text)


def current() -> str:
    """The current language, such as `en`."""
    return _language.get()


def locale() -> str:
    """Babel's locale for the current language, for dates and numbers."""
    return _locale(_language.get())


def direction() -> str:
    """Where its lines begin: `ltr` or `rtl`, as HTML calls it."""
    return _direction(locale())


def decimal(number: float) -> str:
    """A number with one decimal place, with the comma or point of the language."""
    return format_decimal(number, "0.0", locale=locale())


def number(number: int) -> str:
    """A whole number, with its thousands grouped as the language writes them."""
    return format_decimal(number, locale=locale())


@cache
def own_name(language: str) -> str:
    """What a language calls itself: "English", "Русский"."""
    name = str(Locale.parse(_locale(language)).get_display_name())
    return f"{name[0].upper()}{name[1:]}" + (" (long)" if language == PSEUDO else "")


@contextmanager
def use(language: str, *, is_typeset: bool = False) -> Iterator[None]:
    """Speaks a language inside. Typeset texts have spaces that don't break, for pages and emails; elsewhere those would
    stick to links and commands. The text of an email gets ordinary ones again.
    """
    token, other = _language.set(language), _is_typeset.set(is_typeset)
    try:
        yield
    finally:
        _is_typeset.reset(other)
        _language.reset(token)


def choose(accept_language: str, offered: tuple[str, ...]) -> str:
    """The best of the offered languages for an `Accept-Language` header (RFC 9110, 12.5.4)."""
    if len(offered) == 1:
        return offered[0]
    wishes = filter(None, (_WISH.fullmatch(part.strip()) for part in accept_language[:MOST_CHARACTERS].split(",")[:20]))
    wanted = [(float(wish["quality"] or 1), wish["name"].lower()) for wish in wishes]
    wanted.sort(key=lambda wish: -wish[0])  # of equals, the first
    return next((name for quality, name in wanted if quality and name in offered), offered[0])


def of_environment(environ: Mapping[str, str]) -> str:
    """The language of the person at the terminal, from POSIX's and gettext's variables; otherwise the site's first."""
    wished = next((environ[name] for name in _OF_A_TERMINAL if environ.get(name)), "").split(":")
    names = [re.split(r"[_.@]", wish)[0].lower() for wish in wished] + [
        environ.get("LANGUAGES", "").split(",")[0].strip()
    ]
    return next((name for name in names if name in spoken()), "en")


@contextmanager
def in_argparse(language: str) -> Iterator[None]:
    """Lets Python's `argparse`, which calls gettext itself, speak other languages. Its texts are at the end here."""
    before = os.environ.get("LANGUAGE")
    catalogues.bindtextdomain("messages", str(TRANSLATIONS))
    os.environ["LANGUAGE"] = language
    try:
        yield
    finally:
        del os.environ["LANGUAGE"]
        os.environ |= {"LANGUAGE": before} if before is not None else {}


def pick(offered: tuple[str, ...], chosen: Iterable[str], accept_language: str = "") -> str:
    """The first language the person has chosen that is offered; else the best for their browser; else the site's."""
    return next((name for name in chosen if name in offered), None) or choose(accept_language, offered)


@lru_cache(10_000)
def typeset(text: str) -> str:
    """A Russian text with spaces that don't break where a typographer wants none to."""
    return _TOGETHER.sub(lambda found: f"{found[1] or ''}\u00a0", text)


@cache
def _catalogue(language: str) -> catalogues.NullTranslations:
    if language == PSEUDO:
        return _Pseudo()
    kind = _Russian if language == "ru" else catalogues.GNUTranslations
    return catalogues.translation("messages", TRANSLATIONS, [language], kind, fallback=True)


@cache
def _direction(name: str) -> str:
    return Locale.parse(name).text_direction


def _locale(language: str) -> str:
    return "en" if language == PSEUDO else language


class _Russian(catalogues.GNUTranslations):
    def gettext(self, message: str) -> str:
        return _for_its_place(super().gettext(message))

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return _for_its_place(super().ngettext(msgid1, msgid2, n))

    def pgettext(self, context: str, message: str) -> str:
        return _for_its_place(super().pgettext(context, message))


def _for_its_place(text: str) -> str:
    return typeset(text) if _is_typeset.get() else text


class _Pseudo(catalogues.NullTranslations):
    """Puts each text in brackets, with accents, and makes it 40 % longer. Placeholders stay as they are."""

    def gettext(self, message: str) -> str:
        pieces = _PLACEHOLDER.split(message)
        accented = "".join(piece if place % 2 else piece.translate(_ACCENTS) for place, piece in enumerate(pieces))
        return f"⟦{accented}{'·' * (len(message) * 2 // 5)}⟧"

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self.gettext(msgid1 if n == 1 else msgid2)

    def pgettext(self, context: str, message: str) -> str:
        return self.gettext(message)


_ARGPARSE = (
    N_("usage: "),
    N_("positional arguments"),
    N_("options"),
    N_("show this help message and exit"),
    N_("the following arguments are required: %s"),
    N_("unrecognized arguments: %s"),
    N_("argument %(argument_name)s: %(message)s"),
    N_("invalid choice: %(value)r (choose from %(choices)s)"),
    N_("%(prog)s: error: %(message)s\n"),
    N_("expected one argument"),
    N_("invalid %(type)s value: %(value)r"),
)
