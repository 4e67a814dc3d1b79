"""docs/from-the-tutorial.md: each command is run as it stands there, but for the port, and does what is said."""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from tests.cli.tutorial import TutorialDatabase
from tests.depth import deep
from tests.mailbox import Mailbox
from tests.processes import KEPT, Process, free_port, wait_for_page
from tests.test_development import UNFINISHED
from webapp.settings import ROOT

TEXT = (ROOT / "docs" / "from-the-tutorial.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
COMMANDS = [line for language, block in BLOCKS if not language for line in block.splitlines()]
PROMPT = [line[4:] for language, block in BLOCKS if language == "pycon" for line in block.splitlines()]


class Reader:
    """Somebody who types the page's commands in a fresh copy of the tree."""

    def __init__(self, folder: Path, ends: ExitStack) -> None:
        self.root = folder / "microblog"
        for part in ("webapp", "static", "templates"):
            shutil.copytree(ROOT / part, self.root / part, ignore=UNFINISHED)
        shutil.copy(ROOT / "Makefile", self.root)
        (self.root / ".venv").symlink_to(sys.prefix)
        self.ports = {"8025": str(free_port()), "8000": str(free_port())}
        self.mailbox = Mailbox(self.root / "instance" / "mailbox")
        self._folder, self._ends = folder, ends

    def start(self, command: str, more: str = "") -> Process:
        """Starts what runs until it is stopped. It must stand on the page."""
        assert command in COMMANDS
        log = self._folder / f"{len(list(self._folder.iterdir()))}.log"
        words = f"exec {command.replace('8025', self.ports['8025'])} {more}"
        words = re.sub(r"exec ((?:[A-Z_]+=\S+ )+)", r"exec env \1", words)
        process = Process(["sh", "-c", words], {"PYTHONUNBUFFERED": "1"}, log, self.root)
        self._ends.callback(process.kill)
        return process

    def run(self, command: str, text: str = "", **variables: str) -> str:
        """What a command prints. It must stand on the page, and succeed."""
        assert command in COMMANDS
        ended = subprocess.run(
            command,
            shell=True,
            input=text,
            cwd=self.root,
            env={**KEPT, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        assert ended.returncode == 0, ended.stdout
        return ended.stdout

    def visit(self, process: Process) -> httpx2.Client:
        url = f"http://127.0.0.1:{self.ports['8000']}"
        wait_for_page(f"{url}/login", process, lambda page: page.status_code == 200)
        return self._ends.enter_context(httpx2.Client(base_url=url, verify=False))


def wait_until(is_so: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    with ExitStack() as ends:
        yield Reader(tmp_path, ends)


def test_the_commands_of_the_page_are_those_that_are_run_here() -> None:
    own = Path(__file__).read_text()

    assert [command for command in COMMANDS if f'"{command}"' not in own] == []
    assert len(PROMPT) == 4


@deep
def test_the_old_way_with_a_mail_server_in_a_second_terminal(reader: Reader) -> None:
    server = reader.start("python -m aiosmtpd -n -c aiosmtpd.handlers.Debugging stdout -l localhost:8025")
    site = reader.start("MAIL_SERVER=localhost MAIL_PORT=8025 python -m webapp dev", f"--port {reader.ports['8000']}")
    reader.visit(site).post("/reset_password_request", data={"email": "noor"})

    said = reader.run(
        "python -m webapp send-test-mail you@example.com", MAIL_SERVER="localhost", MAIL_PORT=reader.ports["8025"]
    )

    assert "The server says: 250" in said
    for words in ("can send emails.", "Subject: Reset your password on Microblog"):
        wait_until(lambda words=words: words in server.output)  # type: ignore[misc]


@deep
def test_the_new_way_without_one(reader: Reader) -> None:
    site = reader.start("make run", f"-o .venv/run PORT={reader.ports['8000']}")
    browser = reader.visit(site)
    browser.post("/reset_password_request", data={"email": "noor"})
    reader.mailbox.link(subject="Reset your password")

    assert "Reset your password on Microblog" in browser.get("/mailbox").text
    site.kill()
    assert "FAILURE" not in reader.run("python -m webapp doctor")

    app_db = TutorialDatabase(reader.root / "app.db", theo="theo@example.com")
    app_db.add_post("theo", "Beautiful day in Portland!")
    assert reader.run("python -m webapp import-tutorial app.db") == "Imported 1 person, 1 post and 0 follows.\n"

    reader.run("python -m webapp shell", "db.add(users.new('susan', 'susan@example.com', '!'))\n")
    assert "/reset_password/" in reader.run("python -m webapp reset-link susan")
    said = reader.run("python -m webapp shell", "\n".join([*PROMPT, ""]))
    mailer = reader.start("python -m webapp mailer")

    assert "Traceback" not in said
    assert reader.mailbox.last(to="susan@example.com").text == "Hello, susan!\n"
    mailer.terminate()
    assert mailer.wait(30) == 0, mailer.output
