"""Writes the file: a zip that can be read without the site, a few hundred posts at a time.

The whole file is never in memory: compressed data leaves in pieces, and the database is asked again for each.
"""

import asyncio
import csv
import io
import json
import time
import zipfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import IO, Any

from babel.dates import format_skeleton
from jinja2 import Environment, Template
from sqlalchemy import select

from webapp import i18n
from webapp.accounts.models import User
from webapp.archives import activities, contents
from webapp.archives.activities import ExportedPost
from webapp.database import Database, execute, table
from webapp.posts.models import Post
from webapp.posts.text import markup
from webapp.settings import Settings

PIECE = 256 * 1024
AT_ONCE = contents.AT_ONCE
WRITTEN_AT_ONCE = 10  # posts; one that is full of links takes two milliseconds
FIRST = -(2**62)  # no post has a lower number: imported ones have numbers below zero
LISTED = ("following", "followers")  # also in index.html
# What a spreadsheet would take for a formula (OWASP, CSV Injection).
FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")

_posts = table(Post)
Keep = Callable[[Sequence[bytes], int], Awaitable[None]]


class ZipStream(io.RawIOBase):
    """What the zip is written into: it can't seek, and hands over complete pieces."""

    def __init__(self) -> None:
        self._held = bytearray()
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._held += data
        self.size += len(data)
        return len(data)

    def take(self, *, all_of_it: bool = False) -> list[bytes]:
        found = []
        while len(self._held) >= PIECE or (all_of_it and self._held):
            found.append(bytes(self._held[:PIECE]))
            del self._held[:PIECE]
        return found


class Archive:
    """One person's file. `keep` stores pieces of it, and the progress: each post is written three times."""

    def __init__(self, database: Database, settings: Settings, templates: Environment, user: User, keep: Keep) -> None:
        self.database, self.settings, self.templates, self.user = database, settings, templates, user
        self._keep = keep
        self._pieces = ZipStream()
        self._numbers: list[int] = []
        self._months: Counter[str] = Counter()
        self._names: dict[str, list[str]] = {}

    async def write(self) -> int:
        """Writes all of it; returns how many bytes."""
        await self._look()
        language = i18n.pick(self.settings.languages, [self.user.language])
        with i18n.use(language, is_typeset=True), zipfile.ZipFile(self._pieces, "w", zipfile.ZIP_DEFLATED) as zipped:
            zipped.writestr("actor.json", json.dumps(activities.actor(self.settings, self.user), indent=1))
            await self._write_account(zipped)
            await self._write_outbox(zipped)
            await self._write_csv(zipped)
            await self._write_months(zipped)
            await self._write_index(zipped)
        await self._keep(self._pieces.take(all_of_it=True), 0)
        return self._pieces.size

    @property
    def steps(self) -> int:
        return 3 * len(self._numbers)

    async def _look(self) -> None:
        """Which posts there are, oldest first: by date, since imported ones are older than their numbers."""
        found: list[tuple[datetime, int]] = []
        mine = select(_posts.c.created_at, _posts.c.id).where(
            _posts.c.author_id == self.user.id, _posts.c.deleted_at.is_(None)
        )
        last = FIRST
        while True:
            async with self.database.session() as db:
                rows = (await execute(db, mine.where(_posts.c.id > last).order_by(_posts.c.id).limit(5000))).all()
            if not rows:
                break
            found += [(row.created_at, row.id) for row in rows]
            self._months.update(f"{row.created_at.astimezone(UTC):%Y-%m}" for row in rows)
            last = rows[-1].id
        found.sort()
        self._numbers = [number for _when, number in found]

    async def _posts(self) -> AsyncIterator[list[ExportedPost]]:
        """All posts, oldest first. What is compressed is stored before more are read."""
        columns = [_posts.c[name] for name in ExportedPost._fields]
        for start in range(0, len(self._numbers), AT_ONCE):
            some = self._numbers[start : start + AT_ONCE]
            query = select(*columns).where(_posts.c.id.in_(some), _posts.c.deleted_at.is_(None))
            async with self.database.session() as db:
                rows = [ExportedPost(*row) for row in await execute(db, query)]
            rows.sort(key=lambda row: (row.created_at, row.id))
            for first in range(0, len(rows), WRITTEN_AT_ONCE):
                began = time.monotonic()
                yield rows[first : first + WRITTEN_AT_ONCE]
                await asyncio.sleep(time.monotonic() - began)  # as much time for the visitors as for us
            await self._keep(self._pieces.take(), len(some))

    async def _write_account(self, zipped: zipfile.ZipFile) -> None:
        with zipped.open("account.json", "w") as member:
            member.write(b"{")
            async with self.database.session() as db:
                start = "\n"
                async for title, rows in contents.sections(db, self.user):
                    member.write(f"{start} {json.dumps(title)}: [\n  ".encode())
                    for at in range(0, len(rows), AT_ONCE):
                        lines = [json.dumps(row, ensure_ascii=False) for row in rows[at : at + AT_ONCE]]
                        member.write((",\n  " * bool(at) + ",\n  ".join(lines)).encode())
                        await asyncio.sleep(0)
                    member.write(b"\n ]")
                    start = ",\n"
                    if title in LISTED:
                        self._names[title] = [row["username"] for row in rows]
            member.write(b"\n}\n")

    async def _write_outbox(self, zipped: zipfile.ZipFile) -> None:
        head = {"@context": activities.CONTEXT, "id": "outbox.json", "type": "OrderedCollection"}
        count = 0
        with zipped.open("outbox.json", "w") as member:
            member.write(f'{json.dumps(head)[:-1]}, "orderedItems": [\n'.encode())
            async for some in self._posts():
                for post in [each for each in some if not each.removed_because]:
                    activity = activities.create(self.settings, self.user, post)
                    member.write((",\n" if count else "").encode() + json.dumps(activity, ensure_ascii=False).encode())
                    count += 1
            member.write(f'\n], "totalItems": {count}}}\n'.encode())

    async def _write_csv(self, zipped: zipfile.ZipFile) -> None:
        with zipped.open("posts.csv", "w") as member:
            member.write(b"\xef\xbb\xbf")  # otherwise Excel guesses another encoding
            _write_rows(member, [("number", "created", "edited", "reply to", "text", "removed because")])
            async for some in self._posts():
                _write_rows(member, [_row(row) for row in some])

    async def _write_months(self, zipped: zipfile.ZipFile) -> None:
        """A page for each month, since a person may have written for many years."""
        page: IO[bytes] | None = None
        shown = ""
        async for some in self._posts():
            for post in some:
                month = f"{post.created_at.astimezone(UTC):%Y-%m}"
                if month != shown or page is None:
                    self._close(page)
                    page, shown = zipped.open(f"posts/{month}.html", "w"), month
                    page.write(self._rendered("head", title=_named(month), root="../"))
                page.write(self._rendered("post", post=post, markup=markup(post.body, ())))
        self._close(page)

    async def _write_index(self, zipped: zipfile.ZipFile) -> None:
        months = [(month, _named(month), count) for month, count in sorted(self._months.items(), reverse=True)]
        values = {"months": months, "posts": len(self._numbers), "names": self._names}
        index = self._template("index").stream(person=self.user, **values)
        index.enable_buffering(AT_ONCE)
        with zipped.open("index.html", "w") as page:
            page.write(self._rendered("head", title=self.user.username, root=""))
            for piece in index:
                page.write(piece.encode())
                await asyncio.sleep(0)
            page.write(self._rendered("foot"))

    def _close(self, page: IO[bytes] | None) -> None:
        if page is not None:
            page.write(self._rendered("foot"))
            page.close()

    def _rendered(self, name: str, **values: Any) -> bytes:
        return self._template(name).render(person=self.user, language=i18n.current(), **values).encode()

    def _template(self, name: str) -> Template:
        return self.templates.get_template(f"archives/_{name}.html")


def _named(month: str) -> str:
    """As people write it: November 2026."""
    name = format_skeleton("yMMMM", datetime.fromisoformat(f"{month}-01"), locale=i18n.locale())
    return name[0].upper() + name[1:]


def _write_rows(member: IO[bytes], rows: Sequence[Sequence[object]]) -> None:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    member.write(text.getvalue().encode())


def _row(post: ExportedPost) -> tuple[object, ...]:
    edited = activities.moment(post.edited_at) if post.edited_at else ""
    moments = activities.moment(post.created_at), edited
    return post.id, *moments, post.reply_to_id or "", _harmless(post.body), _harmless(post.removed_because)


def _harmless(text: str) -> str:
    return f"'{text}" if text.lstrip(" \n").startswith(FORMULA) else text
