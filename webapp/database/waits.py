"""How long requests wait for a database connection."""

import time
from typing import Any

from sqlalchemy import PoolProxiedConnection
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import AsyncAdaptedQueuePool

LOOK_EVERY = 1.0  # seconds
MOST_SECONDS = 10.0


class Waits:
    """How often a connection was asked for, how long that took in total, and how many are waiting now."""

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self.waiting = 0


class TimedPool(AsyncAdaptedQueuePool):
    """The usual pool, with the waits counted."""

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
