"""Reads an archive: our own, or Mastodon's. Nothing of it is unpacked onto the disk, and none of it is believed.

Only members of known names are read, each up to a bound, whatever its header promises.
"""

import csv
import io
import json
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from webapp.archives.activities import PUBLIC
from webapp.database import now
from webapp.posts import text
from webapp.settings import Settings

MOST_BYTES = 100 * 1024 * 1024  # of a member, unpacked: some 150,000 posts
# zipfile raises RuntimeError for a member with a password, and NotImplementedError for a compression it doesn't know.
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError)


class Unreadable(Exception):
    """This isn't an archive that we can read; says why."""


class Brought(NamedTuple):
    """A post of an archive, with a clean body."""

    body: str
    created_at: datetime


@dataclass
class Archive:
    """What an archive holds that can be brought in, and what can't, by the reason."""

    posts: list[Brought] = field(default_factory=list)
    following: list[str] = field(default_factory=list)  # usernames, as they may be known here
    left_out: Counter[str] = field(default_factory=Counter)


def read(settings: Settings, file: Path) -> Archive:
    """Raises Unreadable."""
    archive = Archive()
    try:
        with zipfile.ZipFile(file) as zipped:
            names = set(zipped.namelist())
            if "outbox.json" not in names:
                raise Unreadable("There is no outbox.json in it.")
            outbox = _json(zipped, "outbox.json")
            account = _json(zipped, "account.json") if "account.json" in names else {}
            table = _bytes(zipped, "following_accounts.csv") if "following_accounts.csv" in names else b""
    except UNREADABLE as error:
        raise Unreadable(f"It can't be read as a zip: {str(error)[:200] or type(error).__name__}.") from None
    _take_posts(settings, archive, outbox)
    archive.following = list(dict.fromkeys([*_of_account(account), *_of_table(settings, archive, table)]))
    return archive


def _bytes(zipped: zipfile.ZipFile, name: str) -> bytes:
    with zipped.open(name) as member:
        content = member.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise Unreadable(f"{name} unpacks to more than {MOST_BYTES // 1024 // 1024} MB.")
    return content


def _json(zipped: zipfile.ZipFile, name: str) -> Any:
    try:
        return json.loads(_bytes(zipped, name))
    except (ValueError, RecursionError):
        raise Unreadable(f"{name} is no JSON.") from None


def _take_posts(settings: Settings, archive: Archive, outbox: Any) -> None:
    items = outbox.get("orderedItems") if isinstance(outbox, dict) else None
    if not isinstance(items, list):
        raise Unreadable("outbox.json is no collection of ActivityStreams.")
    for item in items:
        try:
            archive.posts.append(_post(settings, item))
        except ValueError as refused:
            archive.left_out[str(refused)] += 1
    archive.posts.sort(key=lambda post: post.created_at)
    archive.posts.reverse()  # newest first, as `posts.import_all` wants them; of one moment, the later in the file


def _post(settings: Settings, item: Any) -> Brought:
    """Raises ValueError with the reason why it is left out."""
    note = item.get("object") if isinstance(item, dict) else None
    if isinstance(item, dict) and item.get("type") == "Announce":
        raise ValueError("a post of somebody else's, only passed on")
    if not isinstance(note, dict) or note.get("type") != "Note":
        raise ValueError("no post that we know")
    if PUBLIC not in [*_listed(note.get("to")), *_listed(note.get("cc"))]:
        raise ValueError("not public")
    answered = note.get("inReplyTo")
    if answered and not str(answered).startswith(str(item.get("actor") or "\0")):
        raise ValueError("an answer to somebody else")
    return Brought(text.clean(_body(settings, note)), _moment(note.get("published")))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _body(settings: Settings, note: dict[str, Any]) -> str:
    source, summary = note.get("source"), note.get("summary")
    if isinstance(source, dict) and source.get("mediaType") == "text/plain":
        return str(source.get("content") or "")
    plain = PlainText(settings, str(note.get("content") or "")).plain
    return f"{summary}\n\n{plain}" if isinstance(summary, str) and summary else plain


def _moment(value: Any) -> datetime:
    """Never one to come. Raises ValueError."""
    try:
        when = datetime.fromisoformat(str(value))
        return min((when if when.tzinfo else when.replace(tzinfo=UTC)).astimezone(UTC), now())
    except (ValueError, OverflowError):
        raise ValueError("without a date") from None


class PlainText(HTMLParser):
    """The text of a post that came as HTML. A mention of somebody elsewhere names their site, and so nobody here."""

    def __init__(self, settings: Settings, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self._settings = settings
        self._parts: list[str] = []
        self._behind: list[str] = []  # what follows each link that is open
        self._hidden = 0
        self.feed(html)
        self.close()

    @property
    def plain(self) -> str:
        return "".join(self._parts).strip()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"script", "style"}:
            self._hidden += 1
        elif tag == "br":
            self._parts.append("\n")
        elif tag == "p" and self._parts:
            self._parts.append("\n\n")
        elif tag == "a":
            self._behind.append(self._site_of(dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in {"script", "style"}:
            self._hidden = max(0, self._hidden - 1)
        elif tag == "a" and self._behind:
            self._parts.append(self._behind.pop())

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self._parts.append(data)

    def _site_of(self, attributes: dict[str, str | None]) -> str:
        classes = (attributes.get("class") or "").split()
        if "mention" not in classes or "hashtag" in classes:
            return ""
        try:
            host = urlsplit(attributes.get("href") or "").hostname or "elsewhere"
        except ValueError:
            host = "elsewhere"
        return "" if host == self._settings.host else f"@{host}"


def _of_account(account: Any) -> Iterator[str]:
    """Whom our own archive says its owner followed."""
    rows = account.get("following") if isinstance(account, dict) else None
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict) and isinstance(row.get("username"), str):
            yield row["username"]


def _of_table(settings: Settings, archive: Archive, content: bytes) -> Iterator[str]:
    """Whom Mastodon's list names, if they are here."""
    try:
        rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))
    except (UnicodeDecodeError, csv.Error):
        raise Unreadable("following_accounts.csv is no table.") from None
    for row in rows:
        name, _at, host = str(row.get("Account address") or "").partition("@")
        if host == settings.host:
            yield name
        elif name:
            archive.left_out["somebody on another site, who can't be followed from here"] += 1
