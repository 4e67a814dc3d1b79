"""Hashes passwords and checks them. strength.py says which ones are too easy to guess."""

import asyncio
import unicodedata
from collections import Counter, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio
from anyio.to_thread import run_sync
from argon2 import PasswordHasher, Type

from webapp.passwords import hashes
from webapp.rate_limits import Busy

MAX_LENGTH = 256
MOST_TYPED = 4 * MAX_LENGTH  # one character may be typed as up to four
WORKERS = 2
# At 26 ms each on a core, this is a wait of about a second.
MOST_WAITING = 80
# Of these, for one client_ip or one account, so that nobody takes all the places.
MOST_OF_ONE = 20
# Of these, for all guesses from browsers that the account isn't known by. The rest are for people in their own browser
# and for who follows a link, even while somebody with a thousand networks tries passwords.
MOST_OF_STRANGERS = 60
_STRANGERS = "all strangers together"

# The smallest argon2id that OWASP recommends: 19 MiB, two passes, one lane.
ARGON2 = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, type=Type.ID)


class Hasher:
    """Hashes off the event loop, two at a time: each takes 19 MiB and a core.

    `by` says for whom: first the client_ip, then the account or what stands for it. Client IPs take turns, so that
    ninety requests from one keep nobody else waiting.
    """

    def __init__(
        self,
        argon2: PasswordHasher = ARGON2,
        *,
        most_waiting: int = MOST_WAITING,
        most_of_one: int = MOST_OF_ONE,
        most_of_strangers: int = MOST_OF_STRANGERS,
    ) -> None:
        self._argon2 = argon2
        self._most_waiting = most_waiting
        self._most_of_one = most_of_one
        self._most_of_strangers = most_of_strangers
        self._limiter = anyio.CapacityLimiter(WORKERS)
        self._free = WORKERS
        self._places: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._in_hand = 0

    @property
    def in_hand(self) -> int:
        """How many are being hashed or waiting."""
        return self._in_hand

    def is_outdated(self, password_hash: str) -> bool:
        """Whether the hash was made elsewhere, or at a cost other than today's."""
        return not password_hash.startswith("$argon2") or self._argon2.check_needs_rehash(password_hash)

    async def hash(self, password: str, *by: str) -> str:
        """The argon2id hash. Raises Busy if too many are waiting, or too many for the same `by`."""
        async with self._place(by):
            return await run_sync(self._argon2.hash, normal(password), limiter=self._limiter)

    async def is_right(self, password: str, password_hash: str | None, *by: str, by_stranger: bool = False) -> bool:
        """Whether the password matches the hash; takes just as long without a hash. Raises Busy."""
        return await self.matching(password, password_hash, *by, by_stranger=by_stranger) is not None

    async def matching(
        self,
        password: str,
        password_hash: str | None,
        *by: str,
        costs: Sequence[str] = (),
        by_stranger: bool = False,
    ) -> str | None:
        """The form of the password that matches the hash, or None.

        It takes just as long without a hash, or with a cheaper one. `costs` are all the costs that other hashes of the
        site may have; each is paid every time. A guess `by_stranger` comes from a browser that the account isn't known
        by. Raises Busy.
        """
        async with self._place((*by, _STRANGERS) if by_stranger else by):
            return await run_sync(self._matching, password, password_hash, costs, limiter=self._limiter)

    def _matching(self, password: str, password_hash: str | None, costs: Sequence[str]) -> str | None:
        """An account without a password, or with one that can't be checked, takes as long as any other."""
        own = hashes.cost_of(password_hash) if password_hash and hashes.is_sound(password_hash) else ""
        costliest = {}
        for cost in sorted({cost_of(self._argon2), *costs, own} - {""}, key=hashes.share):
            costliest[hashes.share(cost)[0]] = cost
        tries = [(form, cost) for cost in sorted(costliest.values()) for form in _forms(password)]
        fits = [form for form, cost in tries if self._matches_at(form, cost, own, password_hash)]
        return fits[0] if fits else None

    def _matches_at(self, password: str, cost: str, own: str, password_hash: str | None) -> bool:
        """Whether the password matches the hash, if the hash's own cost is part of this one; pays all of this one."""
        (kind, spent), is_right = hashes.share(own), False
        if password_hash and own and kind == hashes.share(cost)[0]:
            is_right = hashes.is_of(self._argon2, password, password_hash)
        else:
            spent = 0
        hashes.spend(self._argon2, password, cost, spent)
        return is_right

    @asynccontextmanager
    async def _place(self, by: Sequence[str]) -> AsyncIterator[None]:
        if self._in_hand >= self._most_waiting or any(self._places[who] >= self._most_of(who) for who in by):
            raise Busy("As many passwords as may wait are waiting to be hashed.")
        self._in_hand += 1
        self._places.update(by)
        try:
            await self._turn(by[0] if by else "")
            try:
                yield
            finally:
                self._next()
        finally:
            self._in_hand -= 1
            self._places = self._places - Counter(by)  # subtraction also drops those with none left

    def _most_of(self, who: str) -> int:
        return self._most_of_strangers if who == _STRANGERS else self._most_of_one

    async def _turn(self, who: str) -> None:
        """Returns once one of the workers is free, and takes it."""
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(who, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # our turn had come
                self._next()
            raise

    def _next(self) -> None:
        """Gives a worker to the first in line. Others from the same place go behind everybody else."""
        while self._waiting:
            who = next(iter(self._waiting))
            turns = self._waiting.pop(who)
            turn = turns.popleft()
            if turns:
                self._waiting[who] = turns
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


def normal(password: str) -> str:
    """The form in which passwords are hashed and judged: keyboards send one character in several (SP 800-63B-4)."""
    return unicodedata.normalize("NFKC", password)


def is_too_long(password: str) -> bool:
    """Counts it both as hashed and as typed."""
    return len(password) > MOST_TYPED or (len(password) > MAX_LENGTH and len(normal(password)) > MAX_LENGTH)


def cost_of(argon2: PasswordHasher) -> str:
    """The cost of the hashes it makes, as they begin."""
    return f"$argon2id$v=19$m={argon2.memory_cost},t={argon2.time_cost},p={argon2.parallelism}$"


def _forms(password: str) -> list[str]:
    """A password as it is hashed today, as it was typed, and as a Mac may have sent it, since a hash may be older.

    What was typed alone decides which of these there are.
    """
    return list(dict.fromkeys((normal(password), password, unicodedata.normalize("NFD", password))))
