"""Reads an archive: our own, or Mastodon's. Nothing of it is unpacked onto the disk, and none of it is believed.

Only members of known names are read, each up to a bound, whatever its header promises.
"""

import csv
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

from webapp.archive_imports import zips
from webapp.archive_imports.json_stream import JsonStream, TooMuch
from webapp.archive_imports.zips import MOST_BYTES, Unreadable
from webapp.archives.activities import PUBLIC
from webapp.clock import moment_in
from webapp.i18n import N_
from webapp.names.identities import USERNAME
from webapp.posts import text
from webapp.settings import Settings
from webapp.web import plain_text

MOST_OF_TABLE = MOST_BYTES // 10
MOST_OF_LINE = 10_000  # bytes
BROKEN = N_("A file in that zip can't be read. Have a new one made, and try again.")
NOT_HERE = N_("people who aren't here")
LISTS = ("following", "muted", "blocked")  # what our own archive calls them
MOST_LISTED = 100_000  # people, in each list
WINDOW = -10  # of zlib: 1 KB, and no header


class ArchivedPost(NamedTuple):
    """A post of an archive. Its clean body is packed: 100,000 in Cyrillic would take 76 MB of memory, and take 46."""

    packed: bytes
    created_at: datetime

    @classmethod
    def of(cls, body: str, created_at: datetime) -> Self:
        packing = zlib.compressobj(level=1, wbits=WINDOW, memLevel=4)  # small tables, made in no time
        return cls(packing.compress(body.encode()) + packing.flush(), created_at)

    @property
    def body(self) -> str:
        return zlib.decompress(self.packed, WINDOW).decode()


@dataclass
class Archive:
    """What an archive holds that can be brought in, and what can't, by the reason."""

    posts: list[ArchivedPost] = field(default_factory=list)
    people: dict[str, list[str]] = field(default_factory=dict)  # of each list: usernames, as they may be known here
    left_out: Counter[str] = field(default_factory=Counter)


def read(settings: Settings, file: Path | IO[bytes], go_on: Callable[[], None] = lambda: None) -> Archive:
    """What an archive holds, a piece in memory at a time, with `go_on` called for each. Raises Unreadable."""
    archive = Archive(people={name: [] for name in LISTS})
    with zips.opened(file) as zipped:
        try:
            _take_posts(settings, archive, zipped, go_on)
            if "account.json" in zipped.namelist():
                _take_lists(archive, zipped, go_on)
            if "following_accounts.csv" in zipped.namelist():
                for name in _of_table(settings, archive, zipped, go_on):
                    _list(archive, "following", name)
        except zips.UNREADABLE:
            raise Unreadable(zips.NO_ZIP) from None
    return archive


def _items(
    zipped: zipfile.ZipFile, name: str, arrays: Sequence[str], go_on: Callable[[], None]
) -> Iterator[tuple[str, Any]]:
    """The items in a member's arrays, each with the name of its array. The first array must be there."""
    with zipped.open(name) as member:
        stream = JsonStream(member, MOST_BYTES, go_on)
        try:
            yield from stream.items(*arrays)
        except TooMuch:
            raise Unreadable(zips.TOO_LARGE) from None
        except (ValueError, RecursionError):
            raise Unreadable(BROKEN) from None
    if arrays[0] not in stream.arrays:
        raise Unreadable(BROKEN)


def _take_posts(settings: Settings, archive: Archive, zipped: zipfile.ZipFile, go_on: Callable[[], None]) -> None:
    for _array, item in _items(zipped, "outbox.json", ["orderedItems"], go_on):
        try:
            archive.posts.append(_post(settings, item))
        except ValueError as refused:
            archive.left_out[str(refused)] += 1
    archive.posts.sort(key=lambda post: post.created_at)
    archive.posts.reverse()  # newest first, as `posts.import_all` wants them; of one moment, the later in the file


def _post(settings: Settings, item: Any) -> ArchivedPost:
    """Raises ValueError with the reason why it is left out."""
    note = item.get("object") if isinstance(item, dict) else None
    if isinstance(item, dict) and item.get("type") == "Announce":
        raise ValueError(N_("somebody else's post that you boosted"))
    if not isinstance(note, dict) or note.get("type") != "Note":
        raise ValueError(N_("not a kind of post that we know"))
    if PUBLIC not in [*_listed(note.get("to")), *_listed(note.get("cc"))]:
        raise ValueError(N_("not public"))
    answered = note.get("inReplyTo")
    if answered and not str(answered).startswith(str(item.get("actor") or "\0")):
        raise ValueError(N_("a reply to somebody else"))
    try:
        whole = _body(settings, note).encode(errors="replace").decode()  # JSON may have half a character (\ud800)
        body = text.clean(whole)
    except ValueError:
        raise ValueError(N_("empty, longer than a post can be here, or with characters not allowed here")) from None
    return ArchivedPost.of(body, _moment(note.get("published")))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _body(settings: Settings, note: dict[str, Any]) -> str:
    source, summary = note.get("source"), note.get("summary")
    if isinstance(source, dict) and source.get("mediaType") == "text/plain":
        return str(source.get("content") or "")
    plain = plain_text.of(str(note.get("content") or ""), settings.host)
    return f"{summary}\n\n{plain}" if isinstance(summary, str) and summary else plain


def _moment(value: Any) -> datetime:
    """Raises ValueError with the reason."""
    try:
        return moment_in(value)
    except ValueError:
        raise ValueError(N_("without a date, or with one before 1970")) from None


def _take_lists(archive: Archive, zipped: zipfile.ZipFile, go_on: Callable[[], None]) -> None:
    """The people our own archive says its owner followed, muted and blocked."""
    for name, row in _items(zipped, "account.json", LISTS, go_on):
        if isinstance(row, dict) and isinstance(row.get("username"), str):
            _list(archive, name, row["username"])


def _list(archive: Archive, name: str, username: str) -> None:
    """Only possible usernames. Anything else may be as long as it likes, and no database should be asked for it."""
    if len(archive.people[name]) == MOST_LISTED:
        raise Unreadable(zips.TOO_LARGE)
    if USERNAME.fullmatch(username):
        archive.people[name].append(username)
    else:
        archive.left_out[NOT_HERE] += 1


def _of_table(
    settings: Settings, archive: Archive, zipped: zipfile.ZipFile, go_on: Callable[[], None]
) -> Iterator[str]:
    """The people in Mastodon's list who are here."""
    with zipped.open("following_accounts.csv") as member:
        rows = csv.reader(_lines(member, go_on))
        try:
            header = next(rows, [])
            column = header.index("Account address") if "Account address" in header else len(header)
            for number, row in enumerate(rows):
                if number == MOST_LISTED:
                    raise Unreadable(zips.TOO_LARGE)
                name, _at, host = "".join(row[column : column + 1]).partition("@")
                if host == settings.host:
                    yield name
                elif name:
                    archive.left_out[N_("somebody on another site, who can't be followed from here")] += 1
        except (ValueError, csv.Error):
            raise Unreadable(BROKEN) from None


def _lines(member: IO[bytes], go_on: Callable[[], None]) -> Iterator[str]:
    """One at a time, as every comma of a line becomes a value, and each takes far more memory. Raises Unreadable."""
    left, encoding = MOST_OF_TABLE, "utf-8-sig"
    while line := member.readline(MOST_OF_LINE + 1):
        go_on()
        left -= len(line)
        if left < 0 or len(line) > MOST_OF_LINE:
            raise Unreadable(zips.TOO_LARGE)
        yield line.decode(encoding)
        encoding = "utf-8"
