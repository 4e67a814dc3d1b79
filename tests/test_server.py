"""`python -m webapp.server`: several workers, forked, none of which is missed for long or left behind."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from tests.depth import deep, one_in
from tests.inspection import query
from tests.neighbours.neighbours import running
from tests.processes import PYTHON, Host, wait_for_page
from tests.smtp_script import Fault, ScriptedServer
from tests.wire import connected, head

PATIENCE = 30


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@deep
def test_workers_are_replaced_while_their_supervisor_lives_and_leave_with_it(sqlite_url: str, tmp_path: Path) -> None:
    with Host(tmp_path, sqlite_url, {"MAILER": "off"}) as host:
        server = host.serve("--workers", "2")
        [supervisor] = [each for each in psutil.Process().children() if "webapp.server" in each.cmdline()]
        first = supervisor.children()
        first[0].kill()
        wait_until(lambda: first[0] not in supervisor.children() and len(supervisor.children()) == 2)
        wait_for_page(f"{host.base_url}/health", server, lambda page: page.status_code == 200)
        replaced = supervisor.children()
        os.kill(supervisor.pid, signal.SIGKILL)
        wait_until(lambda: not any(worker.is_running() for worker in replaced))

        assert len(first) == len(replaced) == 2
        assert first[1] in replaced
        assert server.output.count('"worker_ended"') == 1


@deep
@one_in(2)
def test_a_log_that_can_not_be_written_stops_nothing(sqlite_url: str, tmp_path: Path) -> None:
    """Neither a start, nor a worker that replaces another, nor a stop."""
    with Host(tmp_path, sqlite_url, {"MAILER": "off"}) as host:
        command = f"exec {PYTHON} -m webapp.server --workers 2 2> /dev/full"
        with running(["/bin/sh", "-c", command], host.environment, tmp_path / "log") as server:
            host.wait_until_ready(server)
            [supervisor] = [each for each in psutil.Process().children() if "webapp.server" in each.cmdline()]
            first = supervisor.children()
            first[0].kill()
            wait_until(lambda: first[0] not in supervisor.children() and len(supervisor.children()) == 2)
            host.wait_until_ready(server)
            supervisor.terminate()

            assert server.wait(PATIENCE) == 0


@deep
def test_an_email_is_claimed_in_the_name_of_the_worker_that_sends_it(sqlite_url: str, tmp_path: Path) -> None:
    with ScriptedServer() as mail_server:
        mail_server.answers["CONNECT"] = Fault.HANG
        environment = {"MAIL_SERVER": "127.0.0.1", "MAIL_PORT": str(mail_server.port)}
        with Host(tmp_path, sqlite_url, environment) as host:
            host.serve("--workers", "2")
            [supervisor] = [each for each in psutil.Process().children() if "webapp.server" in each.cmdline()]
            with host.browser() as browser:
                browser.post("/register", data={"email": "susan@example.com"})
            mail_server.wait_for(lambda server: server.connections)
            [(name,)] = query(sqlite_url, "SELECT leased_by FROM outbox_email")

            assert int(name.split(":")[1]) in [worker.pid for worker in supervisor.children()]


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--port", "70000", "from 0 to 65535"),
        ("--workers", "0", "from 1 to 256"),
        ("--workers", "-1", "from 1 to 256"),
        ("--workers", "1000000", "from 1 to 256"),
    ],
)
@deep
def test_a_number_that_is_none_is_refused_in_one_sentence(
    sqlite_url: str, tmp_path: Path, option: str, value: str, words: str
) -> None:
    with Host(tmp_path, sqlite_url, {"MAILER": "off"}) as host:
        server = host.start("webapp.server", option, value)

        assert server.wait(PATIENCE) == 2
        assert server.output.endswith(f"error: argument {option}: must be a whole number {words}\n")


@deep
def test_nobody_fills_the_log_with_warnings_of_the_server(sqlite_url: str, tmp_path: Path) -> None:
    odd = b"nonsense\r\n\r\n", head("GET", "/health", "x", "Connection: Upgrade", "Upgrade: websocket")
    with Host(tmp_path, sqlite_url, {"MAILER": "off"}) as host:
        server = host.serve()
        for request in odd * 20:
            with connected(host.port, request) as connection:
                assert connection.recv(100)
        warned = [line for line in server.output.splitlines() if '"level": "warning", "logger": "uvicorn' in line]

        assert "Invalid HTTP request received." in "".join(warned)
        assert len(warned) == len(set(map(words_of, warned)))


def words_of(line: str) -> str:
    return str(json.loads(line)["event"])


@deep
def test_workers_still_share_their_memory_after_a_garbage_collection(sqlite_url: str, tmp_path: Path) -> None:
    with Host(tmp_path, sqlite_url, {"MAILER": "off"}) as host:
        host.serve("tests.collected:create_app", "--workers", "2")
        [supervisor] = [each for each in psutil.Process().children() if "webapp.server" in each.cmdline()]
        shares = [each.memory_full_info().uss / each.memory_full_info().rss for each in supervisor.children()]

        assert max(shares) < 0.3, "0.13 is usual; 0.54 if the garbage collector writes to it, 0.9 if nothing is shared"
