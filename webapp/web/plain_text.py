"""The text of a post that came as HTML, read in one pass, so it costs no more than its length.

The standard library's parser goes back to the start of each unfinished tag: 32,000 characters of "<a " took it 12 s.
"""

import html
import re
from urllib.parse import urlsplit

MOST_CHARACTERS = 64 * 1024
_PIECE = re.compile(r"<[^<>]*+>|[^<]++|<")
_TAG = re.compile(r"<(/?)([a-z][a-z0-9]*)", re.ASCII | re.IGNORECASE)
_ATTRIBUTE = re.compile(r'(?<![\w-])([\w-]++)="([^"]*)"')
HIDING = {"script", "style"}


def of(content: str, own_host: str) -> str:
    """The text. Raises ValueError if it is longer than any post may be.

    A mention of somebody on another site includes the site, so it mentions nobody here.
    """
    if len(content) > MOST_CHARACTERS:
        raise ValueError("too long")
    text = _Text(own_host)
    for piece in _PIECE.findall(content):
        tag = _TAG.match(piece) if piece.endswith(">") else None
        if tag is None:
            text.add(html.unescape(piece))
        elif tag[1]:
            text.end(tag[2].lower())
        else:
            text.begin(tag[2].lower(), piece)
    return "".join(text.parts).strip()


class _Text:
    def __init__(self, own_host: str) -> None:
        self.parts: list[str] = []
        self._own_host = own_host
        self._behind: list[str] = []  # what to add after each open link
        self._hidden = 0

    def add(self, words: str) -> None:
        if not self._hidden and not words.startswith(("<!", "<?")):
            self.parts.append(words)

    def begin(self, name: str, tag: str) -> None:
        if name in HIDING:
            self._hidden += 1
        elif name == "br":
            self.parts.append("\n")
        elif name == "p" and self.parts:
            self.parts.append("\n\n")
        elif name == "a":
            self._behind.append(self._site_of(tag))

    def end(self, name: str) -> None:
        if name in HIDING:
            self._hidden = max(0, self._hidden - 1)
        elif name == "a" and self._behind:
            self.parts.append(self._behind.pop())

    def _site_of(self, link: str) -> str:
        attributes = dict(_ATTRIBUTE.findall(link))
        classes = attributes.get("class", "").split()
        if "mention" not in classes or "hashtag" in classes:
            return ""
        try:
            host = urlsplit(html.unescape(attributes.get("href", ""))).hostname or "elsewhere"
        except ValueError:
            host = "elsewhere"
        return "" if host == self._own_host else f"@{host}"
