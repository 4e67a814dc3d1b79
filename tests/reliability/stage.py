"""The stage of a reliability run: a mail server and web processes of a site, each a real process with a pid to kill."""

import asyncio
import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import text

from tests.processes import free_port
from tests.sites import SECRET_KEY
from webapp.database import Database
from webapp.settings import ROOT

HOST = "127.0.0.1:8000"  # what visitors type: the harness is the proxy before the processes, each on its own port
START_SECONDS = 60.0


@dataclass(frozen=True)
class Arrived:
    """An email that the mail server took, at a time in seconds since 1970."""

    at: float
    to: str
    id: str
    link: str


class MailServer:
    """The mail server's process, and the log of what it took."""

    def __init__(self, log: Path) -> None:
        self.log = log
        command = [sys.executable, "-m", "tests.reliability.relay", str(log)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self._answer()["port"])

    def order(self, **changes: Any) -> dict[str, int]:
        """Changes how the server behaves; returns what it has counted: connections now and most, emails, held."""
        assert self._process.stdin is not None
        print(json.dumps(changes), file=self._process.stdin, flush=True)
        return self._answer()

    def emails(self) -> list[Arrived]:
        """Everything that was taken, in its order."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [Arrived(**json.loads(line)) for line in lines]

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
        self._process.stdout.close()

    def _answer(self) -> dict[str, int]:
        assert self._process.stdout is not None
        answer: dict[str, int] = json.loads(self._process.stdout.readline())
        return answer


class WebProcess:
    """One web process, started as the Procfile starts it, on a port of its own; its pid changes when it restarts."""

    def __init__(self, environment: dict[str, str], folder: Path, factory: str) -> None:
        self.environment = environment
        self.port = free_port()
        self.factory = factory
        self.log = folder / f"web{self.port}.log"
        self.dead: set[int] = set()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        with self.log.open("ab") as log:
            command = _web_command(self.port, self.factory)
            self._process = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)

    async def ready(self) -> None:
        """Returns once it answers."""
        deadline = time.monotonic() + START_SECONDS
        while not await self.is_serving():
            assert self._process is not None
            assert self._process.poll() is None, self.log.read_text()[-2000:]
            assert time.monotonic() < deadline, self.log.read_text()[-2000:]
            await asyncio.sleep(0.05)

    def kill(self) -> None:
        """Kills it, as a crash or the kernel would: it can't clean up anything."""
        assert self._process is not None
        self.dead.add(self.pid)
        self.signal(signal.SIGKILL)
        self._process.wait(10)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    async def gone_after(self, patience: float) -> float:
        """How many seconds it takes until the process is gone; `patience` if it is still there then."""
        assert self._process is not None
        began = time.monotonic()
        while self._process.poll() is None and time.monotonic() - began < patience:
            await asyncio.sleep(0.02)
        return time.monotonic() - began

    def close(self) -> None:
        if self._process and self._process.poll() is None:
            self.kill()

    async def is_serving(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        with contextlib.closing(writer):
            writer.write(b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
            try:
                return b" 200 " in await reader.readline()
            except OSError:
                return False


class Stage:
    """A site of several processes on one database, and the mail server that they share."""

    def __init__(self, folder: Path, database_url: str, processes: int, factory: str, settings: dict[str, str]) -> None:
        self.database = Database(database_url)
        self.mail_server = MailServer(folder / "emails.jsonl")
        self.environment = {
            **{name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}},
            "PYTHONPATH": str(ROOT),
            "BASE_URL": f"http://{HOST}",
            "SECRET_KEY": SECRET_KEY,
            "DATABASE_URL": database_url,
            "MAIL_SERVER": "127.0.0.1",
            "MAIL_PORT": str(self.mail_server.port),
            "MAIL_HOURLY_BUDGET": "0",
            "MAIL_CONNECTIONS": "2",
            "TRUSTED_PROXIES": "1",
            **settings,
        }
        self.processes = [WebProcess(self.environment, folder, factory) for _ in range(processes)]
        self.folder = folder

    @property
    def connections_allowed(self) -> int:
        return len(self.processes) * int(self.environment["MAIL_CONNECTIONS"])

    async def start(self) -> None:
        for process in self.processes:
            process.start()
        for process in self.processes:
            await process.ready()

    async def execute(self, statement: str, **parameters: object) -> list[tuple[Any, ...]]:
        """Runs one statement in the site's database, as its host could; returns its rows."""
        async with self.database.session(is_writing=not statement.startswith("SELECT")) as db:
            result = await (await db.connection()).execute(text(statement), parameters)
            rows = [tuple(row) for row in result.all()] if result.returns_rows else []
            await db.commit()
        return rows

    async def waiting(self) -> int:
        """How many emails that somebody waits for were neither sent nor given up; repeated notices gather a while."""
        waited_for = "kind IN ('reset_password', 'register', 'confirm_email')"
        ((count,),) = await self.execute(
            f"SELECT count(*) FROM outbox_email WHERE finished_at IS NULL AND {waited_for}"
        )
        return int(count)

    async def drained_after(self, patience: float) -> float:
        """How many seconds it takes until no email waits; `patience` if some still do then."""
        began = time.monotonic()
        while time.monotonic() - began < patience and await self.waiting():
            await asyncio.sleep(0.2)
        return time.monotonic() - began

    async def end_leases_of_the_dead(self) -> int:
        """Lets the leases of killed processes run out now instead of after 90 s; returns how many there were.

        This is the one thing in which the short runs differ from the world: `make soak` waits.
        """
        count = 0
        for pid in {pid for process in self.processes for pid in process.dead}:
            its_leases = "state = 'leased' AND leased_by LIKE :mailer"
            ended = f"UPDATE outbox_email SET due_at = created_at WHERE {its_leases} RETURNING id"
            count += len(await self.execute(ended, mailer=f"%:{pid}:%"))
        return count

    async def command(self, *arguments: str) -> str:
        """What `python -m webapp` prints."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "webapp", *arguments, cwd=ROOT, env=self.environment, stdout=asyncio.subprocess.PIPE
        )
        output, _errors = await asyncio.wait_for(process.communicate(), START_SECONDS)
        assert process.returncode == 0, output
        return output.decode()

    def close(self) -> None:
        for process in self.processes:
            process.close()
        self.mail_server.close()


@contextlib.asynccontextmanager
async def stage(
    folder: Path, database_url: str, processes: int = 2, factory: str = "webapp.app:create_app", **settings: str
) -> AsyncIterator[Stage]:
    """Starts a site; its processes end with the block, whatever happens in it."""
    playing = Stage(folder, database_url, processes, factory, settings)
    try:
        await playing.start()
        yield playing
    finally:
        playing.close()
        await playing.database.aclose()


def _web_command(port: int, factory: str) -> list[str]:
    """The Procfile's own command line, on loopback."""
    lines = (ROOT / "Procfile").read_text().splitlines()
    (line,) = [line.removeprefix("web: ") for line in lines if line.startswith("web: ")]
    program, *arguments = shlex.split(line.replace("0.0.0.0", "127.0.0.1"))
    assert program == "python"
    arguments[arguments.index("--port") + 1] = str(port)
    return [sys.executable, *arguments, factory]
