"""Writes a feed as Atom (RFC 4287), element by element, so that nothing people write can pass for the feed's markup."""

from dataclasses import dataclass
from datetime import UTC, datetime
from textwrap import shorten
from xml.etree import ElementTree as ET

import regex

from webapp.posts.timeline import Card
from webapp.settings import SITE_NAME, Settings

MEDIA_TYPE = "application/atom+xml"
MOST_OF_TITLE = 80
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_ATOM = "http://www.w3.org/2005/Atom"
_XML = "http://www.w3.org/XML/1998/namespace"
# Characters that XML 1.0 can't express: a single one makes the whole feed unreadable.
_UNWRITABLE = regex.compile(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
ET.register_namespace("", _ATOM)


@dataclass(frozen=True)
class Feed:
    """A page's newest posts. `began` is the time to give while there are none."""

    title: str
    path: str
    page_path: str
    cards: list[Card]
    author: str = ""
    subtitle: str = ""
    began: datetime = EPOCH

    @property
    def updated(self) -> datetime:
        return max((card.changed_at for card in self.cards), default=self.began)


def write(feed: Feed, settings: Settings) -> bytes:
    """The feed as an XML document."""
    # Mentions are links within the site, so a reader must be told which site.
    root = ET.Element(f"{{{_ATOM}}}feed", {f"{{{_XML}}}base": f"{settings.base_url}/"})
    _add(root, "id", settings.base_url + feed.page_path)
    _add(root, "title", feed.title)
    if feed.subtitle:
        _add(root, "subtitle", feed.subtitle)
    _add(root, "updated", _moment(feed.updated))
    _add(root, "link", rel="self", type=MEDIA_TYPE, href=settings.base_url + feed.path)
    _add(root, "link", rel="alternate", type="text/html", href=settings.base_url + feed.page_path)
    _add(root, "generator", SITE_NAME)
    if feed.author:
        _add_author(root, feed.author, settings)
    for card in feed.cards:
        _add_entry(root, card, settings)
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document


def _add_entry(root: ET.Element, card: Card, settings: Settings) -> None:
    entry = _add(root, "entry")
    # An author who is renamed moves the post to another address. Its id must stay the same (RFC 4151).
    _add(entry, "id", f"tag:{settings.host},{_moment(card.created_at)[:10]}:post/{card.id}")
    _add(entry, "title", _title(card.body))
    _add(entry, "published", _moment(card.created_at))
    _add(entry, "updated", _moment(card.changed_at))
    _add(entry, "link", rel="alternate", type="text/html", href=f"{settings.base_url}/user/{card.username}/{card.id}")
    _add_author(entry, card.username, settings)
    _add(entry, "content", str(card.markup), type="html")


def _add_author(parent: ET.Element, username: str, settings: Settings) -> None:
    author = _add(parent, "author")
    _add(author, "name", username)
    _add(author, "uri", f"{settings.base_url}/user/{username}")


def _add(parent: ET.Element, name: str, text: str = "", **attributes: str) -> ET.Element:
    element = ET.SubElement(parent, f"{{{_ATOM}}}{name}", attributes)
    element.text = _UNWRITABLE.sub("", text) or None
    return element


def _title(body: str) -> str:
    """A post's first words. A first word that is too long is cut."""
    title = shorten(body, MOST_OF_TITLE, placeholder="…")
    return title if title != "…" else f"{body[: MOST_OF_TITLE - 1]}…"


def _moment(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
