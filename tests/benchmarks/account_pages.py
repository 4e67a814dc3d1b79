"""The issue's pages beside a bare Starlette page and beside a bare driver on the same statements, on both databases.

Each database gets a fresh site on two workers, with 20,000 people. Half of those who ask for a reset have an account,
so emails are on their way all the time. Rounds take turns, and medians are told: machines are noisy, ratios less so.
"""

import multiprocessing
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import quote

from tests.benchmarks import bare, crowds, load, servers
from tests.benchmarks.crowds import PASSWORD, READERS, Crowd
from tests.benchmarks.load import CONNECTIONS, Figures
from tests.benchmarks.mailsink import MailSink, mail_sink
from tests.benchmarks.report import Reach, Report
from tests.benchmarks.servers import Server
from webapp.app import create_app
from webapp.settings import Settings

ROUNDS = 4
SECONDS = 1.2
CROWD = Crowd(20_000, follows=10)
POSTS_PER_PAGE = 25
DELAYS = (0.0, 0.05, 1.0)  # of each answer of the mail server, in seconds
IDLE_SECONDS = 2.0
MOST_NOISE = 0.25  # between rounds; on a machine that is noisier, nothing can be said
DRAINED_AFTER, PATIENCE = 1.0, 30.0  # seconds in which no email came; and how long to wait for that

Request = Callable[[str, int], bytes]


def constant_page(host: str, _number: int) -> bytes:
    return f"GET / HTTP/1.1\r\nhost: {host}\r\n\r\n".encode()


def page(path: str, host: str, _number: int) -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: {host}\r\naccept-language: en\r\n\r\n".encode()


def home(host: str, number: int) -> bytes:
    cookie = crowds.cookie(1 + number % READERS)
    return f"GET / HTTP/1.1\r\nhost: {host}\r\naccept-language: en\r\ncookie: session={cookie}\r\n\r\n".encode()


def form(path: str, fields: str, headers: str, host: str, number: int) -> bytes:
    """As a browser sends a form, from another network each time."""
    return (
        f"POST {path} HTTP/1.1\r\nhost: {host}\r\norigin: http://{host}\r\n"
        f"sec-fetch-site: same-origin\r\n{headers}accept-language: en\r\n"
        f"x-forwarded-for: 10.{number >> 16}.{number >> 8 & 255}.{number & 255}\r\n"
        f"content-type: application/x-www-form-urlencoded\r\ncontent-length: {len(fields)}\r\n\r\n{fields}"
    ).encode()


HTMX = "hx-request: true\r\nhx-request-type: partial\r\n"


def reset_request(host: str, number: int) -> bytes:
    """As htmx sends the form: each time for another address, every second one known."""
    address = f"person{1 + number // 2}@example.com" if number % 2 else f"unknown{number}@example.com"
    return _reset_request(address, host, number)


def reset_request_of_somebody(host: str, number: int) -> bytes:
    """The same for known addresses alone, so that each becomes an email; from the last person on."""
    return _reset_request(f"person{CROWD.people - number}@example.com", host, number + (1 << 22))


def _reset_request(address: str, host: str, number: int) -> bytes:
    return form("/reset_password_request", f"email={quote(address)}", HTMX, host, number)


def log_in(host: str, number: int) -> bytes:
    fields = f"username=person{1 + number % CROWD.people}&password={PASSWORD.replace(' ', '+')}"
    return form("/login", fields, "", host, number + (1 << 20))


login_page = partial(page, "/login")
health = partial(page, "/health")
REDIRECTS: dict[Request, int] = {log_in: 303}  # all others answer 200


class Bench:
    """A constant page, a bare driver, a site, its mail server and one client."""

    def __init__(
        self, client: ProcessPoolExecutor, constant: Server, driver: Server, site: Server, sink: MailSink
    ) -> None:
        self.client = client
        self.constant = constant
        self.driver = driver
        self.site = site
        self.sink = sink
        self._asked: Counter[tuple[int, Request]] = Counter()

    def run(self, server: Server, request: Request, seconds: float = SECONDS) -> Figures:
        """One round. Raises AssertionError if anything but what is expected was answered."""
        asked = server.port, request
        arguments = (server.port, partial(request, server.host), self._asked[asked], seconds)
        used = server.processor_seconds()
        figures = self.client.submit(load.run, *arguments).result()
        figures = replace(figures, processor=server.processor_seconds() - used)
        self._asked[asked] += figures.answers + CONNECTIONS
        expected = 200 if server is not self.site else REDIRECTS.get(request, 200)
        assert set(figures.statuses) == {expected}, f"answers by status: {figures.statuses}"
        return figures

    def pages(self) -> list["Row"]:
        """The constant page, the site's bare answer, its log-in page, a home page and its statements, in turns."""
        self.run(self.site, home)  # whose posts aren't rendered yet
        turns: list[tuple[Server, Request]] = [
            (self.constant, constant_page),
            (self.site, health),
            (self.site, login_page),
            (self.site, home),
            (self.driver, home),
        ]
        return self._in_turns(turns)

    def log_ins(self) -> list["Row"]:
        return self._in_turns([(self.constant, constant_page), (self.site, log_in), (self.driver, log_in)])

    def _in_turns(self, turns: list[tuple[Server, Request]]) -> list["Row"]:
        rows = [Row([]) for _turn in turns]
        for _round in range(ROUNDS):
            for row, turn in zip(rows, turns, strict=True):
                row.rounds.append(self.run(*turn))
        return rows

    def reset_requests(self) -> tuple["Row", "Row", list["Row"]]:
        """The constant page and the reset request at each delay of the mail server, in turns. The statements alone come
        last, since they leave emails that the site would send meanwhile.
        """
        constant, driver, delayed = Row([]), Row([]), [Row([]) for _delay in DELAYS]
        for _round in range(ROUNDS):
            with self.site.paused():  # it has emails to send
                constant.rounds.append(self.run(self.constant, constant_page))
            for delay, row in zip(DELAYS, delayed, strict=True):
                self.sink.answer_after(delay)
                emails_before = self.sink.emails
                row.rounds.append(self.run(self.site, reset_request))
                row.emails += self.sink.emails - emails_before
        with self.site.paused():
            driver.rounds += [self.run(self.driver, reset_request) for _round in range(ROUNDS)]
        return constant, driver, delayed

    def whole_path(self) -> float:
        """Emails a second, from the first request until the last email is with the mail server; each has a reader."""
        self.sink.answer_after(0)
        time.sleep(2 * max(DELAYS))  # it may still hold an answer back, with which another database's round ended
        before, started = self.sink.emails, time.monotonic()
        self.run(self.site, reset_request_of_somebody, seconds=2 * SECONDS)
        seen, last = self.sink.emails, time.monotonic()
        while time.monotonic() < min(last + DRAINED_AFTER, started + PATIENCE):
            time.sleep(0.02)
            if self.sink.emails > seen:
                seen, last = self.sink.emails, time.monotonic()
        return (seen - before) / (last - started)


class Row:
    """The rounds of one page."""

    def __init__(self, rounds: list[Figures]) -> None:
        self.rounds = rounds
        self.emails = 0

    def median(self, figure: str) -> float:
        """The median round's "rate", "p50", "p99" or "cost"."""
        return float(statistics.median(getattr(figures, figure) for figures in self.rounds))

    def spread(self) -> float:
        """How far its rounds' rates lie apart, as a part of their median: the noise of the machine."""
        rates = [figures.rate for figures in self.rounds]
        return (max(rates) - min(rates)) / self.median("rate")


def measure() -> Report:
    """Measures on both databases; takes some four minutes."""
    columns = ("SMTP delay", "answers/s", "p50 ms", "p99 ms", "CPU µs", "of bare page", "of driver", "emails/s")
    report = Report(("database", f"{'page':13}", *columns))
    report.note(f"Load average before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sink = stack.enter_context(mail_sink())
        client = stack.enter_context(ProcessPoolExecutor(1, multiprocessing.get_context("spawn")))
        constant = stack.enter_context(
            servers.serve("tests.benchmarks.constant:create_app", "/", folder / "constant", server=servers.UVICORN)
        )
        for name, fresh_database in (("SQLite", _fresh_sqlite), ("PostgreSQL", servers.fresh_postgres)):
            place = folder / name
            place.mkdir()
            with fresh_database(place) as url, _sites(url, place, sink) as (driver, site):
                _measure(report, name, Bench(client, constant, driver, site, sink))
    return report


def _measure(report: Report, database: str, bench: Bench) -> None:
    add, reach = partial(_add, report, database), partial(_reach, report, database)
    start = bench.site.seconds_to_first_answer
    reach("first answer", start, "s", at_most=1.2)
    bench.run(bench.site, login_page, seconds=0.5)
    time.sleep(IDLE_SECONDS)
    memory = bench.site.memory()
    report.note(f"{database}: idle, supervisor and two workers: {memory}; first answer after {start:.2f} s")
    reach("idle memory", memory.pss, "MB", at_most=147)

    constant, bare_answer, login, member, posts = bench.pages()
    add("bare page", constant, constant)
    for name, row, share in (("/health", bare_answer, 50), ("log-in page", login, 30)):
        add(name, row, constant)
        reach(f"{name}, of the bare page", _percent(row, constant), "%", at_least=share)
    add("home, driver", posts, constant)
    add("home", member, constant, posts)
    reach("home, of the bare page", _percent(member, constant), "%", at_least=2)

    constant, hashes, entries = (rows := bench.log_ins())[0], rows[2], rows[1]
    add("log-in, driver", hashes, constant)
    add("log-in", entries, constant, hashes)
    reach("log-in, of the bare driver and a hash", _percent(entries, hashes), "%", at_least=60)

    emails = bench.whole_path()
    report.note(f"{database}: {emails:.0f} emails a second from the request to the mail server, the whole path")
    reach("emails, the whole path", emails, "a second", at_least=450)
    _measure_resets(report, database, bench)


def _measure_resets(report: Report, database: str, bench: Bench) -> None:
    constant, driver, delayed = bench.reset_requests()
    _add(report, database, "bare page", constant, constant)
    _add(report, database, "reset, driver", driver, constant)
    for delay, row in zip(DELAYS, delayed, strict=True):
        _add(report, database, "reset request", row, constant, driver, delay)
    worst = min(delayed, key=lambda row: row.median("rate"))
    rates = [row.median("rate") for row in delayed]
    noise = 100 * min(MOST_NOISE, max(row.spread() for row in delayed))
    reach = partial(_reach, report, database)
    reach("reset request, of the bare page", _percent(worst, constant), "%", at_least=3)
    reach("reset request, slowest mail server against fastest", 100 * (max(rates) / min(rates) - 1), "%", at_most=noise)


def _percent(row: Row, of: Row) -> float:
    return 100 * row.median("rate") / of.median("rate")


def _reach(report: Report, database: str, what: str, figure: float, unit: str, **bound: float) -> None:
    report.reach(Reach(f"{database}: {what}", figure, unit, **bound))


def _add(
    report: Report,
    database: str,
    page: str,
    row: Row,
    constant: Row,
    driver: Row | None = None,
    delay: float | None = None,
) -> None:
    report.add(
        database,
        page,
        "" if delay is None else f"{delay * 1000:.0f} ms",
        f"{row.median('rate'):.0f}",
        f"{row.median('p50'):.2f}",
        f"{row.median('p99'):.2f}",
        f"{row.median('cost'):.0f}",
        f"{_percent(row, constant):.1f} %",
        f"{_percent(row, driver):.0f} %" if driver else "",
        "" if delay is None else f"{row.emails / SECONDS / ROUNDS:.0f}",
    )


@contextmanager
def _fresh_sqlite(folder: Path) -> Iterator[str]:
    yield f"sqlite:///{folder / 'site.db'}"


@contextmanager
def _sites(url: str, folder: Path, sink: MailSink) -> Iterator[tuple[Server, Server]]:
    """A bare driver on a database with the crowd, and a production site, behind one proxy: its word is taken for where
    visitors come from.
    """
    environment = {
        "BASE_URL": "http://127.0.0.1",
        "SECRET_KEY": secrets.token_hex(32),
        "DATABASE_URL": url,
        "MAIL_SERVER": "127.0.0.1",
        "MAIL_PORT": str(sink.port),
        "MAIL_HOURLY_BUDGET": "0",
        "TRUSTED_PROXIES": "1",
        "POSTS_PER_PAGE": str(POSTS_PER_PAGE),
        "BARE_STATEMENTS": str(folder / "statements"),
    }
    for command in (["-m", "webapp", "migrate"], ["-c", "import webapp.server"]):  # so all is compiled
        subprocess.run([sys.executable, *command], env=os.environ | environment, check=True)
    crowds.fill(url, CROWD)
    _record(url, folder / "statements")
    with (
        servers.serve("tests.benchmarks.bare:create_app", "/", folder / "bare", environment, servers.UVICORN) as driver,
        servers.serve("webapp.app:create_app", "/login", folder / "log", environment) as site,
    ):
        yield driver, site


def _record(url: str, file: Path) -> None:
    """What the pages need of the database, as a site with the same settings asks for it. It sends no emails."""
    settings = Settings(
        base_url="http://127.0.0.1",
        secret_key=secrets.token_hex(32),
        database_url=url,
        mail_server="127.0.0.1",
        mailer="process",
        posts_per_page=POSTS_PER_PAGE,
        trusted_proxies=1,
    )
    asks = {"/": home, "/reset_password_request": reset_request, "/login": log_in}
    bare.record(create_app(settings), asks, file)
