"""Real neighbours for tests: programs of other people, started with a configuration of their own, and always ended."""

import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.missing import unavailable
from tests.processes import Process
from webapp.settings import ROOT


@contextmanager
def running(command: list[str], environment: Mapping[str, str], log: Path) -> Iterator[Process]:
    process = Process(command, environment, log)
    try:
        yield process
    finally:
        process.terminate()
        process.kill()


def program(name: str) -> str:
    """Where a neighbour's program is; without it the test is not run, and says so."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    return found or unavailable(f"no {name} on this machine")


def procfile(name: str) -> list[str]:
    """A command of the Procfile, but bound to this machine alone."""
    lines = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines() if line)
    assert "--host 0.0.0.0" in lines["web"]
    return ["/bin/sh", "-c", "exec " + lines[name].replace("--host 0.0.0.0", "--host 127.0.0.1")]


def wait_for_port(port: int, process: Process) -> None:
    """Waits until the neighbour listens."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert process.is_alive, process.output
            assert time.monotonic() < deadline, process.output
            time.sleep(0.05)
