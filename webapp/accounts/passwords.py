"""Hash passwords and check them. What is too easy to guess is in password_strength.py."""

import asyncio
import re
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

import anyio
from anyio.to_thread import run_sync
from argon2 import PasswordHasher, Type, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import ColumnElement, exists, select
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts.models import HashCost, User
from webapp.database.hot import Prepared
from webapp.rate_limits import Busy

MAX_LENGTH = 256
# What a hash from elsewhere may cost: 128 MiB at most, and at most 512 MiB gone through, which takes about half a
# second; and how many such costs there may be. Every log-in pays all of them, while there is such a hash.
MOST_MEMORY, MOST_WORK, MOST_LANES, MOST_COSTS = 128 * 1024, 512 * 1024, 16, 3
LONGEST_HASH = 200  # what the column holds
# Salt from 8 bytes, hash from 12 (RFC 9106, 3.1, asks for 4), in base64 without padding.
_ARGON2 = re.compile(
    r"\$argon2(?:id|i|d)\$v=(?:16|19)\$m=\d{1,10},t=\d{1,5},p=\d{1,3}"
    r"\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{16,}",
    re.ASCII,
)
WORKERS = 2
# At 26 ms each on a core, this is a wait of about a second.
MOST_WAITING = 80
# Of these, for one client_ip or one account: nobody fills the room alone.
MOST_OF_ONE = 20

# The smallest argon2id that OWASP recommends: 19 MiB, two passes, one lane.
ARGON2 = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, type=Type.ID)
# Salt and digest of a password that nobody has, for names that nobody has: both cost the same.
_NOBODYS = "VufvwlOlSSKR5lKTbW9mNw$3jq8EoreQK3lIrfObrp84uXFnHbswLnSM0DUHLjYRZs"


class Hasher:
    """Hashes off the event loop, two at a time: each takes 19 MiB and a core.

    `by` says for whom: the client_ip first, then the account or what stands for it. Those who wait are served in turn,
    one of each client_ip, so that somebody's ninety keep nobody else waiting.
    """

    def __init__(
        self, argon2: PasswordHasher = ARGON2, *, most_waiting: int = MOST_WAITING, most_of_one: int = MOST_OF_ONE
    ) -> None:
        self._argon2 = argon2
        self._most_waiting = most_waiting
        self._most_of_one = most_of_one
        self._limiter = anyio.CapacityLimiter(WORKERS)
        self._free = WORKERS
        self._places: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._in_hand = 0

    @property
    def in_hand(self) -> int:
        """How many are being hashed, or wait for it."""
        return self._in_hand

    @property
    def nobodys(self) -> str:
        """The hash that stands in where there is none, at today's costs."""
        costs = f"m={self._argon2.memory_cost},t={self._argon2.time_cost},p={self._argon2.parallelism}"
        return f"$argon2id$v=19${costs}${_NOBODYS}"

    def is_outdated(self, password_hash: str) -> bool:
        """Whether the hash was made with other costs than today's."""
        return self._argon2.check_needs_rehash(password_hash)

    async def hash(self, password: str, *by: str) -> str:
        """The argon2id hash. Raises Busy when too many wait already, or too many of the same."""
        async with self._place(by):
            return await run_sync(self._argon2.hash, password, limiter=self._limiter)

    async def is_right(self, password: str, password_hash: str | None, *by: str, costs: Sequence[str] = ()) -> bool:
        """Whether the password fits the hash; costs the same when there is no hash, or one that cost something else.

        `costs` are all those that other hashes of the site may have: each is paid every time. Raises Busy.
        """
        async with self._place(by):
            return await run_sync(self._fits, password, password_hash, costs, limiter=self._limiter)

    def _fits(self, password: str, password_hash: str | None, costs: Sequence[str]) -> bool:
        """An account that has no password, or none that can be checked, takes as long as one that has."""
        stand_ins = {cost: cost + _NOBODYS for cost in (cost_of(self.nobodys), *costs)}
        own = cost_of(password_hash) if password_hash and is_hash(password_hash) else ""
        stand_ins |= {own: password_hash} if password_hash and own else {}
        return own in [cost for cost, stored in sorted(stand_ins.items()) if self._is_of(password, stored)]

    def _is_of(self, password: str, stored: str) -> bool:
        try:
            return self._argon2.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False

    @asynccontextmanager
    async def _place(self, by: Sequence[str]) -> AsyncIterator[None]:
        if self._in_hand >= self._most_waiting or any(self._places[who] >= self._most_of_one for who in by):
            raise Busy
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
            self._places = self._places - Counter(by)  # which also drops those that have none any more

    async def _turn(self, who: str) -> None:
        """Returns when one of the workers is free, and taken."""
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(who, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it had come
                self._next()
            raise

    def _next(self) -> None:
        """Gives a worker to the first who waits; others of the same go behind everybody else."""
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


def is_hash(text: str) -> bool:
    """Whether a text from elsewhere is an argon2 hash that this site can check, at a cost that it can bear.

    Told by its shape: to verify it would take as long as a log-in.
    """
    if len(text) > LONGEST_HASH or not _ARGON2.fullmatch(text):
        return False
    made = extract_parameters(text)
    is_dear = made.memory_cost > MOST_MEMORY or made.memory_cost * made.time_cost > MOST_WORK
    is_possible = made.time_cost and 0 < made.parallelism <= MOST_LANES and made.memory_cost >= 8 * made.parallelism
    return bool(is_possible) and not is_dear


def cost_of(password_hash: str) -> str:
    """What a hash costs to check, as it says at its beginning."""
    return password_hash[: password_hash.rindex("$", 0, password_hash.rindex("$")) + 1]


async def other_costs(db: AsyncSession) -> list[str]:
    """What the site's imported hashes cost, besides today's."""
    return [cost for (cost,) in await _OTHER_COSTS.rows(db, {})]


async def remember_costs(db: AsyncSession, hashes: Iterable[str]) -> None:
    """Notes what imported hashes cost, in the transaction that imports them. Raises ValueError for too many kinds."""
    known = set(await other_costs(db))
    new = {cost_of(each) for each in hashes if ARGON2.check_needs_rehash(each)} - known
    if len(known | new) > MOST_COSTS:
        raise ValueError(
            f"the hashes have more than {MOST_COSTS} different costs, and every log-in would pay all of them: "
            + ", ".join(sorted(known | new))
        )
    db.add_all(HashCost(cost=cost) for cost in sorted(new))
    await db.flush()


def outdated() -> ColumnElement[bool]:
    """Which costs no hash has any more: all those who had such a one have logged in, or have a new password."""
    return ~exists().where(col(User.password_hash).startswith(col(HashCost.cost)))


_OTHER_COSTS = Prepared(select(col(HashCost.cost)).order_by(col(HashCost.cost)))
