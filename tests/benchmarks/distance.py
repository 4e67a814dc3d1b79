"""The database on another machine: web processes that have 1 and 20 ms to PostgreSQL and back, and the mailer as well.

The way is a proxy on loopback that holds back all that goes to the server for so long; answers come back at once, so
each trip takes that long. It stands for a network, as few kernels let anybody delay one. The trips of a page are
counted there, when one person asks. The last rows go through PgBouncer, if it is installed, which lends a connection
for a transaction: there each statement takes a trip more, since no prepared one may be kept.

    python -m tests.benchmarks.distance [--milliseconds 1 20] [--processes 1 2 4]

takes some three minutes.
"""

import argparse
import asyncio
import multiprocessing
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import cast

from sqlalchemy import URL, make_url

from tests.benchmarks import crowds, load, servers
from tests.benchmarks.account_pages import home, page, reset_request
from tests.benchmarks.crowds import READERS, Crowd
from tests.benchmarks.mailsink import mail_sink
from tests.benchmarks.report import Reach, Report
from tests.benchmarks.servers import Server
from tests.neighbours.poolers import pgbouncer

MILLISECONDS, PROCESSES = (1.0, 20.0), (1, 2, 4)
CROWD = Crowd(1_000, follows=10)
MOST_TRIPS = 3
ALONE, SECONDS, WARMING = 10, 0.8, 1.2  # each process first renders the posts of all readers
POOL, POOLED_PROCESSES = 20, 2  # connections that the pooler lends, and web processes behind it
_spawning = multiprocessing.get_context("spawn")

Request = Callable[[str, int], bytes]


def explore(host: str, number: int) -> bytes:
    return home(host, number).replace(b"GET / ", b"GET /explore ", 1)


def profile(host: str, number: int) -> bytes:
    return home(host, number).replace(b"GET / ", f"GET /user/person{1 + number % READERS} ".encode(), 1)


def reset(host: str, number: int) -> bytes:
    return reset_request(host, 2 * number)  # for an address that nobody asked for before


NUMBERS = count(0, 10_000)  # the first of each round
PAGES: dict[str, Request] = {
    "log-in page": partial(page, "/login"),
    "home": home,
    "explore": explore,
    "profile": profile,
    "reset request": reset,
}


def measure(milliseconds: Sequence[float] = MILLISECONDS, processes: Sequence[int] = PROCESSES) -> Report:
    report = Report(
        (
            f"{'round trip':16}",
            "processes",
            f"{'page':13}",
            "trips",
            "ms, alone",
            "answers/s",
            "p50 ms",
            "p99 ms",
            "refused",
        )
    )
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        client = stack.enter_context(ProcessPoolExecutor(1, _spawning))
        sink = stack.enter_context(mail_sink())
        server = make_url(stack.enter_context(servers.fresh_postgres(folder)))
        nearby = server.render_as_string(hide_password=False)
        environment = _environment(nearby, sink.port)
        subprocess.run([sys.executable, "-m", "webapp", "migrate"], env=os.environ | environment, check=True)
        crowds.fill(nearby, CROWD)
        for each in milliseconds:
            with _way(server, each / 1000) as way:
                _measure(report, f"{each:g} ms", way, environment, folder, client, processes)
        if not shutil.which("pgbouncer"):
            report.note("PgBouncer is not installed.")
            return report
        pooler = make_url(stack.enter_context(pgbouncer(nearby, "transaction", POOL)))
        for each in milliseconds:
            with _way(pooler, each / 1000) as way:
                _measure(report, f"{each:g} ms, PgBouncer", way, environment, folder, client, [POOLED_PROCESSES])
    return report


def _measure(
    report: Report,
    distance: str,
    way: "Way",
    environment: dict[str, str],
    folder: Path,
    client: ProcessPoolExecutor,
    processes: Sequence[int],
) -> None:
    environment = environment | {"DATABASE_URL": way.url}
    alone: dict[str, tuple[float, float]] = {}
    for workers in processes:
        log = folder / f"{distance}, {workers}.log"
        with servers.serve("webapp.app:create_app", "/login", log, environment, workers=workers) as site:
            alone = alone or {name: _alone(site, way, write, client) for name, write in PAGES.items()}
            with _mailer(environment, log.with_suffix(".mailer")):
                for name, write in PAGES.items():
                    for seconds in (WARMING, SECONDS):
                        asked = site.port, partial(write, site.host), next(NUMBERS), seconds
                        figures = client.submit(load.run, *asked).result()
                        assert set(figures.statuses) <= {200, 503}, (name, figures.statuses)
                    trips, taken = alone[name]
                    told = (
                        f"{trips:g}",
                        f"{taken:.1f}",
                        f"{figures.rate:.0f}",
                        f"{figures.p50:.1f}",
                        f"{figures.p99:.1f}",
                        str(figures.statuses.get(503, 0)),
                    )
                    report.add(distance, str(workers), name, *told)
                    if workers == processes[0] and "PgBouncer" not in distance:
                        report.reach(Reach(f"{name}, {distance} away", trips, "trips", at_most=MOST_TRIPS))


def _alone(site: Server, way: "Way", write: Request, client: ProcessPoolExecutor) -> tuple[float, float]:
    """The usual number of trips for a page, and its milliseconds, when one person asks."""
    first, trips, taken = next(NUMBERS), [], []
    for number in range(ALONE):
        before = way.trips
        figures = client.submit(load.run, site.port, partial(write, site.host), first + number, 0, 1).result()
        trips.append(way.trips - before)
        taken += figures.milliseconds
    return statistics.median(trips[ALONE // 2 :]), statistics.median(taken[ALONE // 2 :])


def _environment(url: str, mail_port: int) -> dict[str, str]:
    return {
        "BASE_URL": "http://127.0.0.1",
        "SECRET_KEY": secrets.token_hex(32),
        "DATABASE_URL": url,
        "MAIL_SERVER": "127.0.0.1",
        "MAIL_PORT": str(mail_port),
        "MAIL_HOURLY_BUDGET": "0",
        "MAILER": "process",
        "TRUSTED_PROXIES": "1",
        "POSTS_PER_PAGE": "25",
    }


@contextmanager
def _mailer(environment: dict[str, str], log: Path) -> Iterator[None]:
    command = [sys.executable, "-m", "webapp", "mailer"]
    with log.open("wb") as lines:
        process = subprocess.Popen(command, env=os.environ | environment, stdout=lines, stderr=lines)
        try:
            yield
        finally:
            process.terminate()
            process.wait(servers.STOP_PATIENCE)


class Way:
    """A way to the server; `trips` are how often something was asked over it after something was answered."""

    def __init__(self, url: str, trips: "Synchronized[int]") -> None:
        self.url = url
        self._trips = trips

    @property
    def trips(self) -> int:
        time.sleep(0.01)  # for what a page does after its answer
        return self._trips.value


@contextmanager
def _way(server: URL, delay: float) -> Iterator[Way]:
    trips = _spawning.Value("q", 0)
    here, there = _spawning.Pipe()
    folder = server.query.get("host")
    place = f"{folder}/.s.PGSQL.{server.port or 5432}" if folder else (server.host or "127.0.0.1", server.port or 5432)
    process = _spawning.Process(target=_serve, args=(there, place, delay, trips), daemon=True)
    process.start()
    there.close()
    try:
        near = server.set(host="127.0.0.1", port=here.recv(), query={})
        yield Way(near.render_as_string(hide_password=False), trips)
    finally:
        process.kill()
        process.join()


def _serve(parent: Connection, place: str | tuple[str, int], delay: float, trips: "Synchronized[int]") -> None:
    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(lambda: Near(place, delay, trips), "127.0.0.1", 0)
        parent.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


class Near(asyncio.Protocol):
    """The end of a connection where somebody asks. What they say arrives at the server after the delay, in order."""

    def __init__(self, place: str | tuple[str, int], delay: float, trips: "Synchronized[int]") -> None:
        self.place = place
        self.delay = delay
        self.trips = trips
        self.is_answered = True
        self._far: asyncio.Transport | None = None
        self._waiting: list[bytes] = []
        self._next = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._connecting = asyncio.create_task(self._connect())

    def data_received(self, data: bytes) -> None:
        if self.is_answered:
            self.trips.value += 1
            self.is_answered = False
        self._later(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._later(b"")

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        if isinstance(self.place, str):
            far, _protocol = await loop.create_unix_connection(lambda: Far(self), self.place)
        else:
            far, _protocol = await loop.create_connection(lambda: Far(self), *self.place)
        self._far = far
        for data in self._waiting:
            self._pass_on(data)

    def _later(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        self._next = max(loop.time() + self.delay, self._next + 1e-6)
        loop.call_at(self._next, self._pass_on, data)

    def _pass_on(self, data: bytes) -> None:
        if self._far is None:
            self._waiting.append(data)
        elif data:
            self._far.write(data)
        else:
            self._far.close()


class Far(asyncio.Protocol):
    """Its end at the server, whose answers arrive at once."""

    def __init__(self, near: Near) -> None:
        self.near = near

    def data_received(self, data: bytes) -> None:
        self.near.is_answered = True
        self.near.transport.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        self.near.transport.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.distance")
    parser.add_argument("--milliseconds", type=float, nargs="+", default=MILLISECONDS)
    parser.add_argument("--processes", type=int, nargs="+", default=PROCESSES)
    options = parser.parse_args()
    report = measure(options.milliseconds, options.processes)
    print(report)
    return 0 if report.is_met else 1


if __name__ == "__main__":
    sys.exit(main())
