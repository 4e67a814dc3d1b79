"""The reset request and the log-in page beside a bare Starlette page, on both databases.

Each database gets a fresh site on two workers. Half of those who ask for a reset have an account, so emails
are on their way all the time. Rounds take turns, and medians are told: machines are noisy, ratios less so.
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

from tests.benchmarks import load, servers
from tests.benchmarks.load import CONNECTIONS, Figures
from tests.benchmarks.mailsink import MailSink, mail_sink
from tests.benchmarks.report import Reach, Report
from tests.benchmarks.servers import Server

ROUNDS = 5
SECONDS = 1.5
ACCOUNTS = 20_000
DELAYS = (0.0, 0.05, 1.0)  # of each answer of the mail server, in seconds
IDLE_SECONDS = 2.0
MOST_NOISE = 0.25  # between rounds; on a machine that is noisier, nothing can be said

Request = Callable[[str, int], bytes]


def constant_page(host: str, _number: int) -> bytes:
    return f"GET / HTTP/1.1\r\nhost: {host}\r\n\r\n".encode()


def page(path: str, host: str, _number: int) -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: {host}\r\naccept-language: en\r\n\r\n".encode()


login_page = partial(page, "/login")
health = partial(page, "/health")


def reset_request(host: str, number: int) -> bytes:
    """As htmx sends the form: each time for another address and from another network, every second one known."""
    address = f"known{number // 2}@example.com" if number % 2 else f"unknown{number}@example.com"
    body = f"email={quote(address)}"
    return (
        f"POST /reset_password_request HTTP/1.1\r\nhost: {host}\r\norigin: http://{host}\r\n"
        "sec-fetch-site: same-origin\r\nhx-request: true\r\nhx-request-type: partial\r\naccept-language: en\r\n"
        f"x-forwarded-for: 10.{number >> 16}.{number >> 8 & 255}.{number & 255}\r\n"
        f"content-type: application/x-www-form-urlencoded\r\ncontent-length: {len(body)}\r\n\r\n{body}"
    ).encode()


class Bench:
    """A constant page, a site, its mail server and one client."""

    def __init__(self, client: ProcessPoolExecutor, constant: Server, site: Server, sink: MailSink) -> None:
        self.client = client
        self.constant = constant
        self.site = site
        self.sink = sink
        self._asked: Counter[Request] = Counter()

    def run(self, server: Server, request: Request, seconds: float = SECONDS) -> Figures:
        """One round. Raises AssertionError if anything but 200 was answered."""
        arguments = (server.port, partial(request, server.host), self._asked[request], seconds)
        used = server.processor_seconds()
        figures = self.client.submit(load.run, *arguments).result()
        figures = replace(figures, processor=server.processor_seconds() - used)
        self._asked[request] += figures.answers + CONNECTIONS
        assert set(figures.statuses) == {200}, f"answers by status: {figures.statuses}"
        return figures

    def pages(self) -> tuple["Row", "Row", "Row"]:
        """The constant page, the site's bare answer and its log-in page, in turns."""
        rounds = [
            (self.run(self.constant, constant_page), self.run(self.site, health), self.run(self.site, login_page))
            for _ in range(ROUNDS)
        ]
        constant, bare, login = (Row(list(figures)) for figures in zip(*rounds, strict=True))
        return constant, bare, login

    def reset_request(self) -> tuple["Row", list["Row"]]:
        """The constant page and the reset request at each delay of the mail server, in turns."""
        constant, delayed = Row([]), [Row([]) for _delay in DELAYS]
        for _round in range(ROUNDS):
            with self.site.paused():  # it has emails to send
                constant.rounds.append(self.run(self.constant, constant_page))
            for delay, row in zip(DELAYS, delayed, strict=True):
                self.sink.answer_after(delay)
                emails_before = self.sink.emails
                row.rounds.append(self.run(self.site, reset_request))
                row.emails += self.sink.emails - emails_before
        return constant, delayed


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
    """Measures on both databases; takes some two and a half minutes."""
    load_before = os.getloadavg()[0]
    report = Report(
        ("database", "page", "SMTP delay", "answers/s", "p50 ms", "p99 ms", "CPU µs", "of constant", "emails/s")
    )
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
            with fresh_database(place) as url, _site(url, place, sink) as site:
                _measure(report, name, Bench(client, constant, site, sink))
    report.notes.append(f"Load average before: {load_before:.1f} on {os.cpu_count()} processors")
    return report


def _measure(report: Report, database: str, bench: Bench) -> None:
    bench.run(bench.site, login_page, seconds=0.5)
    time.sleep(IDLE_SECONDS)
    memory, start = bench.site.memory(), bench.site.seconds_to_first_answer
    report.notes.append(f"{database}: idle, supervisor and two workers: {memory}; first answer after {start:.2f} s")
    constant, bare, login = bench.pages()
    report.rows += [
        _row(database, name, row, constant)
        for name, row in (("constant", constant), ("/health", bare), ("log-in page", login))
    ]
    bare_share, login_share = (row.median("rate") / constant.median("rate") for row in (bare, login))
    constant, delayed = bench.reset_request()
    report.rows.append(_row(database, "constant", constant, constant))
    report.rows += [
        _row(database, "reset request", row, constant, delay) for row, delay in zip(delayed, DELAYS, strict=True)
    ]
    rates = [row.median("rate") for row in delayed]
    report.reaches += [
        Reach(f"{database}: /health, of the constant page", 100 * bare_share, "%", at_least=50),
        Reach(f"{database}: log-in page, of the constant page", 100 * login_share, "%", at_least=30),
        Reach(f"{database}: reset request, of it", 100 * min(rates) / constant.median("rate"), "%", at_least=3),
        Reach(
            f"{database}: reset request, slowest mail server against fastest",
            100 * (max(rates) / min(rates) - 1),
            "%",
            at_most=100 * min(MOST_NOISE, max(row.spread() for row in delayed)),
        ),
        Reach(f"{database}: idle memory", memory.pss, "MB", at_most=210),
        Reach(f"{database}: first answer", start, "s", at_most=1.5),
    ]


def _row(database: str, page: str, row: Row, constant: Row, delay: float | None = None) -> tuple[str, ...]:
    rate = row.median("rate")
    return (
        database,
        page,
        "" if delay is None else f"{delay * 1000:.0f} ms",
        f"{rate:.0f}",
        f"{row.median('p50'):.2f}",
        f"{row.median('p99'):.2f}",
        f"{row.median('cost'):.0f}",
        f"{100 * rate / constant.median('rate'):.1f} %",
        "" if delay is None else f"{row.emails / SECONDS / ROUNDS:.0f}",
    )


@contextmanager
def _fresh_sqlite(folder: Path) -> Iterator[str]:
    yield f"sqlite:///{folder / 'site.db'}"


@contextmanager
def _site(database_url: str, folder: Path, sink: MailSink) -> Iterator[Server]:
    """A production site with many accounts, behind one proxy: its word is taken for where visitors come from."""
    environment = {
        "BASE_URL": "http://127.0.0.1",
        "SECRET_KEY": secrets.token_hex(32),
        "DATABASE_URL": database_url,
        "MAIL_SERVER": "127.0.0.1",
        "MAIL_PORT": str(sink.port),
        "MAIL_HOURLY_BUDGET": "0",
        "TRUSTED_PROXIES": "1",
    }
    accounts = folder / "accounts.csv"
    people = (f"known{number},known{number}@example.com" for number in range(ACCOUNTS))
    accounts.write_text("\n".join(["username,email", *people]))
    for command in (["migrate"], ["import-users", str(accounts)]):
        subprocess.run([sys.executable, "-m", "webapp", *command], env=os.environ | environment, check=True)
    with servers.serve("webapp.app:create_app", "/login", folder / "log", environment) as site:
        yield site
