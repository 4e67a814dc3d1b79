"""Makes a commit on SQLite wait until its data is on the disk, and not just with the kernel.

SQLite's own `synchronous=FULL` flushes within each commit, holding its lock and, here, blocking the event loop. Instead
a commit only appends to the log (`synchronous=NORMAL`), frees the lock and the connection, and is answered once the log
has been flushed. All commits that arrive during a flush share the next one. The log grows in the order of commits and
is read from its beginning, so a flush covers everything before it, whichever process wrote it.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

log = logging.getLogger("webapp.database")


class Flush:
    """Flushes the log of one database, for one process. A database in memory has no log."""

    def __init__(self) -> None:
        self.sync: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)  # macOS only has the second
        self._log = ""
        self._committed = self._flushed = 0
        self._running: asyncio.Task[None] | None = None
        self._catching_up: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "flush")

    def watch(self, connection: Any, _record: object) -> None:
        """Watches the commits of a new connection to SQLite."""
        cursor = connection.cursor()
        cursor.execute("PRAGMA database_list")
        file = cursor.fetchall()[0][2]
        cursor.close()
        self._log = f"{file}-wal" if file else ""
        connection.driver_connection.after_commit = self.note

    def note(self) -> None:
        """Something was committed that may not be on the disk yet."""
        self._committed += 1

    async def wait(self) -> None:
        """Returns once everything committed so far is on the disk. Raises OSError if that fails."""
        mine = self._committed
        while self._flushed < mine:
            if self._running is None:
                self._running = asyncio.create_task(self._flush())
            await asyncio.shield(self._running)

    def begin(self) -> None:
        """Flushes everything committed so far, and waits for nothing. The log tells of a failure."""
        if self._catching_up is None or self._catching_up.done():
            self._catching_up = asyncio.create_task(self._catch_up())

    def close(self) -> None:
        self._thread.shutdown(wait=False)

    async def _catch_up(self) -> None:
        try:
            while self._flushed < self._committed:
                await self.wait()
        except OSError:
            log.exception("flush_failed")

    async def _flush(self) -> None:
        until = self._committed
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._sync_log)
            self._flushed = until
        finally:
            self._running = None

    def _sync_log(self) -> None:
        # Without a log, the last connection has closed, and has written everything into the database and flushed it.
        with contextlib.suppress(FileNotFoundError):
            file = os.open(self._log, os.O_RDWR)
            try:
                self.sync(file)
            finally:
                os.close(file)
