"""How long those wait who want a connection to the database."""

import time
from typing import Any

from sqlalchemy import PoolProxiedConnection
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import AsyncAdaptedQueuePool

LOOK_EVERY = 1.0  # seconds
MOST_SECONDS = 10.0


class Waits:
    """How often a connection was asked for, how long that took in all, and who waits now."""

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self.waiting = 0


class TimedPool(AsyncAdaptedQueuePool):
    """The usual pool, which counts how long people wait."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.waits = Waits()

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


class OnlyConnection(TimedPool):
    """SQLite's: one for all.

    If the file could not be opened for one, it could not for those who waited meanwhile. Nobody tells them, so they
    look, once in so many seconds: else each second visitor waits to the end. Its timeout must be LOOK_EVERY.
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
