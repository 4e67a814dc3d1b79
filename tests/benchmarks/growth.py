"""Pages among 1,000 people with 10,000 posts, and among 100,000 with 1,000,000, on both databases.

Each site is asked in turn, one request at a time, so that what else the machine does slows both. Of 1,000 people the
500 whom somebody follows are half, and all that they wrote lies close together; so there a little more is allowed.

    python -m tests.benchmarks.growth [--people 1000000] [SQLite] [PostgreSQL]

takes some five minutes, most of them for making the crowds; a million people take half an hour for each database, and
8 GB of disk.
"""

import argparse
import http.client
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import crowds, servers
from tests.benchmarks.crowds import PASSWORD, READERS, Crowd
from tests.benchmarks.report import Reach, Report
from tests.benchmarks.servers import Server

DATABASES = ("SQLite", "PostgreSQL")
WARMING = 0.25  # as many rounds again, for nothing
ADMINS = tuple(f"person{number}@example.com" for number in range(1, READERS + 1))
SCATTERED = 7919  # a prime: one after the other, the people asked for lie far apart


@dataclass(frozen=True)
class Page:
    """A page as it is asked for. `asks` makes the path and the form from the request's number and the crowd's size.

    `first_reader` is the first of the READERS who ask in turn; 0 for strangers.
    """

    name: str
    asks: Callable[[int, int], tuple[str, str]]
    first_reader: int = 1
    status: int = 200
    shows: str = "<article"
    rounds: int = 400
    at_most: float = 1.3


def somebody(number: int, people: int) -> str:
    return f"person{1 + number * SCATTERED % people}"


PAGES = (
    Page("home, follows 20", lambda _number, _people: ("/", "")),
    Page("home, follows 500", lambda _number, _people: ("/", ""), first_reader=READERS + 1, at_most=1.5),
    Page("explore", lambda _number, _people: ("/explore", "")),
    Page("explore, a stranger", lambda _number, _people: ("/explore", ""), first_reader=0),
    Page("profile", lambda number, people: (f"/user/{somebody(number, people)}", ""), shows="<h1"),
    Page("search", lambda number, people: (f"/search?q={somebody(number, people)}", ""), shows="person"),
    Page("search for a word of every post", lambda _number, _people: ("/search?q=posts", "")),
    Page("emails of the site", lambda _number, _people: ("/admin/mail", ""), shows="<h1"),
    Page(
        "reset request",
        lambda number, people: ("/reset_password_request", f"email={somebody(number, people)}%40example.com"),
        first_reader=0,
        status=303,
        shows="",
    ),
    Page(
        "log-in",
        lambda number, people: ("/login", f"username={somebody(number, people)}&password={PASSWORD.replace(' ', '+')}"),
        first_reader=0,
        status=303,
        shows="",
        rounds=60,
    ),
)


def measure(databases: Sequence[str], people: int) -> Report:
    report = Report(("database", f"{'page':31}", "people", "posts", "p50 ms", "p90 ms"))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for name in databases:
            with ExitStack() as sites:
                running = [(crowd, sites.enter_context(_site(name, folder, crowd))) for crowd in _crowds(people)]
                for page in PAGES:
                    _measure(report, name, page, running)
    report.note(f"Load average after: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    return report


def _crowds(people: int) -> tuple[Crowd, Crowd]:
    return Crowd(1_000), Crowd(people)


def _measure(report: Report, database: str, page: Page, sites: list[tuple[Crowd, Server]]) -> None:
    taken = _ask_in_turn(page, sites)
    for milliseconds, (crowd, _site) in zip(taken, sites, strict=True):
        p50, p90 = (statistics.quantiles(milliseconds, n=10)[decile] for decile in (4, 8))
        report.add(database, page.name, f"{crowd.people:,}", f"{crowd.posts:,}", f"{p50:.2f}", f"{p90:.2f}")
    ratio = statistics.median(taken[-1]) / statistics.median(taken[0])
    what = f"{database}: {page.name}, p50 among the large crowd against the small one"
    report.reach(Reach(what, ratio, "times", at_most=page.at_most))


def _ask_in_turn(page: Page, sites: list[tuple[Crowd, Server]]) -> list[list[float]]:
    """How many milliseconds the page took, for each site; the first rounds warm up."""
    connections = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=30) for _crowd, server in sites]
    taken: list[list[float]] = [[] for _site in sites]
    warming = int(page.rounds * WARMING)
    for number in range(warming + page.rounds):
        for connection, milliseconds, (crowd, _server) in zip(connections, taken, sites, strict=True):
            milliseconds.append(_ask(connection, page, number, crowd.people))
    return [milliseconds[warming:] for milliseconds in taken]


def _ask(connection: http.client.HTTPConnection, page: Page, number: int, people: int) -> float:
    """The milliseconds until the whole answer is there. Raises AssertionError if it is another than expected."""
    path, form = page.asks(number, people)
    headers = {"x-forwarded-for": f"10.0.{number >> 8}.{number & 255}", "accept-language": "en"}
    if page.first_reader:
        headers["cookie"] = f"session={crowds.cookie(page.first_reader + number % READERS)}"
    if form:
        headers |= {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin"}
    started = time.perf_counter()
    connection.request("POST" if form else "GET", path, body=form or None, headers=headers)
    answer = connection.getresponse()
    text = answer.read()
    milliseconds = (time.perf_counter() - started) * 1000
    assert (answer.status, page.shows.encode() in text) == (page.status, True), (page.name, answer.status, text[:200])
    return milliseconds


@contextmanager
def _site(database: str, folder: Path, crowd: Crowd) -> Iterator[Server]:
    """A production site with a crowd in it, behind a proxy; its emails wait, for no mailer runs."""
    place = folder / f"{database}-{crowd.people}"
    place.mkdir()
    with ExitStack() as stack:
        url = f"sqlite:///{place / 'site.db'}"
        if database == "PostgreSQL":
            url = stack.enter_context(servers.fresh_postgres(place))
        environment = {"SECRET_KEY": secrets.token_hex(32), "DATABASE_URL": url, "MAILER": "process"}
        environment |= {"BASE_URL": "http://127.0.0.1", "MAIL_SERVER": "127.0.0.1", "TRUSTED_PROXIES": "1"}
        environment["ADMINS"] = ",".join(ADMINS)
        subprocess.run([sys.executable, "-m", "webapp", "migrate"], env=os.environ | environment, check=True)
        crowds.fill(url, crowd)
        yield stack.enter_context(servers.serve("webapp.app:create_app", "/login", place / "log", environment))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.growth")
    parser.add_argument("--people", type=int, default=100_000, help="in the large crowd; each has ten posts")
    parser.add_argument("databases", nargs="*", default=DATABASES)
    options = parser.parse_args()
    return 0 if measure(options.databases, options.people).is_met else 1


if __name__ == "__main__":
    sys.exit(main())
