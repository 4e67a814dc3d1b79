"""The load client: plain HTTP/1.1 over a few kept connections, in a process of its own."""

import asyncio
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import cast

import uvloop

CONNECTIONS = 32
PATIENCE = 30.0

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Figures:
    """What one run measured. `milliseconds` is how long each answer took, in order of size, and `processor` how many
    seconds of it the server used.
    """

    seconds: float
    milliseconds: list[float]
    statuses: dict[int, int]
    processor: float = 0.0

    @property
    def answers(self) -> int:
        return len(self.milliseconds)

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds

    @property
    def cost(self) -> float:
        """Microseconds of the processor for each answer: on a machine that does much else, the steadiest figure."""
        return self.processor / self.answers * 1e6

    @cached_property
    def _percentiles(self) -> list[float]:
        return statistics.quantiles(self.milliseconds, n=100)

    @property
    def p50(self) -> float:
        return self._percentiles[49]

    @property
    def p99(self) -> float:
        return self._percentiles[98]


def run(
    port: int, write: Callable[[int], bytes], first: int, seconds: float, connections: int = CONNECTIONS
) -> Figures:
    """Asks for so long, on every connection as soon as it was answered. `write(number)` is a whole request.

    `number` goes up from `first`, so that no two requests need be the same.
    """
    return uvloop.run(_run(port, map(write, count(first)), seconds, connections))


async def _run(port: int, requests: Iterator[bytes], seconds: float, connections: int) -> Figures:
    loop = asyncio.get_running_loop()
    milliseconds: list[float] = []
    statuses: Counter[int] = Counter()
    visitors = []
    for _number in range(connections):
        _transport, visitor = await loop.create_connection(
            lambda: Visitor(requests, milliseconds, statuses), "127.0.0.1", port
        )
        visitors.append(visitor)
        await asyncio.sleep(0.005)  # in a rush, one worker of the server would take nearly all of them
    started = time.perf_counter()
    for visitor in visitors:
        visitor.begin(until=started + seconds)
    async with asyncio.timeout(seconds + PATIENCE):
        await asyncio.gather(*(visitor.left for visitor in visitors))
    return Figures(time.perf_counter() - started, sorted(milliseconds), dict(statuses))


class Visitor(asyncio.Protocol):
    """One connection: asks, waits for the whole answer, asks again, and leaves when the time is up."""

    def __init__(self, requests: Iterator[bytes], milliseconds: list[float], statuses: Counter[int]) -> None:
        self.requests = requests
        self.milliseconds = milliseconds
        self.statuses = statuses
        self.left: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._received = b""
        self._is_done = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def begin(self, until: float) -> None:
        self.until = until
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, blank_line, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not blank_line or (length and len(body) < int(length[1])):
            return
        moment = time.perf_counter()
        self.milliseconds.append((moment - self.asked) * 1000)
        self.statuses[int(head[9:12])] += 1
        self._received = b""
        if moment < self.until:
            self._ask()
        else:
            self._is_done = True
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if self._is_done:
            self.left.set_result(None)
        else:
            self.left.set_exception(error or ConnectionResetError("the server hung up"))

    def _ask(self) -> None:
        self.asked = time.perf_counter()
        self.transport.write(next(self.requests))
