"""What a post says: plain text, counted as people count, and turned into markup that is safe to show."""

import unicodedata
from collections.abc import Container, Iterator
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import idna
import regex
from markupsafe import Markup, escape

from webapp.i18n import gettext as _

MOST_CHARACTERS = 280
MOST_CODE_POINTS = 4000  # as in the table; no writing system needs that many for 280 characters
MOST_PATH_SHOWN = 24

_CHARACTER = regex.compile(r"\X")  # an extended grapheme cluster (Unicode Standard Annex 29)
_LINE_BREAK = regex.compile(r"\r\n?|[\n\u0085\u2028\u2029]")
_SPACE_AT_END = regex.compile(r"[^\S\n]+(?=\n|\Z)")
_BLANK_LINES = regex.compile(r"\n{3,}")
# Controls, and the signs that turn the direction of writing round and so let a text read other than it is
# (CVE-2021-42574). The plain marks U+200E, U+200F and U+061C stay: they turn nothing round.
_FORBIDDEN = regex.compile(r"[\p{Cc}\u202a-\u202e\u2066-\u2069\ufff9-\uffff--[\n\t]]", regex.VERSION1)
# Letters by their class that show nothing: without another character beside them the post would look empty.
_VISIBLE = regex.compile(r"[\p{L}\p{N}\p{P}\p{S}--[\u115f\u1160\u3164\uffa0\u2800]]", regex.VERSION1)
_PIECE = regex.compile(
    r"(?<![\p{L}\p{N}])(?P<link>https?://[^\s\p{C}<>\"`\\^{|}]+)"
    r"|(?<![\w@/.+-])@(?P<name>[A-Za-z0-9_]{3,30})(?![\w@])",
    regex.IGNORECASE,
)
_BRACKETS = {")": "(", "]": "[", "}": "{"}
_SAFE = "/?#[]@!$&'()*+,;=%-._~:"  # what a path, query or fragment holds as it is (RFC 3986)
_LABEL = regex.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
# A host is shown in its own letters if all of it, up to the last label, is of one of these; else a letter of
# one alphabet may pass for one of another. Of Latin, only letters that nobody takes for a plain one.
_OWN_LETTERS = [
    regex.compile(rf"[{letters}0-9.-]+")
    for letters in (
        "a-zà-öø-ÿāăąćčďđēėęěğģīįķļľłńņňőœřśşšţťūůűųźżž",
        r"\p{Script=Cyrillic}",
        r"\p{Script=Greek}",
        r"\p{Script=Hebrew}",
        r"\p{Script=Arabic}",
        r"\p{Script=Devanagari}",
        r"\p{Script=Thai}",
        r"\p{Script=Hangul}",
        r"\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}ー",
    )
]
_LINK = Markup('<a href="{}" title="{}" rel="nofollow noopener ugc" dir="ltr">{}</a>')
_MENTION = Markup('<a class="mention" href="/user/{}" dir="ltr">@{}</a>')
_BREAK = Markup("<br>")


def count(text: str) -> int:
    """How many characters a text has as people count them: a flag, a family or a letter with its accents is one."""
    return len(_CHARACTER.findall(text))


def clean(text: str) -> str:
    """What is stored of what was typed. Raises ValueError with words for the visitor."""
    text = unicodedata.normalize("NFC", _LINE_BREAK.sub("\n", text))
    if _FORBIDDEN.search(text):
        raise ValueError(_("There is an invisible sign in it that can't be used. Please type that part anew."))
    text = _BLANK_LINES.sub("\n\n", _SPACE_AT_END.sub("", text)).strip()
    if not _VISIBLE.search(text):
        raise ValueError(_("Please write something first."))
    if (length := count(text)) > MOST_CHARACTERS:
        words = _("That is %(length)s characters long: at most %(most)s, please.")
        raise ValueError(words % {"length": length, "most": MOST_CHARACTERS})
    if len(text) > MOST_CODE_POINTS:
        raise ValueError(_("There are too many marks on its letters."))
    return text


def mentioned(text: str) -> list[str]:
    """The names that a text mentions, in lower case, each once and in its order; whether or not they exist."""
    return list(dict.fromkeys(piece["name"].lower() for piece in _PIECE.finditer(text) if piece["name"]))


def markup(text: str, names: Container[str]) -> Markup:
    """The text as HTML: its links, and its mentions of `names` (in lower case), can be followed.

    Everything else is escaped; a mention leads to the person's page on this site.
    """
    return Markup("").join(_pieces(text, names))


def _pieces(text: str, names: Container[str]) -> Iterator[Markup]:
    end = 0
    for found in _PIECE.finditer(text):
        if found["name"]:
            shown, piece = found[0], _mention(found["name"], names)
        else:
            shown = _without_punctuation(found["link"])
            piece = _link(shown)
        if piece is not None:
            yield _plain(text[end : found.start()])
            yield piece
            end = found.start() + len(shown)
    yield _plain(text[end:])


def _plain(text: str) -> Markup:
    return _BREAK.join(escape(line) for line in text.split("\n"))


def _mention(name: str, names: Container[str]) -> Markup | None:
    return _MENTION.format(name, name) if name.lower() in names else None


def _without_punctuation(link: str) -> str:
    """A link without the full stop or bracket behind it, which belongs to the sentence."""
    while link:
        last = link[-1]
        is_closing = last in _BRACKETS and link.count(last) > link.count(_BRACKETS[last])
        if not is_closing and last not in ".,;:!?'*_~\u2026\u2019\u201d\u00bb\u3002\uff0c\uff01\uff1f\u3001":
            return link
        link = link[:-1]
    return link


class _Address(NamedTuple):
    whole: str
    shown: str


def _link(link: str) -> Markup | None:
    address = _address(link)
    return _LINK.format(address.whole, address.whole, address.shown) if address else None


@lru_cache(1000)
def _address(link: str) -> _Address | None:
    """Where a link leads, and how it is shown; None if it is not worth a click.

    Its host is always shown whole. One with a name or password before the host (https://bank.example@evil.example)
    is no link, for it reads as what it is not.
    """
    try:
        parts = urlsplit(link)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return None
    ascii_host = _ascii(host)
    if ascii_host is None or "@" in parts.netloc:
        return None
    origin = f"{ascii_host}:{port}" if port is not None else ascii_host
    rest = link[len(parts.scheme) + 3 + len(parts.netloc) :]
    readable = host if _reads_as_it_is(host) else ascii_host
    place = readable.removeprefix("www.") + (f":{port}" if port is not None else "")
    shown = rest if rest != "/" else ""
    shown = shown if len(shown) <= MOST_PATH_SHOWN else shown[: MOST_PATH_SHOWN - 1] + "\u2026"
    return _Address(f"{parts.scheme.lower()}://{origin}{quote(rest, safe=_SAFE)}", place + shown)


def _ascii(host: str) -> str | None:
    """The host in the letters of the domain name system (RFC 5891), or None if there can't be such a host."""
    try:
        name = host if host.isascii() else idna.encode(host, uts46=True).decode()
    except (idna.IDNAError, UnicodeError):
        return None
    labels = name.split(".")
    is_host = len(name) <= 253 and len(labels) > 1 and all(_LABEL.fullmatch(label) for label in labels)
    return name if is_host else None


def _reads_as_it_is(host: str) -> bool:
    return any(letters.fullmatch(host) for letters in _OWN_LETTERS)
