"""Who may wait for a hash."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.database import release
from webapp.fair_queue import Busy, FairQueue, aside, held
from webapp.limit_windows import wider

# Strangers' guesses that are at the database at once. A process has eight connections, or one.
MOST_AT_DATABASE = 3
_STRANGERS, _NEWCOMERS = "all strangers together", "all newcomers together"


@dataclass(frozen=True)
class Asking:
    """For whom a place is; a newcomer has no account yet. A stranger's guess counts by itself: it takes nothing from
    the person it is about.
    """

    by: tuple[str, ...]
    is_stranger: bool = False
    is_newcomer: bool = False

    @property
    def client_ip(self) -> str:
        return self.by[0] if self.by else ""

    @property
    def counted(self) -> set[str]:
        if not self.is_stranger:
            return {*self.by, *([_NEWCOMERS] if self.is_newcomer else [])}
        return {_STRANGERS, *(f"guess {each}" for each in (*self.by, wider(self.client_ip)) if each)}


class Places:
    """A bounded number of places for those who wait. Nobody has more than a share, nor have strangers or newcomers
    together.

    People who are known go before strangers, and among either the client IPs take turns.
    """

    def __init__(
        self, workers: int, *, most: int, most_of_one: int, most_of_strangers: int, most_of_newcomers: int
    ) -> None:
        self.in_hand = 0
        self._queue = FairQueue(workers)
        self._most = most
        self._most_of_one = most_of_one
        self._most_of_many = {_STRANGERS: most_of_strangers, _NEWCOMERS: most_of_newcomers}
        self._taken: Counter[str] = Counter()
        self._at_database = asyncio.Semaphore(MOST_AT_DATABASE)

    @contextmanager
    def taken(self, asking: Asking) -> Iterator[None]:
        """Takes a place, at once or not at all. Raises Busy."""
        if self.in_hand >= self._most or any(
            self._taken[who] >= self._most_of_many.get(who, self._most_of_one) for who in asking.counted
        ):
            raise Busy("As many passwords as may wait are waiting to be hashed.")
        self.in_hand += 1
        self._taken.update(asking.counted)
        try:
            yield
        finally:
            self.in_hand -= 1
            self._taken = self._taken - Counter(asking.counted)  # subtraction also drops those with none left

    @asynccontextmanager
    async def with_database(self, asking: Asking, db: AsyncSession) -> AsyncIterator[None]:
        """Held while something is read or counted before a hash. Strangers wait in line before they connect."""
        await release(db)
        async with held(self._at_database) if asking.is_stranger else nullcontext():
            try:
                yield
            finally:
                await release(db)

    @asynccontextmanager
    async def turn(self, asking: Asking, db: AsyncSession | None) -> AsyncIterator[None]:
        """Lends one of the workers; no connection is held while waiting for it or using it."""
        if db is not None:
            await release(db)
        with aside():
            await self._queue.enter(asking.client_ip, is_second=asking.is_stranger)
            try:
                yield
            finally:
                self._queue.leave()
