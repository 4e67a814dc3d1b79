"""The home page among 1,000 people and among 100,000 with 1,000,000 posts, on both databases.

People post unequally, as they do: most are nearly silent, a few write most of it. In either crowd the readers follow
as many; one kind of them follows 500. Each site is asked in turn, one request at a time, so that what else the machine
does slows both. Of 1,000 people those 500 are half, and all that they wrote lies close together; so for who follows
them a little more is allowed. `python -m tests.benchmarks.timelines [SQLite] [PostgreSQL]`
takes some four minutes, most of them for making the crowds.
"""

import asyncio
import hashlib
import http.client
import os
import random
import secrets
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import make_url

from tests.benchmarks import servers
from tests.benchmarks.report import Reach, Report
from tests.benchmarks.servers import Server

DATABASES = ("SQLite", "PostgreSQL")
ROUNDS = 400
WARMING = 100
POSTS_EACH = 10
FOLLOWS_EACH = 20
READERS = 50
MANY = 500
NOW = datetime.now(UTC)
COLUMNS = {
    "user_account": "id username username_key email password_hash epoch language created_at last_seen_at"
    " about_me is_public",
    "post": "id author_id body created_at removed_because",
    "follow": "follower_id followed_id created_at",
    "session": "id token_hash user_id epoch is_remembered user_agent client_ip browser_mark created_at"
    " last_seen_at proved_at expires_at",
}
WORDS = "One of very many posts, about as long as posts are: some have a link, https://example.com/a/path, some don't."

Records = Iterable[tuple[Any, ...]]


@dataclass(frozen=True)
class Crowd:
    """So many people. The first READERS follow FOLLOWS_EACH, as all do; the next READERS follow MANY."""

    people: int

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
        for number in range(1, self.people + 1):
            name = f"person{number}"
            yield number, name, name, f"{name}@example.com", "!", 0, "en", NOW, NOW, "", True

    def _posts(self, chance: random.Random) -> Records:
        """Half of the posts are everybody's; of the other half a twentieth of the people wrote nearly all."""
        for number in range(1, self.posts + 1):
            share = chance.random() if number % 2 else chance.random() ** 12
            yield number, 1 + int(share * self.people), WORDS, NOW - timedelta(seconds=self.posts - number), ""

    def _follows(self, chance: random.Random) -> Records:
        for follower in range(1, self.people + 1):
            count = MANY if READERS < follower <= 2 * READERS else FOLLOWS_EACH
            for followed in chance.sample(range(1, self.people + 1), count):
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
        return value.strftime("%Y-%m-%d %H:%M:%S.%f") if isinstance(value, datetime) else value

    with sqlite3.connect(file) as connection:
        for pragma in ("synchronous=OFF", "cache_size=-500000"):
            connection.execute(f"PRAGMA {pragma}")
        for table, records in crowd.tables().items():
            names = COLUMNS[table].split()
            places = ", ".join("?" * len(names))
            rows = (tuple(map(plain, record)) for record in records)
            connection.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})", rows)
    connection.close()


async def _fill_postgres(url: str, crowd: Crowd) -> None:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(plain)
    await connection.execute("SET session_replication_role = replica")  # nobody checks each row's foreign keys
    for table, records in crowd.tables().items():
        await connection.copy_records_to_table(table, records=records, columns=COLUMNS[table].split())
    await connection.execute("VACUUM ANALYZE")  # as the server does by itself, a little later
    await connection.close()


def measure(databases: Sequence[str] = DATABASES) -> Report:
    report = Report(("database", "people", "posts", "reader follows", "p50 ms", "p90 ms"))
    crowds = (Crowd(1_000), Crowd(100_000))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for name in databases:
            with ExitStack() as sites:
                running = [sites.enter_context(_site(name, folder, crowd)) for crowd in crowds]
                _measure(report, name, list(zip(crowds, running, strict=True)))
    report.notes.append(f"Load average after: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    return report


def _measure(report: Report, database: str, sites: list[tuple[Crowd, Server]]) -> None:
    for follows, first_reader in ((FOLLOWS_EACH, 1), (MANY, READERS + 1)):
        taken = _ask_in_turn([site.port for _crowd, site in sites], first_reader)
        for milliseconds, (crowd, _site) in zip(taken, sites, strict=True):
            p50, p90 = (statistics.quantiles(milliseconds, n=10)[decile] for decile in (4, 8))
            amounts = (f"{crowd.people:,}", f"{crowd.posts:,}", str(follows))
            report.rows.append((database, *amounts, f"{p50:.2f}", f"{p90:.2f}"))
        ratio = statistics.median(taken[-1]) / statistics.median(taken[0])
        what = f"{database}: p50 of the home page of who follows {follows}, large crowd to small"
        report.reaches.append(Reach(what, ratio, "times", at_most=1.3 if follows < MANY else 1.5))


def _ask_in_turn(ports: list[int], first_reader: int) -> list[list[float]]:
    """How many milliseconds the home page took, for each site; the first rounds warm up."""
    connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=30) for port in ports]
    taken: list[list[float]] = [[] for _port in ports]
    for number in range(WARMING + ROUNDS):
        headers = {"cookie": f"session={cookie(first_reader + number % READERS)}"}
        for connection, milliseconds in zip(connections, taken, strict=True):
            started = time.perf_counter()
            connection.request("GET", "/", headers=headers)
            answer = connection.getresponse()
            page = answer.read()
            milliseconds.append((time.perf_counter() - started) * 1000)
            assert (answer.status, page.count(b"<article")) == (200, 20), answer.status
    return [milliseconds[WARMING:] for milliseconds in taken]


@contextmanager
def _site(database: str, folder: Path, crowd: Crowd) -> Iterator[Server]:
    """A production site with a crowd in it, and no mail."""
    place = folder / f"{database}-{crowd.people}"
    place.mkdir()
    with ExitStack() as stack:
        url = f"sqlite:///{place / 'site.db'}"
        if database == "PostgreSQL":
            url = stack.enter_context(servers.fresh_postgres(place))
        environment = {"SECRET_KEY": secrets.token_hex(32), "DATABASE_URL": url, "MAILER": "off"}
        environment |= {"BASE_URL": "http://127.0.0.1"}
        subprocess.run([sys.executable, "-m", "webapp", "migrate"], env=os.environ | environment, check=True)
        fill(url, crowd)
        yield stack.enter_context(servers.serve("webapp.app:create_app", "/login", place / "log", environment))


def main() -> int:
    report = measure(sys.argv[1:] or DATABASES)
    print(report)
    return 0 if report.is_met else 1


if __name__ == "__main__":
    sys.exit(main())
