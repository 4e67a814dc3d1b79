"""What a newcomer does: `python -m webapp dev` in a fresh copy of the tree, as `make run` calls it."""

import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from tests.depth import deep
from tests.mailbox import Mailbox
from tests.processes import KEPT, PYTHON, Process, free_port, wait_for_page
from tests.stories import NEW_PASSWORD
from webapp.settings import ROOT

PARTS = ("webapp", "static", "templates")
UNFINISHED = shutil.ignore_patterns("*.pyc.*")  # what another process compiles just now; what is compiled comes along


class Checkout:
    """A copy of the tree, with a development site in it."""

    def __init__(self, folder: Path, ends: ExitStack) -> None:
        self.root = folder / "microblog"
        for part in PARTS:
            shutil.copytree(ROOT / part, self.root / part, ignore=UNFINISHED)
        self.log = folder / "dev.log"
        self.port = free_port()
        self.mailbox = Mailbox(self.root / "instance" / "mailbox")
        self._ends = ends

    def start(self, *options: str) -> Process:
        """Starts the site, and waits until it has said that it is there."""
        process = self.launch(*options)
        while "Ctrl-C" not in process.output:
            assert process.is_alive, process.output
            time.sleep(0.02)
        return process

    def launch(self, *options: str) -> Process:
        self.log.unlink(missing_ok=True)
        command = [PYTHON, "-m", "webapp", "dev", "--port", str(self.port), *options]
        process = Process(command, {}, self.log, self.root)
        self._ends.callback(process.kill)
        return process

    def browser(self) -> httpx2.Client:
        client = httpx2.Client(base_url=f"http://localhost:{self.port}", follow_redirects=True, verify=False)
        return self._ends.enter_context(client)

    def wait_for(self, words: str, process: Process) -> None:
        """Waits until they stand on the log-in page."""
        wait_for_page(f"http://localhost:{self.port}/login", process, lambda page: words in page.text)


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    with ExitStack() as ends:
        yield Checkout(tmp_path, ends)


def welcome(process: Process) -> list[str]:
    """What a start says once the site is there."""
    first, *lines = process.output.splitlines()
    assert first == "Starting ..."
    return lines


def interrupt(process: Process) -> None:
    """Ctrl-C"""
    process.signal(signal.SIGINT)
    process.wait(15)


@deep
def test_a_newcomer_finds_people_forgets_a_password_and_reads_the_email(checkout: Checkout) -> None:
    process = checkout.start()
    browser = checkout.browser()
    names, password = re.search(r"Log in as (\w+)", process.output), re.search(r"password: (.+)", process.output)
    assert names, process.output
    assert password, process.output

    browser.post("/reset_password_request", data={"email": names[1]})
    link = checkout.mailbox.link(subject="Reset your password")
    shown = browser.get("/mailbox").text
    browser.post(link, data={"password": NEW_PASSWORD})
    home = browser.post("/login", data={"username": names[1], "password": NEW_PASSWORD})

    command = [PYTHON, "-m", "webapp", "reset-link", names[1]]
    printed = subprocess.run(command, cwd=checkout.root, env=KEPT, capture_output=True, text=True, check=True).stdout

    assert f"Microblog is at http://localhost:{checkout.port}\n" in process.output
    assert printed.startswith(f"http://localhost:{checkout.port}/reset_password/")
    assert f"at http://localhost:{checkout.port}/mailbox" in process.output
    assert "Reset your password on Microblog" in shown
    assert home.url.path == "/"
    assert "post-body" in home.text
    assert browser.get("/admin/mail").status_code == 200, "whose name is printed first is the host"


@deep
def test_it_goes_on_where_it_was_and_stays_as_empty_as_was_wished(checkout: Checkout) -> None:
    process, browser = checkout.start("--empty"), checkout.browser()
    browser.post("/register", data={"email": "susan@example.com"})
    browser.post(checkout.mailbox.link(), data={"username": "susan", "password": NEW_PASSWORD})
    browser.post("/login", data={"username": "susan", "password": NEW_PASSWORD})
    interrupt(process)

    process = checkout.start()
    home = browser.get("/")

    assert home.url.path == "/", "the same key"
    assert "susan" in home.text, "the same database"
    assert "password:" not in process.output, "there is somebody, so nobody is made up"


@deep
def test_every_start_says_who_one_can_log_in_as(checkout: Checkout) -> None:
    process, browser = checkout.start(), checkout.browser()
    told = welcome(process)
    browser.post("/reset_password_request", data={"email": "noor"})
    browser.post(checkout.mailbox.link(subject="Reset your password"), data={"password": NEW_PASSWORD})
    interrupt(process)

    again = welcome(checkout.start())

    assert told[1].startswith("Log in as wilma (the admin), or as tomasz_k, greta_lin, old_pier, noor, ")
    assert again[1] == told[1].replace("noor, ", ""), "whose password is another now"
    assert (again[0], again[2:5]) == (told[0], told[2:5])


@deep
def test_the_address_is_said_once_it_answers_and_not_before(checkout: Checkout) -> None:
    checkout.start("--empty")

    assert checkout.browser().get("/login").status_code == 200


@deep
def test_a_taken_port_is_told_in_one_sentence_before_anything_claims_to_run(checkout: Checkout) -> None:
    with socket.socket() as neighbour:
        neighbour.bind(("127.0.0.1", checkout.port))
        neighbour.listen()

        process = checkout.launch()
        code = process.wait(60)

    assert code == 1
    assert re.fullmatch(
        rf"Port {checkout.port} is taken, perhaps by another `make run`. Try `make run PORT=\d+`.\n", process.output
    )


@deep
def test_what_is_changed_is_seen_at_once(checkout: Checkout) -> None:
    process = checkout.start("--empty")

    settings, page = (
        checkout.root / "webapp" / "settings" / "variables.py",
        checkout.root / "templates" / "authentication" / "login.html",
    )
    settings.write_text(settings.read_text().replace('SITE_NAME = "Microblog"', 'SITE_NAME = "Notes"'))
    checkout.wait_for("Notes", process)
    page.write_text(page.read_text().replace('pgettext("heading", "Log in")', '"Come in"'))

    checkout.wait_for("Come in", process)
