"""How long those wait who want a connection to the database."""

import time
from typing import Any

from sqlalchemy import PoolProxiedConnection
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import AsyncAdaptedQueuePool

# Nobody tells those who wait that a connection could not be opened and that it is their turn to try: they look
# themselves, once in so many seconds. Else each second visitor waits to the end while SQLite's file can't be opened.
LOOK_EVERY = 0.5


class Waits:
    """How often a connection was asked for, how long that took in all, and who waits now."""

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self.waiting = 0


class TimedPool(AsyncAdaptedQueuePool):
    """The usual pool, with a time limit: anybody who has waited for `patience` seconds is turned away."""

    patience = 3.5

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.waits = Waits()
        self.failed: tuple[float, Exception] | None = None

    def connect(self) -> PoolProxiedConnection:
        waits, began = self.waits, time.perf_counter()
        waits.count += 1
        waits.waiting += 1
        try:
            while True:
                try:
                    return super().connect()
                except PoolTimeout as error:
                    if refusal := self.refusal(began, error):
                        raise refusal from None
                except Exception as error:
                    self.failed = time.perf_counter(), error
                    raise
        finally:
            waits.waiting -= 1
            waits.seconds += time.perf_counter() - began

    def refusal(self, began: float, error: Exception) -> Exception | None:
        """What to raise for somebody who has waited since then, if that is long enough."""
        return error if time.perf_counter() - began > self.patience else None


class OnlyConnection(TimedPool):
    """SQLite's: one for all. If it could not be opened for one, it could not for those who waited meanwhile."""

    patience = 10.0

    def refusal(self, began: float, error: Exception) -> Exception | None:
        if self.failed and self.failed[0] > began:
            return self.failed[1].with_traceback(None)
        return super().refusal(began, error)
