"""How long requests wait for a database connection."""

import asyncio
import time
from typing import Any

from sqlalchemy import PoolProxiedConnection
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry
from sqlalchemy.util import await_

LOOK_EVERY = 1.0  # seconds
MOST_SECONDS = 10.0


class Waits:
    """How often a connection was asked for, how long that took in total, and how many are waiting now."""

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self.waiting = 0


class TimedPool(AsyncAdaptedQueuePool):
    """The usual pool, with the waits counted, which gives its connections in the order in which they were asked for.

    The usual one may give a connection that has just come back to a newcomer; those who were waiting then wait again,
    behind everybody.
    """

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.waits = Waits()
        self._places = asyncio.Semaphore(self.size())

    def connect(self) -> PoolProxiedConnection:
        waits, began = self.waits, time.perf_counter()
        waits.count += 1
        waits.waiting += 1
        try:
            return self.wait(began)
        finally:
            waits.waiting -= 1
            waits.seconds += time.perf_counter() - began

    def wait(self, began: float) -> PoolProxiedConnection:
        return super().connect()

    def _do_get(self) -> ConnectionPoolEntry:
        await_(self._take_place())
        try:
            return super()._do_get()
        except BaseException:
            self._places.release()
            raise

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        super()._do_return_conn(record)
        self._places.release()

    async def _take_place(self) -> None:
        try:
            async with asyncio.timeout(self.timeout()):
                await self._places.acquire()
        except TimeoutError:
            raise PoolTimeout("All connections are in use.") from None


class OnlyConnection(TimedPool):
    """SQLite's pool: one connection for all.

    If the file couldn't be opened for one request, it couldn't for those that were waiting meanwhile either. Nobody
    tells them, so they look for themselves every LOOK_EVERY seconds; otherwise every second visitor would wait to the
    end. The pool's timeout must be LOOK_EVERY.
    """

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.failed: tuple[float, Exception] | None = None

    def wait(self, began: float) -> PoolProxiedConnection:
        while True:
            try:
                return super().wait(began)
            except PoolTimeout:
                if self.failed and self.failed[0] > began:
                    raise self.failed[1].with_traceback(None) from None
                if time.perf_counter() - began > MOST_SECONDS:
                    raise
            except Exception as error:
                self.failed = time.perf_counter(), error
                raise
