"""Imports the archives that people have uploaded, one at a time in each web process, beside the visitors."""

import asyncio
import json
import time
from collections.abc import Coroutine, Sequence
from typing import IO, Any

from webapp import temporary_files
from webapp.archive_imports import people, reading, uploads
from webapp.archive_imports.reading import NOT_HERE, Archive, ArchivedPost
from webapp.archive_imports.zips import Unreadable
from webapp.archives.exports import Lease, LeaseLost
from webapp.archives.maker import Worker
from webapp.database import Database
from webapp.i18n import N_
from webapp.posts import posts
from webapp.posts.posts import ImportedPost
from webapp.settings import Settings

AT_ONCE = 300  # posts, if they are short: the database looks at each character, and visitors wait meanwhile
MOST_CHARACTERS = 30_000
RENEW_SECONDS = 20
PEOPLE_AT_ONCE = 50
MOST_NEW = 20_000  # posts; the next upload goes on from there
MOST_IMPORTED = 100_000  # posts of one account: what it brings stays, and takes room in all backups
MOST_PEOPLE = 400  # in each list: as many as the buttons allow in an hour
TOO_MANY = N_("more than one import takes: upload the file again tomorrow")
FULL = N_("over the 100,000 imported posts that an account can have here")
WORE_OUT = N_("We couldn't finish it. Please tell the admin of this site.")
MOST_REASONS = 20
MOST_CRASHES = 5  # of processes that were importing it


class Importer(Worker):
    """Claims archives uploaded here or elsewhere. If it ends half-way, nothing is lost or doubled."""

    name = "import"

    def __init__(self, settings: Settings, database: Database, renew_seconds: float = RENEW_SECONDS) -> None:
        super().__init__(settings, database, uploads.queue)
        self._renew_seconds = renew_seconds

    async def work(self, lease: Lease) -> None:
        try:
            archive = await self._read(lease)
        except Unreadable as refused:
            return await self._finish(lease, {"unreadable": str(refused)})
        seen = await self._add(lease, archive)
        lists = {kind: await self._restore(lease, archive, kind) for kind in people.KINDS}
        left_out = {reason: count for reason, count in archive.left_out.most_common(MOST_REASONS) if count}
        await self._finish(lease, {"seen": seen, "people": lists, "left_out": left_out})

    async def _read(self, lease: Lease) -> Archive:
        """Raises LeaseLost or Unreadable."""
        async with self._database.session() as db:
            if await uploads.crashes(db, lease) >= MOST_CRASHES:
                raise Unreadable(WORE_OUT)
        with temporary_files.file() as file:
            async for piece in uploads.content(self._database, lease):
                await asyncio.to_thread(_write, file, piece)
            return await self._held(lease, asyncio.to_thread(reading.read, self._settings, file, self._go_on))

    def _go_on(self) -> None:
        """Asked for each thing in a file, so that a large one keeps no process from ending. Raises LeaseLost."""
        if self.is_stopping:
            raise LeaseLost  # to whoever claims it next

    async def _held(self, lease: Lease, work: Coroutine[Any, Any, Archive]) -> Archive:
        """What the work brings; the lease is renewed for as long as it takes. Raises LeaseLost."""
        task = asyncio.create_task(work)
        try:
            while not (await asyncio.wait([task], timeout=self._renew_seconds))[0]:
                async with self._database.session(is_writing=True) as db:
                    await uploads.queue.hold(db, lease)
                    await db.commit()
        finally:
            await asyncio.wait([task])  # it reads a file that is closed afterwards
        return task.result()

    async def _add(self, lease: Lease, archive: Archive) -> int:
        """Adds the posts, newest first; returns how many of them are here now. Raises LeaseLost."""
        async with self._database.session() as db:
            room = max(0, MOST_IMPORTED - await posts.imported(db, lease.user_id))
        seen = new = over = 0
        while seen < len(archive.posts) and new < MOST_NEW:
            self._go_on()
            began, some = time.monotonic(), next_few(lease.user_id, archive.posts, seen)
            seen += len(some)
            async with self._database.session(is_writing=True) as db:
                await uploads.queue.hold(db, lease, done=seen, total=len(archive.posts))
                added, more = await posts.import_all(db, some, room - new)
                await uploads.add(db, lease, added)
                await db.commit()
            new, over = new + added, over + more
            await asyncio.sleep(time.monotonic() - began)  # as much time for the visitors as for us
        archive.left_out[FULL] += over
        archive.left_out[TOO_MANY] += len(archive.posts) - seen
        return seen - over

    async def _restore(self, lease: Lease, archive: Archive, kind: str) -> int:
        """Follows, mutes or blocks the people in a list; returns how many of them are now. Raises LeaseLost."""
        async with self._database.session() as db:
            plan = await people.plan(db, lease.user_id, kind, archive.people[kind])
        archive.left_out[NOT_HERE] += len(plan.unknown)
        archive.left_out[TOO_MANY] += len(plan.new[MOST_PEOPLE:])
        new = plan.new[:MOST_PEOPLE]
        for start in range(0, len(new), PEOPLE_AT_ONCE):
            began = time.monotonic()
            async with self._database.session(is_writing=True) as db:
                await uploads.queue.hold(db, lease)
                await people.add(db, lease.user_id, kind, new[start : start + PEOPLE_AT_ONCE])
                await db.commit()
            await asyncio.sleep(time.monotonic() - began)
        return plan.already + len(new)

    async def _finish(self, lease: Lease, report: dict[str, object]) -> None:
        async with self._database.session(is_writing=True) as db:
            await uploads.finish(db, lease, json.dumps(report))
            await db.commit()


def _write(file: IO[bytes], piece: bytes) -> None:
    with temporary_files.used():
        file.write(piece)
        file.flush()  # or a full disk would look like a broken zip


def next_few(user_id: int, archived: Sequence[ArchivedPost], start: int) -> list[ImportedPost]:
    """The posts from a place on that are added in one transaction."""
    some, left = list[ImportedPost](), MOST_CHARACTERS
    while left > 0 and len(some) < min(AT_ONCE, len(archived) - start):
        post = archived[start + len(some)]
        some.append(ImportedPost(user_id, post.body, post.created_at))
        left -= len(some[-1].body)
    return some
