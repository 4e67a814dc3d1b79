"""Crowds of people with posts, followers and sessions, put into a fresh database by the fastest way there is.

People post unequally, as they do: most are nearly silent, a few write most of it. In every crowd the readers follow as
many people; one kind of them follows 500.
"""

import asyncio
import hashlib
import random
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import asyncpg
from sqlalchemy import make_url

from webapp.passwords.hasher import ARGON2

POSTS_EACH = 10
FOLLOWS_EACH = 20
READERS = 50
MANY = 500
NOW = datetime.now(UTC)
PASSWORD = "correct horse battery"
COLUMNS = {
    "user_account": "id username username_key email password_hash epoch language created_at last_seen_at"
    " about_me is_public picture",
    "post": "id author_id body created_at removed_because",
    "follow": "follower_id followed_id created_at",
    "session": "id token_hash user_id epoch is_remembered user_agent client_ip browser_mark created_at"
    " last_seen_at proved_at expires_at",
}
SHORT = "One of very many posts."
LONG = f"{SHORT} It is about as long as posts get: some have a link, https://example.com/a/path, and some don't."

# Made anew after the rows: put in row by row, those of a million people take most of the time.
_SQLITE_INDEXES = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL AND tbl_name = ?"
_POSTGRES_INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = $1 AND indexname LIKE 'ix%'"

Records = Iterable[tuple[Any, ...]]


@dataclass(frozen=True)
class Crowd:
    """So many people, all with the same password. The first READERS follow so many, as all do; the next MANY."""

    people: int
    follows: int = FOLLOWS_EACH

    @property
    def posts(self) -> int:
        return self.people * POSTS_EACH

    def tables(self) -> dict[str, Records]:
        chance = random.Random(self.people)
        return {
            "user_account": self._accounts(),
            "post": self._posts(chance),
            "follow": self._follows(chance),
            "session": self._sessions(),
        }

    def _accounts(self) -> Records:
        password_hash = ARGON2.hash(PASSWORD)
        for number in range(1, self.people + 1):
            name = f"person{number}"
            yield number, name, name, f"{name}@example.com", password_hash, 0, "en", NOW, NOW, "", True, 0

    def _posts(self, chance: random.Random) -> Records:
        """Half of the posts are everybody's; of the other half a twentieth of the people wrote nearly all, none of them
        a reader. Every fifth is long.
        """
        for number in range(1, self.posts + 1):
            share = chance.random() if number % 2 else chance.random() ** 12
            author, words = self.people - int(share * self.people), SHORT if number % 5 else LONG
            yield number, author, words, NOW - timedelta(seconds=self.posts - number), ""

    def _follows(self, chance: random.Random) -> Records:
        for follower in range(1, self.people + 1):
            count = MANY if READERS < follower <= 2 * READERS else self.follows
            for followed in sorted(chance.sample(range(1, self.people + 1), count)):
                if followed != follower:
                    yield follower, followed, NOW

    def _sessions(self) -> Records:
        for number in range(1, 2 * READERS + 1):
            token_hash, ends = hashlib.sha256(cookie(number).encode()).hexdigest(), NOW + timedelta(days=1)
            yield number, token_hash, number, 0, False, "a browser", "127.0.0.1", "", NOW, NOW, NOW, ends


def cookie(reader: int) -> str:
    return f"the-session-of-reader-{reader}"


def fill(url: str, crowd: Crowd) -> None:
    """Puts a crowd into a migrated, empty database, by the fastest way there is."""
    if url.startswith("sqlite"):
        _fill_sqlite(url.partition(":///")[2], crowd)
    else:
        asyncio.run(_fill_postgres(url, crowd))


def _fill_sqlite(file: str, crowd: Crowd) -> None:
    def plain(value: Any) -> Any:
        return _stored(value) if isinstance(value, datetime) else value

    with sqlite3.connect(file) as connection:
        for pragma in ("synchronous=OFF", "cache_size=-500000", "temp_store=MEMORY"):
            connection.execute(f"PRAGMA {pragma}")
        for table, records in crowd.tables().items():
            indexes = connection.execute(_SQLITE_INDEXES, (table,)).fetchall()
            for name, _made_by in indexes:
                connection.execute(f"DROP INDEX {name}")
            names = COLUMNS[table].split()
            places = ", ".join("?" * len(names))
            rows = (tuple(map(plain, record)) for record in records)
            connection.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})", rows)
            for _name, made_by in indexes:
                connection.execute(made_by)
    connection.close()


@lru_cache
def _stored(moment: datetime) -> str:
    """A moment as SQLAlchemy writes it for SQLite."""
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")


async def _fill_postgres(url: str, crowd: Crowd) -> None:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(plain)
    await connection.execute("SET session_replication_role = replica")  # nobody checks each row's foreign keys
    await connection.execute("SET maintenance_work_mem = '1GB'")
    for table, records in crowd.tables().items():
        indexes = await connection.fetch(_POSTGRES_INDEXES, table)
        for name, _made_by in indexes:
            await connection.execute(f"DROP INDEX {name}")
        columns = COLUMNS[table].split()
        await connection.copy_records_to_table(table, records=records, columns=columns)
        for _name, made_by in indexes:
            await connection.execute(made_by)
        if "id" in columns:
            await connection.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}")
    await connection.execute("VACUUM ANALYZE")  # as the server does by itself, a little later
    await connection.close()
