"""Whose turn is next: so many at a time and, among those who wait, one of each client IP before the next of any.

The field calls it fair queueing (RFC 970): behind a crowd, one waits for one request of each client IP, not for all.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar

from webapp.limit_windows import wider

# For a turn, or for what others hold. With the time that a statement may take, a frozen database is a page that says so
# within ten seconds. A request that has waited longer is only told so, which takes a tenth of a page's time.
MAX_WAIT_SECONDS = 4.0
Line = dict[str, deque[asyncio.Future[None]]]


class Busy(Exception):
    """This process has more to do than it can handle; worth another try in a moment."""


class FairQueue:
    """Lets client IPs take turns, of IPv6 the /48 around them. Those in the second line wait for all in the first."""

    def __init__(self, most: int) -> None:
        self.free = most  # below zero while somebody has come back who was aside
        self._first: Line = {}
        self._second: Line = {}

    async def enter(self, client_ip: str, *, is_second: bool = False) -> None:
        """Returns once there is room, and takes it."""
        if self.free > 0:
            self.free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        line = self._second if is_second else self._first
        line.setdefault(wider(client_ip) or client_ip, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # our turn had come
                self.leave()
            raise

    def leave(self) -> None:
        """Makes room for the next. Others from the same client IP go behind everybody else."""
        self.free += 1
        while (line := self._first or self._second) and self.free > 0:
            client_ip = next(iter(line))
            turns = line.pop(client_ip)
            turn = turns.popleft()
            if turns:
                line[client_ip] = turns
            if not turn.done():
                self.free -= 1
                turn.set_result(None)


class Turn:
    """A request's turn in a queue: not begun, under way or over."""

    __slots__ = ("_client_ip", "_has_begun", "_queue", "waited")

    def __init__(self, queue: FairQueue, client_ip: Callable[[], str]) -> None:
        self._queue = queue
        self._client_ip = client_ip
        self._has_begun = False
        self.waited = 0.0  # seconds

    async def begin(self) -> None:
        if self._queue.free > 0:
            self._queue.free -= 1
        else:
            began = time.monotonic()
            await self._queue.enter(self._client_ip())
            self.waited += time.monotonic() - began
        self._has_begun = True

    def end(self) -> bool:
        """Ends the turn; returns whether there was one to end."""
        if not self._has_begun:
            return False
        self._has_begun = False
        self._queue.leave()
        return True

    def go_on(self) -> None:
        """Begins again at once, before those who are waiting."""
        self._queue.free -= 1
        self._has_begun = True


current_turn: ContextVar[Turn | None] = ContextVar("current_turn", default=None)


@contextmanager
def aside() -> Iterator[None]:
    """Leaves the turn to others while this request waits for something slow that is bounded by itself.

    It then goes on at once: somebody who waits for their turn may be waiting for what this one holds.
    """
    turn = current_turn.get()
    had = turn is not None and turn.end()
    try:
        yield
    finally:
        if turn and had:
            turn.go_on()


@asynccontextmanager
async def outside() -> AsyncIterator[None]:
    """Leaves the turn to others, and waits for another one afterwards: for a request that holds nothing they need."""
    turn = current_turn.get()
    had = turn is not None and turn.end()
    try:
        yield
    finally:
        if turn and had:
            await turn.begin()


def seconds_waited() -> float:
    """How long this request has waited for its turns, and for what others hold."""
    turn = current_turn.get()
    return turn.waited if turn else 0.0


@asynccontextmanager
async def held(lock: asyncio.Lock | asyncio.Semaphore, *, is_patient: bool = False) -> AsyncIterator[None]:
    """Holds a lock, and waits for it aside. Raises Busy if the request has then waited too long, unless it is patient:
    the one with the lock may be waiting for a frozen database, and of many in a row, each would wait for all before it.
    """
    began, turn = time.monotonic(), current_turn.get()
    with aside():
        try:
            async with asyncio.timeout(None if is_patient else MAX_WAIT_SECONDS - seconds_waited()):
                await lock.acquire()
        except TimeoutError:
            raise Busy("It waited too long for another request.") from None
    if turn:
        turn.waited += time.monotonic() - began
    try:
        yield
    finally:
        lock.release()
