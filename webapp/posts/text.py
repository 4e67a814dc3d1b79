"""The text of a post: plain, counted as people count, and turned into safe markup."""

import unicodedata
from collections.abc import Container, Iterator
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import regex
from linkify_it import LinkifyIt
from markupsafe import Markup, escape

from webapp.i18n import gettext as _
from webapp.i18n import ngettext
from webapp.settings.environment import LONGEST_HOST, ascii_host
from webapp.web import words

MOST_CHARACTERS = 280
MOST_CODE_POINTS = 4000  # as in the table; no script needs that many for 280 characters
MOST_LINK = 2000
MOST_PATH_SHOWN = 24

_CHARACTER = regex.compile(r"\X")  # an extended grapheme cluster (Unicode Standard Annex 29)
# Two of these are one flag. Taken as one beforehand: to tell which two, \X goes back to the first of a row, for each.
_FLAG = regex.compile(r"[\U0001f1e6-\U0001f1ff]{2}")
_LINE_BREAK = regex.compile(r"\r\n?|[\n\u0085\u2028\u2029]")
_BLANK_LINES = regex.compile(r"\n{3,}")
# Letters that show nothing: with no other character, the post would look empty.
_VISIBLE = regex.compile(r"[\p{L}\p{N}\p{P}\p{S}--[\u115f\u1160\u3164\uffa0\u2800]]", regex.VERSION1)
# Where a link or a mention begins, and how far a link can reach at most; how far it does, linkify-it says.
_PIECE = regex.compile(
    rf"(?<![\p{{L}}\p{{N}}])(?P<link>https?://[^\s\p{{C}}<>\"`\\^{{|}}]{{1,{MOST_LINK}}})"
    r"|(?<![\w@/.+-])@(?P<name>[A-Za-z0-9_]{3,30})(?![\w@])",
    regex.IGNORECASE,
)
_links = LinkifyIt(options={"fuzzy_link": False, "fuzzy_email": False})
# What linkify-it takes for part of a path.
_QUOTES_BEHIND = "*_~\u2026\u2019\u201d\u00bb\u3002\uff0c\uff01\uff1f\u3001"
_SAFE = "/?#[]@!$&'()*+,;=%-._~:"  # needs no escaping in a path, query or fragment (RFC 3986)
_LABEL = regex.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
# A host outside ASCII is shown as punycode, but for Latin letters that nobody takes for a plain one: a letter of one
# alphabet may pass for one of another.
_LATIN = regex.compile(r"[a-zà-öø-ÿāăąćčďđēėęěğģīįķļľłńņňőœřśşšţťūůűųźżž0-9.-]+")
_LINK = Markup('<a href="{}" title="{}" rel="nofollow noopener ugc" dir="ltr">{}</a>')
_MENTION = Markup('<a class="mention" href="/user/{}" dir="ltr">@{}</a>')
_BREAK = Markup("<br>")


def count(text: str) -> int:
    """How many characters people would count in a text: a flag, a family or an accented letter is one."""
    return len(_CHARACTER.findall(_FLAG.sub("x", text)))


def clean(text: str) -> str:
    """The text to store for what was typed. Raises ValueError with words for the visitor."""
    if len(text) > MOST_CODE_POINTS:  # before anything goes through all of them
        raise ValueError(_("That's far too long for a post."))
    readable = words.readable(_LINE_BREAK.sub("\n", text))
    text = unicodedata.normalize("NFC", readable)  # sorting a row of marks takes the square of its length
    lines = (line.rstrip() for line in text.split("\n"))
    text = _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip()
    if not _VISIBLE.search(text):
        raise ValueError(_("Write something first."))
    if (length := count(text)) > MOST_CHARACTERS:
        too_long = ngettext(
            "That's %(length)s character. Use %(most)s or fewer.",
            "That's %(length)s characters. Use %(most)s or fewer.",
            length,
        )
        raise ValueError(too_long % {"length": length, "most": MOST_CHARACTERS})
    if len(text) > MOST_CODE_POINTS:
        raise ValueError(_("There are too many marks on the letters."))
    return text


def mentioned(text: str) -> list[str]:
    """The names a text mentions, in lower case and in order, each once, whether or not they exist."""
    return list(dict.fromkeys(piece.name.lower() for piece in _pieces(text) if piece.name))


def markup(text: str, names: Container[str]) -> Markup:
    """The text as HTML, with clickable links and mentions of `names` (in lower case).

    Everything else is escaped. A mention leads to the person's page on this site.
    """
    return Markup("").join(_marked_up(text, names))


class _Piece(NamedTuple):
    """Something clickable: a link or a mention. It begins at `start` in the text."""

    start: int
    shown: str
    name: str


def _pieces(text: str) -> Iterator[_Piece]:
    place = 0
    while found := _PIECE.search(text, place):
        link = _whole_link(found["link"]) if found["link"] else ""
        if found["name"] or link:
            yield _Piece(found.start(), link or found[0], found["name"] or "")
        place = found.start() + (len(link) or (found["name"] and len(found[0])) or len("https:"))


def _whole_link(reaching: str) -> str:
    """The link that this begins with, without a final full stop or bracket that belongs to the sentence."""
    scheme, _colon, rest = reaching.partition(":")
    length = _links.test_schema_at(rest, f"{scheme}:", 0)
    return reaching[: len(scheme) + 1 + length].rstrip(_QUOTES_BEHIND) if length else ""


def _marked_up(text: str, names: Container[str]) -> Iterator[Markup]:
    end = 0
    for piece in _pieces(text):
        markup = _mention(piece.name, names) if piece.name else _link(piece.shown)
        if markup is not None:
            yield _plain(text[end : piece.start])
            yield markup
            end = piece.start + len(piece.shown)
    yield _plain(text[end:])


def _plain(text: str) -> Markup:
    return _BREAK.join(escape(line) for line in text.split("\n"))


def _mention(name: str, names: Container[str]) -> Markup | None:
    return _MENTION.format(name, name) if name.lower() in names else None


class _Address(NamedTuple):
    whole: str
    shown: str


def _link(link: str) -> Markup | None:
    address = _address(link)
    return _LINK.format(address.whole, address.whole, address.shown) if address else None


def _address(link: str) -> _Address | None:
    """Where a link leads, and how it is shown; None if it shouldn't be clickable.

    The host is always shown whole. A link with a name or password before the host (https://bank.example@evil.example)
    isn't made clickable, since it looks like something it is not.
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
    readable = host if _LATIN.fullmatch(host) else ascii_host
    place = readable.removeprefix("www.") + (f":{port}" if port is not None else "")
    shown = rest if rest != "/" else ""
    shown = shown if len(shown) <= MOST_PATH_SHOWN else shown[: MOST_PATH_SHOWN - 1] + "\u2026"
    return _Address(f"{parts.scheme.lower()}://{origin}{quote(rest, safe=_SAFE)}", place + shown)


def _ascii(host: str) -> str | None:
    """The host in the letters of the domain name system (RFC 5891), or None if there can't be such a host."""
    name = ascii_host(host) if len(host) <= LONGEST_HOST else ""
    labels = name.split(".")
    return name if len(labels) > 1 and all(_LABEL.fullmatch(label) for label in labels) else None
