"""Makes the exports that people ask for, one at a time in each web process, in the background."""

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence

from jinja2 import Environment

from webapp.accounts import users
from webapp.archives import exports
from webapp.archives.exports import Lease, LeaseLost, Queue
from webapp.archives.writing import Archive
from webapp.database import Database
from webapp.database.refusals import is_away
from webapp.logs import Report
from webapp.settings import Settings
from webapp.temporary_files import NoRoom

log = logging.getLogger("webapp.archives")

POLL_SECONDS = 20.0
PAUSE_SECONDS = 0.01  # between two batches: visitors go first


class Worker(ABC):
    """Does long work, one piece after the other. What is asked for in this process starts at once; polling finds the
    rest.
    """

    name = ""

    def __init__(self, settings: Settings, database: Database, queue: Queue) -> None:
        self._settings, self._database, self.queue = settings, database, queue
        self._asked = asyncio.Event()
        self.is_stopping = False

    @abstractmethod
    async def work(self, lease: Lease) -> None:
        """Does one piece of work, under its lease. Raises LeaseLost."""

    async def do_one(self) -> bool:
        """Does what has waited longest; returns whether there was anything."""
        async with self._database.session(is_writing=True) as db:
            lease = await self.queue.claim(db)
            await db.commit()
        if lease is None:
            return False
        try:
            await self.work(lease)
        except LeaseLost:
            log.warning("work_overtaken", extra={"fields": {"work": self.name, "id": lease.id}})
            if self.is_stopping:
                await self._hand_back(lease)
        except Exception as error:
            if is_away(error) or isinstance(error, NoRoom):
                await self._hand_back(lease)
            raise
        return True

    async def _hand_back(self, lease: Lease) -> None:
        """Leaves it for another try as soon as that can be recorded, which takes a while if the disk is full."""
        while True:
            try:
                async with self._database.session(is_writing=True) as db:
                    await self.queue.hand_back(db, lease)
                    return await db.commit()
            except Exception as error:
                if self.is_stopping or not is_away(error):
                    raise
            await self._wait()

    def wake(self) -> None:
        self._asked.set()

    def stop(self) -> None:
        """Lets `run` end after the current step. Cancelling a statement would leave its connection open."""
        self.is_stopping = True
        self.wake()

    async def run(self, report: Report) -> None:
        """Runs until stopped. Half-done work is begun again, here or elsewhere, once its lease ends.

        It is the first to need the database when a site starts, so the admin learns from it if that can't be used.
        """
        while not self.is_stopping:
            try:
                while not self.is_stopping and await self.do_one():
                    pass
            except NoRoom as error:
                log.warning("no_room", extra={"fields": {"reason": str(error)}})
                await report(error, self.name)
            except Exception as error:
                if not is_away(error):
                    log.warning("work_failed", extra={"fields": {"work": self.name}}, exc_info=True)
                await report(error, self.name)
            await self._wait()

    async def _wait(self) -> None:
        """Waits until something is asked for here, or another process may have left it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0 if self.is_stopping else POLL_SECONDS):
                await self._asked.wait()
        self._asked.clear()


class Maker(Worker):
    """Claims waiting exports and makes them."""

    name = "export"

    def __init__(self, settings: Settings, database: Database, templates: Environment) -> None:
        super().__init__(settings, database, exports.queue)
        self._templates = templates

    async def work(self, lease: Lease) -> None:
        async with self._database.session(is_writing=True) as db:
            user = await users.get(db, lease.user_id)
            await exports.begin(db, lease)
            await db.commit()
        if user is None:
            raise LeaseLost
        numbers, done = 0, 0

        async def keep(pieces: Sequence[bytes], steps: int) -> None:
            nonlocal numbers, done
            if self.is_stopping:
                raise LeaseLost  # to whoever claims it next
            done += steps
            async with self._database.session(is_writing=True) as db:
                await exports.queue.hold(db, lease, done=done, total=archive.steps)
                if pieces:
                    await exports.add_chunks(db, lease, numbers, list(pieces))
                await db.commit()
            numbers += len(pieces)
            await asyncio.sleep(PAUSE_SECONDS)

        archive = Archive(self._database, self._settings, self._templates, user, keep)
        size = await archive.write()
        async with self._database.session(is_writing=True) as db:
            await exports.finish(db, lease, size)
            if self._settings.sends_mail:
                await users.tell(db, self._settings, user, "export_ready")
            await db.commit()
