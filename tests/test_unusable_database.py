"""A DATABASE_URL that leads to no database, or to one that lets nobody in: each start says so in one line, with the way
out, and so does each command.
"""

import io
import logging
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.archives.test_import import outbox, zipped
from tests.cli.conftest import Run, environment, run  # noqa: F401  (fixtures)
from tests.cli.test_locks import ARGUMENTS, commands
from tests.cli.tutorial import TutorialDatabase
from tests.depth import deep, one_in
from tests.inspection import query
from tests.processes import free_port
from tests.sites import Site
from webapp.cli import main
from webapp.settings import Settings

PATIENCE = 10
# For each: the words that say what is wrong, and those that say what to do.
FILES = {
    "a text": ("file is not a database", "Name another file in DATABASE_URL"),
    "a folder": ("unable to open database file", "Does DATABASE_URL name a file"),
    "in no folder": ("there is no database at", "Does DATABASE_URL name the right file"),
    "mistyped": ("there is no database at", "`python -m webapp migrate` makes a new database"),
    "empty": ("no such table", "Run `python -m webapp migrate`"),
}
SERVERS = {
    "an unknown user": ('role "nobody" does not exist', "Are the username and the password right"),
    "an unknown database": ('database "nowhere" does not exist', "Create that database"),
    "nobody listens": ("Connect", "Is the server running"),
    "no such host": ("can't be found", "Is the server running"),
    "no tables": ("does not exist", "Run `python -m webapp migrate`"),
}
NEED_NONE = {"send-test-mail", "bounce"}  # or not for what they are given
NONE_THERE = "here is no (database at|file) .*mistyped"
MAKERS, RUN_ON = {"dev", "demo", "migrate"}, {"mailer", "shell"}
MADE_BY_MIGRATE = {"in no folder", "mistyped", "empty", "no tables"}
COMMANDS = {name for name, words in ARGUMENTS.items() if words is not None} - {"send-test-mail"}  # it needs none


@pytest.fixture(params=[*FILES, *[pytest.param(name, marks=pytest.mark.postgresql) for name in SERVERS]])
def bad(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def bad_url(request: pytest.FixtureRequest, bad: str, tmp_path: Path) -> str:
    if bad in FILES:
        (tmp_path / "a text").write_text("Nothing that SQLite has written. " * 9)
        (tmp_path / "a folder").mkdir()
        (tmp_path / "empty").touch()
        return f"sqlite+aiosqlite:///{tmp_path / bad}{'/site.db' if bad == 'in no folder' else ''}"
    if bad == "nobody listens":
        return f"postgresql+asyncpg://blog:blog@127.0.0.1:{free_port()}/blog"
    if bad == "no such host":
        return "postgresql+asyncpg://blog:blog@no-such-host.invalid/blog"
    url = make_url(request.getfixturevalue("postgres_url"))
    user = "nobody" if bad == "an unknown user" else url.username
    name = {"an unknown user": url.database, "an unknown database": "nowhere", "no tables": "postgres"}[bad]
    return url.set(username=user, database=name).render_as_string(hide_password=False)


@deep
@one_in(8)
def test_a_start_says_what_is_wrong_and_what_to_do(
    bad: str,
    bad_url: str,
    make_settings: Callable[..., Settings],
    start_site: Callable[[Settings], Site],
    caplog: pytest.LogCaptureFixture,
) -> None:
    reason, way_out = (FILES | SERVERS)[bad]
    site = start_site(make_settings(database_url=bad_url))
    deadline = time.monotonic() + PATIENCE
    while not {"database_away", "mailer_waits"} <= set(caplog.messages):
        assert time.monotonic() < deadline, caplog.text
        time.sleep(0.02)

    page = site.browser().get("/explore")

    said = [record for record in caplog.records if record.message in {"database_away", "mailer_waits"}]
    for record in said:
        fields: dict[str, str] = record.fields  # type: ignore[attr-defined]
        assert reason in fields["reason"]
        assert way_out in fields["check"]
    assert len(said) == 2, "each once"
    assert not [record for record in caplog.records if record.exc_info or record.levelno > logging.ERROR]
    assert (page.status_code, page.headers["retry-after"]) == (503, "5")


@deep
def test_a_database_older_than_the_site_is_no_fault_of_the_site(
    database_url: str,
    make_settings: Callable[..., Settings],
    start_site: Callable[[Settings], Site],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As after an upgrade without `migrate`."""
    query(database_url, "ALTER TABLE post DROP COLUMN edited_at")
    site = start_site(make_settings(database_url=database_url))

    page = site.browser().get("/explore")

    [said] = [record for record in caplog.records if record.message == "database_away"]
    assert "edited_at" in said.fields["reason"]  # type: ignore[attr-defined]
    assert said.fields["check"] == "Run `python -m webapp migrate`."  # type: ignore[attr-defined]
    assert not [record for record in caplog.records if record.exc_info]
    assert page.status_code == 503


@pytest.mark.parametrize("command", sorted(COMMANDS | {"migrate", "dev"}))
@deep
def test_a_command_says_what_is_wrong_and_what_to_do(
    bad: str,
    bad_url: str,
    command: str,
    run: Run,  # noqa: F811
    environment: pytest.MonkeyPatch,  # noqa: F811
    tmp_path: Path,
) -> None:
    if bad in MADE_BY_MIGRATE and command in {"migrate", "dev"}:
        pytest.skip("that is the way out")
    reason, way_out = (FILES | SERVERS)[bad]
    (tmp_path / "people.csv").write_text("username,email\nmary,mary@example.com\n")
    environment.setenv("DATABASE_URL", bad_url)
    environment.setenv("PORT", "8000")  # which `dev` sets
    app_db = TutorialDatabase(tmp_path / "app.db", emma="emma@example.com").file
    named = {"file": str(tmp_path / "people.csv"), "app_db": str(app_db)}

    ended = run(*command.split(), *[word.format(**named) for word in ARGUMENTS.get(command) or []])

    said = ended.out + ended.err
    assert ended.code, said
    assert "Traceback" not in said
    assert reason in said, said
    assert way_out in said, said


@pytest.mark.parametrize("command", sorted({*commands(main._parser())} - MAKERS - RUN_ON))
def test_no_command_but_a_migration_makes_a_database(
    command: str,
    run: Run,  # noqa: F811
    environment: pytest.MonkeyPatch,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Or the name of a file is mistyped, and the site seems to be empty."""
    environment.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/mistyped")
    environment.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"Subject: nothing")))
    (tmp_path / "people.csv").write_text("username,email\nmary,mary@example.com\n")
    app_db = TutorialDatabase(tmp_path / "app.db", emma="emma@example.com").file
    named = {"file": str(tmp_path / "people.csv"), "app_db": str(app_db)}
    (tmp_path / "new").mkdir()
    others = {
        "import-archive": ["susan", str(zipped(tmp_path / "new", outbox__json=outbox()))],
        "move": ["--to", f"sqlite:///{tmp_path}/new/site.db"],
        "restore-drill": [str(tmp_path / "mistyped")],
    }

    ended = run(*command.split(), *[word.format(**named) for word in ARGUMENTS[command] or others.get(command, [])])

    assert command in NEED_NONE or (ended.code and re.search(NONE_THERE, ended.out + ended.err)), ended
    assert sorted(file.name for file in tmp_path.iterdir() if file.name.startswith("mistyped")) == []
    assert not (tmp_path / "new/site.db").exists()
