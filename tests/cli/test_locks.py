"""C73: no command keeps a site waiting while its words are read."""

import argparse
import asyncio
import io
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.tutorial import TutorialDatabase
from tests.depth import deep, one_in
from tests.imported import add_accounts
from tests.inspection import query
from tests.moderation.cases import post
from tests.people.crowd import import_people
from tests.processes import KEPT, PYTHON
from tests.sites import Site
from webapp.cli import main
from webapp.database import Database
from webapp.settings import ROOT, Settings

SETTINGS = Settings(base_url="https://blog.example", secret_key="x", database_url="")

# What each command is given here. One that is new must be added.
ARGUMENTS = {
    "demo": None,  # writes on an empty development site only: see tests/cli/test_demo.py
    "dev": None,  # these four run on, or have no session
    "mailer": None,
    "shell": None,
    "migrate": None,
    "move": None,  # for a site that is stopped; see tests/backups/test_move.py
    "restore-drill": None,  # looks at a copy; see tests/backups/test_drill.py
    "bounce": None,  # reads its standard input; see tests/bounces/
    "backup": ["{file}.backup"],
    "doctor": [],
    "invite": ["new@example.com"],
    "reset-link": ["susan"],
    "import-archive": None,  # many small transactions; see tests/archives/test_import.py
    "import-users": ["{file}"],
    "import-tutorial": ["{app_db}"],
    "users list": [],
    "users show": ["susan"],
    "users end-sessions": ["susan"],
    "users remove-factors": ["susan"],
    "users delete": ["susan", "--reason", "Advertising."],
    "users disable": ["susan", "--reason", "Advertising."],
    "users enable": ["mark"],
    "requests": [],
    "requests list": [],
    "requests approve": ["mary@example.com"],
    "requests refuse": ["mary@example.com"],
    "posts remove": ["1", "--reason", "Advertising."],
    "send-test-mail": ["susan@example.com"],
    "mail": [],
    "mail list": [],
    "mail retry": [],
    "mail pause": [],
    "mail resume": [],
}
WAITING = (
    "INSERT INTO registration_request (email, username, username_key, password_hash, why, language, created_at,"
    " expires_at, reason) VALUES ('mary@example.com', 'mary', 'mary', '!', 'I know susan.', 'en',"
    " '2026-01-01 00:00:00.000000', '2999-01-01 00:00:00.000000', '')"
)


def commands(parser: argparse.ArgumentParser, name: str = "") -> Iterator[str]:
    """Every command that the parser knows, with its actions."""
    inner = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if name and (not inner or not inner[0].required):
        yield name
    for action in inner:
        for word, below in action.choices.items():
            yield from commands(below, f"{name} {word}".strip())


class Terminal(io.StringIO):
    """Somebody reads slowly: as each line arrives, a visitor of the site wants to write."""

    def __init__(self, database: str) -> None:
        super().__init__()
        self._database = database

    def write(self, words: str) -> int:
        with closing(sqlite3.connect(self._database, timeout=0, isolation_level=None)) as visitor:
            visitor.execute("BEGIN IMMEDIATE")
            visitor.execute("ROLLBACK")
        return super().write(words)


def fill(url: str) -> None:
    """Adds 5,000 people."""
    rows = "".join(f"user_{number},{number}@example.com\n" for number in range(1, 5001))

    async def work() -> None:
        database = Database(url)
        async with database.session(is_writing=True) as db:
            await add_accounts(db, SETTINGS, f"username,email\n{rows}")
            await db.commit()
        await database.aclose()

    asyncio.run(work())


def test_every_command_is_tried() -> None:
    assert sorted(commands(main._parser())) == sorted(ARGUMENTS)


@deep
@pytest.mark.parametrize("command", [name for name, arguments in ARGUMENTS.items() if arguments is not None])
@one_in(6)
def test_a_visitor_can_write_while_a_command_speaks(
    run: Run, start_site: Callable[[Settings], Site], sqlite_url: str, tmp_path: Path, command: str
) -> None:
    site = start_site(Settings.from_environment())
    import_people(site, "susan", "peter", "mark")
    query(sqlite_url, "UPDATE user_account SET disabled_at = '2026-01-01 00:00:00.000000' WHERE username = 'mark'")
    query(sqlite_url, WAITING)
    post(site, "peter")
    (tmp_path / "people.csv").write_text("username,email\nmary,mary@example.com\n")
    app_db = TutorialDatabase(tmp_path / "app.db", mary="mary@example.com").file
    arguments = [word.format(file=tmp_path / "people.csv", app_db=app_db) for word in ARGUMENTS[command] or []]
    terminal = Terminal(sqlite_url.partition(":///")[2])

    with redirect_stdout(terminal), redirect_stderr(terminal):
        code = main.main([*command.split(), *arguments])

    assert code == (1 if command == "send-test-mail" else 0)
    assert terminal.getvalue()


@deep
def test_a_long_list_that_nobody_reads_keeps_nobody_waiting(sqlite_url: str) -> None:
    """The pipe is full after some hundred lines, and the command waits for its reader."""
    database = sqlite_url.partition(":///")[2]
    fill(sqlite_url)
    environment = {**KEPT, "BASE_URL": "https://blog.example", "SECRET_KEY": "0123456789abcdef" * 4, "MAILER": "off"}
    command = [PYTHON, "-m", "webapp", "users", "list"]

    with subprocess.Popen(
        command, cwd=ROOT, env={**environment, "DATABASE_URL": sqlite_url}, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        first = process.stdout.readline()
        with closing(sqlite3.connect(database, timeout=0.3, isolation_level=None)) as visitor:
            visitor.execute("UPDATE user_account SET about_me = 'here' WHERE id = 1")
        rest = process.stdout.read()

    assert first.startswith("user_1\t")
    assert len(rest.splitlines()) == 4999
    assert query(sqlite_url, "SELECT about_me FROM user_account WHERE id = 1") == [("here",)]


@pytest.mark.deep
def test_a_reader_who_has_seen_enough_ends_a_command_quietly(sqlite_url: str) -> None:
    fill(sqlite_url)
    environment = {**KEPT, "BASE_URL": "https://blog.example", "SECRET_KEY": "0123456789abcdef" * 4, "MAILER": "off"}

    ended = subprocess.run(
        f"{PYTHON} -m webapp users list | head -n 1",
        shell=True,
        cwd=ROOT,
        env={**environment, "DATABASE_URL": sqlite_url},
        capture_output=True,
        text=True,
    )

    assert (ended.stdout.count("\n"), ended.stderr) == (1, "")


@pytest.mark.parametrize(
    ("statements", "words"),
    [
        (["BEGIN IMMEDIATE"], "database is locked\nAnother process is writing to it: try again once that has ended."),
        (["ALTER TABLE mail_status RENAME COLUMN paused_at TO was"], "\nRun `python -m webapp migrate`."),
    ],
    ids=["another writer", "an older schema"],
)
@deep
def test_a_command_that_cannot_write_says_what_to_do(
    run: Run, sqlite_url: str, statements: list[str], words: str
) -> None:
    with closing(sqlite3.connect(sqlite_url.partition(":///")[2], isolation_level=None)) as other:
        for statement in statements:
            other.execute(statement)

        ended = run("mail", "pause")

    assert (ended.code, ended.out) == (1, "")
    assert words in ended.err
