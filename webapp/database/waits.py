"""How long those wait who want a connection to the database."""

import time
from typing import Any

from sqlalchemy import PoolProxiedConnection
from sqlalchemy.pool import AsyncAdaptedQueuePool


class Waits:
    """How often a connection was asked for, how long that took in all, and who waits now."""

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self.waiting = 0


class TimedPool(AsyncAdaptedQueuePool):
    """The usual pool, with a clock at its door."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.waits = Waits()

    def connect(self) -> PoolProxiedConnection:
        waits, began = self.waits, time.perf_counter()
        waits.count += 1
        waits.waiting += 1
        try:
            return super().connect()
        finally:
            waits.waiting -= 1
            waits.seconds += time.perf_counter() - began
