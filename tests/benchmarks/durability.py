"""What it costs on SQLite that a commit is on the disk: the reset request, at several numbers of connections.

Three sites take turns: one whose commits share a flush, as ours do; one where SQLite flushes with each commit
(`synchronous=FULL`); and one that promises nothing (`NORMAL`). `python -m tests.benchmarks.durability` takes a minute.
"""

import multiprocessing
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import event
from starlette.applications import Starlette

from tests.benchmarks import load, servers
from tests.benchmarks.account_pages import reset_request
from tests.benchmarks.load import Figures
from tests.benchmarks.report import Reach, Report
from tests.benchmarks.servers import Server
from tests.reliability import unflushed

ROUNDS, SECONDS = 3, 1.0
CONNECTIONS = (1, 8, 32, 128)
SITES = {
    "shared flush": "webapp.app:create_app",
    "FULL": "tests.benchmarks.durability:create_full",
    "NORMAL": "tests.reliability.unflushed:create_app",
}


def create_full() -> Starlette:
    """A site whose every commit is flushed by SQLite itself."""
    app = unflushed.create_app()
    event.listen(app.state.database.engine.sync_engine, "connect", _be_full)
    return app


def _be_full(connection: Any, _record: object) -> None:
    connection.cursor().execute("PRAGMA synchronous=FULL")


def measure() -> Report:
    report = Report(
        (
            "connections",
            *(f"{name}, answers/s" for name in SITES),
            "of NORMAL",
            "of FULL",
            *(f"{name}, p99 ms" for name in SITES),
        )
    )
    with ExitStack() as stack:
        client = stack.enter_context(ProcessPoolExecutor(1, multiprocessing.get_context("spawn")))
        sites = {name: stack.enter_context(_site(factory)) for name, factory in SITES.items()}
        first = 0
        for connections in CONNECTIONS:
            rounds: dict[str, list[Figures]] = {name: [] for name in SITES}
            for _round in range(ROUNDS):
                for name, site in sites.items():
                    work = partial(reset_request, site.host)
                    figures = client.submit(load.run, site.port, work, first, SECONDS, connections).result()
                    assert set(figures.statuses) == {200}, figures.statuses
                    rounds[name].append(figures)
                    first += figures.answers + connections
            _add(report, connections, rounds.values())
    return report


def _add(report: Report, connections: int, sites: Collection[list[Figures]]) -> None:
    shared, full, normal = rates = [statistics.median(one.rate for one in rounds) for rounds in sites]
    told = (f"{rate:.0f}" for rate in rates)
    slowest = (f"{statistics.median(one.p99 for one in rounds):.1f}" for rounds in sites)
    report.add(str(connections), *told, f"{shared / normal:.2f}", f"{shared / full:.2f}", *slowest)
    if connections >= 32:
        what = f"{connections} connections, shared flush, of FULL"
        report.reach(Reach(what, shared / full, "times", at_least=1.2))


@contextmanager
def _site(factory: str) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = {
            "BASE_URL": "http://127.0.0.1",
            "SECRET_KEY": secrets.token_hex(32),
            "DATABASE_URL": f"sqlite:///{folder / 'site.db'}",
            "MAIL_SERVER": "127.0.0.1",
            "MAIL_HOURLY_BUDGET": "0",
            "MAILER": "process",
            "TRUSTED_PROXIES": "1",
        }
        subprocess.run([sys.executable, "-m", "webapp", "migrate"], env=os.environ | environment, check=True)
        with servers.serve(factory, "/login", folder / "log", environment) as site:
            yield site


if __name__ == "__main__":
    sys.exit(0 if measure().is_met else 1)
