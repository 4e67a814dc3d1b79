"""Real processes for tests: started with their own environment, watched, and always ended."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx2

from webapp.settings import ROOT

PYTHON = sys.executable
SECRET_KEY = "a key for processes: 0123456789abcdef0123456789abcdef"
# What the machine says; everything else is decided by the test, and the language is English.
KEPT = {"LANG": "C.UTF-8", **{name: os.environ[name] for name in ("HOME", "TMPDIR") if name in os.environ}}
KEPT["PATH"] = os.pathsep.join([str(Path(PYTHON).parent), os.environ.get("PATH", os.defpath)])


# Below those that the system hands out, for outgoing connections and for servers that take any: such a one could be
# somebody else's before the process has it.
PORTS = range(20_000, 32_000)


def free_port() -> int:
    for port in random.sample(PORTS, 100):
        with socket.socket() as trial, suppress(OSError):
            trial.bind(("127.0.0.1", port))
            return port
    raise OSError("no free port")


class Process:
    """A command in a process group of its own, with what it wrote."""

    def __init__(self, command: list[str], environment: Mapping[str, str], log: Path, root: Path = ROOT) -> None:
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                cwd=root,
                env={**KEPT, "PYTHONPATH": str(root), **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def wait(self, seconds: float) -> int:
        """Its exit code; fails when it does not end by itself."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s:\n{self.output}") from None

    def signal(self, number: int) -> None:
        """To the whole group, as a terminal does."""
        os.killpg(self._process.pid, number)

    def terminate(self) -> None:
        """Asks the parent of the group to end, as a platform does."""
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the whole group at once, with no chance to tidy up."""
        if self.is_alive or _group_exists(self._process.pid):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)


def _group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for_page(url: str, process: Process, is_so: Callable[[httpx2.Response], bool], seconds: float = 30) -> None:
    """Waits until a page of the process is as it should be; fails when the process ends before."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if is_so(httpx2.get(url, timeout=5, verify=False)):
                return
        except httpx2.TransportError:
            pass
        assert process.is_alive, process.output
        assert time.monotonic() < deadline, process.output
        time.sleep(0.05)


class Host:
    """A machine on which a site is deployed: its environment, and the processes started on it."""

    def __init__(self, folder: Path, database_url: str, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.port = free_port()
        self.database_url = database_url
        self.base_url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            "BASE_URL": self.base_url,
            "SECRET_KEY": SECRET_KEY,
            "DATABASE_URL": database_url,
            "TRUSTED_PROXIES": "1",
            "PORT": str(self.port),
            **environment,
        }
        self._started: list[Process] = []

    def __enter__(self) -> "Host":
        return self

    def __exit__(self, *error: object) -> None:
        with ExitStack() as stack:
            for process in self._started:
                stack.callback(process.kill)

    def start(self, *command: str, **more: str) -> Process:
        log = self.folder / f"process-{len(self._started)}.log"
        self._started.append(Process([PYTHON, "-m", *command], self.environment | more, log))
        return self._started[-1]

    def serve(self, *options: str, **more: str) -> Process:
        """Starts the web process of the Procfile, and waits until it answers."""
        process = self.start("webapp.server", "--host", "127.0.0.1", "--port", str(self.port), *options, **more)
        self.wait_until_ready(process)
        return process

    def wait_until_ready(self, process: Process, seconds: float = 30) -> None:
        wait_for_page(f"{self.base_url}/health", process, lambda page: page.status_code == 200, seconds)

    def browser(self, number: int = 1) -> httpx2.Client:
        """A browser from a network of its own."""
        return httpx2.Client(
            base_url=self.base_url,
            follow_redirects=True,
            timeout=30,
            verify=False,  # there is no TLS here, and reading the machine's certificates is slow
            headers={"x-forwarded-for": f"203.0.113.{number}", "user-agent": "a browser"},
        )
