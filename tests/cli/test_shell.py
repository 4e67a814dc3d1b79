"""`python -m webapp shell`: what is typed at the prompt, and what becomes of it."""

import subprocess
from collections.abc import Callable

import pytest

from tests.depth import deep
from tests.inspection import query
from tests.processes import KEPT, PYTHON
from webapp.settings import ROOT

Type = Callable[..., str]


@pytest.fixture
def type_lines(sqlite_url: str) -> Type:
    """Types lines at the prompt of a site; returns all that the shell says."""
    variables = {"BASE_URL": "https://blog.example", "SECRET_KEY": "0123456789abcdef" * 4, "MAILER": "off"}

    def type_lines(*lines: str) -> str:
        ended = subprocess.run(
            [PYTHON, "-m", "webapp", "shell"],
            input="\n".join([*lines, ""]),
            cwd=ROOT,
            env={**KEPT, **variables, "DATABASE_URL": sqlite_url},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        assert ended.returncode == 0, ended.stdout
        return ended.stdout

    return type_lines


@deep
def test_the_site_is_at_hand_and_awaited(type_lines: Type) -> None:
    said = type_lines(
        "settings.base_url",
        "user = users.new('susan', 'susan@example.com', '!')",
        "db.add(user)",
        "await users.find(db, 'susan')",
        "for number in range(3):",
        "    print(number, await users.has_account(db, 'susan@example.com'))",
        "",
    )

    assert "At hand: db, settings, mail, users." in said
    assert "'https://blog.example'" in said
    assert "User(" in said
    assert "2 True" in said
    assert "Traceback" not in said


@deep
def test_a_line_that_fails_is_undone_and_the_next_one_goes_on(type_lines: Type, sqlite_url: str) -> None:
    said = type_lines(
        "db.add(users.new('susan', 'susan@example.com', '!')); await db.flush(); 1 / 0",
        "await users.has_account(db, 'susan@example.com')",
        "db.add(users.new('peter', 'peter@example.com', '!'))",
        "exit()",
        "db.add(users.new('mary', 'mary@example.com', '!'))",
    )

    assert "ZeroDivisionError" in said
    assert "False" in said
    assert query(sqlite_url, "SELECT username FROM user_account") == [("peter",)]


@deep
def test_nobody_waits_for_a_person_at_the_prompt(type_lines: Type, sqlite_url: str) -> None:
    """C73: a line has been typed, and the next one is being thought of."""
    visit = (
        f"import sqlite3; visitor = sqlite3.connect({sqlite_url.partition(':///')[2]!r}, timeout=0);"
        " visitor.execute('BEGIN IMMEDIATE'); print('a visitor', 'wrote')"
    )

    said = type_lines("db.add(users.new('susan', 'susan@example.com', '!'))", "await users.find(db, 'susan')", visit)

    assert "a visitor wrote" in said
