"""Hashes passwords and checks them. strength.py says which ones are too easy to guess."""

import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager

import anyio
from anyio.to_thread import run_sync
from argon2 import PasswordHasher, Type
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.passwords import hashes
from webapp.passwords.places import Asking, Places

MAX_LENGTH = 256
MOST_TYPED = 4 * MAX_LENGTH  # one character may be typed as up to four
WORKERS = 2
# At 26 ms each on a core, this is a wait of little more than a second.
MOST_WAITING = 100
# Of these, for one client_ip or one account, so that nobody takes all the places.
MOST_OF_ONE = 20
# Of these, for all guesses from browsers that the account isn't known by. The rest are for people in their own browser
# and for who follows a link, even while somebody with a thousand networks tries passwords.
MOST_OF_STRANGERS = 60
# Of these, for all who register: they are many if somebody has gathered links.
MOST_OF_NEWCOMERS = 20

# The smallest argon2id that OWASP recommends: 19 MiB, two passes, one lane.
ARGON2 = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, type=Type.ID)


class Hasher:
    """Hashes off the event loop, two at a time: each takes 19 MiB and a core.

    `by` says for whom: first the client_ip, then the account or what stands for it. Client IPs take turns, so that
    ninety requests from one keep nobody else waiting. What hashes takes the request's database session, and frees its
    connection: a hash takes long, and others want to go on.
    """

    def __init__(
        self,
        argon2: PasswordHasher = ARGON2,
        *,
        most_waiting: int = MOST_WAITING,
        most_of_one: int = MOST_OF_ONE,
        most_of_strangers: int = MOST_OF_STRANGERS,
        most_of_newcomers: int = MOST_OF_NEWCOMERS,
    ) -> None:
        self.argon2 = argon2
        self.limiter = anyio.CapacityLimiter(WORKERS)
        self.places = Places(
            WORKERS,
            most=most_waiting,
            most_of_one=most_of_one,
            most_of_strangers=most_of_strangers,
            most_of_newcomers=most_of_newcomers,
        )

    @property
    def in_hand(self) -> int:
        """How many are being hashed or waiting."""
        return self.places.in_hand

    def is_outdated(self, password_hash: str) -> bool:
        """Whether the hash was made elsewhere, or at a cost other than today's."""
        return not password_hash.startswith("$argon2") or self.argon2.check_needs_rehash(password_hash)

    @contextmanager
    def place(self, *by: str, by_stranger: bool = False, by_newcomer: bool = False) -> Iterator["Place"]:
        """A place among those who wait, from now on. A guess `by_stranger` comes from a browser that the account isn't
        known by; a newcomer has none. Raises Busy if too many are waiting, or too many for the same `by`.
        """
        asking = Asking(by, by_stranger, by_newcomer)
        with self.places.taken(asking):
            yield Place(self, asking)

    async def hash(self, db: AsyncSession | None, password: str, *by: str, by_newcomer: bool = False) -> str:
        """The argon2id hash. Raises Busy."""
        with self.place(*by, by_newcomer=by_newcomer) as place:
            return await place.hash(db, password)

    async def is_right(self, db: AsyncSession | None, password: str, password_hash: str | None, *by: str) -> bool:
        """Whether the password matches the hash; takes just as long without a hash. Raises Busy."""
        with self.place(*by) as place:
            return await place.matching(db, password, password_hash) is not None


class Place:
    """A place that somebody has, from before anything is looked up for them until the hash is done."""

    def __init__(self, hasher: Hasher, asking: Asking) -> None:
        self.hasher = hasher
        self._asking = asking

    def with_database(self, db: AsyncSession) -> AbstractAsyncContextManager[None]:
        """Held while something is read or counted before the hash. Strangers wait for one another, so that they leave
        connections to others, and what isn't committed at its end is undone.
        """
        return self.hasher.places.with_database(self._asking, db)

    async def hash(self, db: AsyncSession | None, password: str) -> str:
        async with self.hasher.places.turn(self._asking, db):
            return await run_sync(self.hasher.argon2.hash, normal(password), limiter=self.hasher.limiter)

    async def matching(
        self, db: AsyncSession | None, password: str, password_hash: str | None, costs: Sequence[str] = ()
    ) -> str | None:
        """The form of the password that matches the hash, or None.

        It takes just as long without a hash, or with a cheaper one. `costs` are all the costs that other hashes of the
        site may have; each is paid every time.
        """
        async with self.hasher.places.turn(self._asking, db):
            return await run_sync(self._matching, password, password_hash, costs, limiter=self.hasher.limiter)

    def _matching(self, password: str, password_hash: str | None, costs: Sequence[str]) -> str | None:
        """An account without a password, or with one that can't be checked, takes as long as any other."""
        own = hashes.cost_of(password_hash) if password_hash and hashes.is_sound(password_hash) else ""
        costliest = {}
        for cost in sorted({cost_of(self.hasher.argon2), *costs, own} - {""}, key=hashes.share):
            costliest[hashes.share(cost)[0]] = cost
        tries = [(form, cost) for cost in sorted(costliest.values()) for form in _forms(password)]
        fits = [form for form, cost in tries if self._matches_at(form, cost, own, password_hash)]
        return fits[0] if fits else None

    def _matches_at(self, password: str, cost: str, own: str, password_hash: str | None) -> bool:
        """Whether the password matches the hash, if the hash's own cost is part of this one; pays all of this one."""
        (kind, spent), is_right = hashes.share(own), False
        if password_hash and own and kind == hashes.share(cost)[0]:
            is_right = hashes.is_of(self.hasher.argon2, password, password_hash)
        else:
            spent = 0
        hashes.spend(self.hasher.argon2, password, cost, spent)
        return is_right


def normal(password: str) -> str:
    """The form in which passwords are hashed and judged: keyboards send one character in several (SP 800-63B-4)."""
    return unicodedata.normalize("NFKC", password)


def is_too_long(password: str) -> bool:
    """Whether a password is longer than we hash, counted both as hashed and as typed."""
    return len(password) > MOST_TYPED or (len(password) > MAX_LENGTH and len(normal(password)) > MAX_LENGTH)


def cost_of(argon2: PasswordHasher) -> str:
    """The cost of the hashes it makes, as they begin."""
    return f"$argon2id$v=19$m={argon2.memory_cost},t={argon2.time_cost},p={argon2.parallelism}$"


def _forms(password: str) -> list[str]:
    """A password as it is hashed today, as it was typed, and as a Mac may have sent it, since a hash may be older.

    What was typed alone decides which of these there are.
    """
    return list(dict.fromkeys((normal(password), password, unicodedata.normalize("NFD", password))))
