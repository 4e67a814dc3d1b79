"""`migrate`: what it would do, to which revision, and in one line what keeps it from that."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.cli.conftest import Run
from tests.databases import execute_on
from tests.depth import deep
from tests.inspection import query
from tests.missing import unavailable
from tests.processes import KEPT, PYTHON, SECRET_KEY
from webapp.database import migrations
from webapp.settings import ROOT

NOBODY = 65534
LATER = '''"""Remember what people like to eat."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("post", sa.Column("meal", sa.String()))


def downgrade() -> None:
    op.drop_column("post", "meal")
'''


def test_a_dry_run_says_what_would_be_done_and_does_nothing(
    run: Run, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'new' / 'site.db'}")

    ended = run("migrate", "--dry-run")

    assert (ended.code, ended.out) == (0, "would apply 0001: initial.\n")
    assert not (tmp_path / "new").exists()


def test_a_dry_run_on_a_database_that_is_up_to_date_says_so(run: Run) -> None:
    assert run("migrate", "--dry-run") == (0, "Nothing to do.\n", "")
    assert run("migrate") == (0, "", "")


@pytest.fixture
def later(tmp_path: Path) -> Path:
    """A version of the site that has one migration more."""
    shutil.copytree(ROOT / "webapp", tmp_path / "later" / "webapp", ignore=shutil.ignore_patterns("__pycache__"))
    for folder in ("templates", "static"):
        (tmp_path / "later" / folder).symlink_to(ROOT / folder)
    (tmp_path / "later" / "webapp" / "database" / "migrations" / "versions" / "0002_meals.py").write_text(LATER)
    return tmp_path / "later"


def migrate(root: Path, url: str, *options: str) -> tuple[int, str]:
    environment = {"BASE_URL": "https://blog.example", "SECRET_KEY": SECRET_KEY, "MAILER": "off", "DATABASE_URL": url}
    done = subprocess.run(
        [PYTHON, "-m", "webapp", "migrate", *options],
        cwd=root,
        env={**KEPT, **environment, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@deep
def test_migrating_goes_to_a_revision_and_back(later: Path, database_url: str, run: Run) -> None:
    """Three processes: what they do is the same as from a shell."""
    assert migrate(later, database_url, "--dry-run") == (0, "would apply 0002: Remember what people like to eat.\n")
    assert migrate(later, database_url, "--to", "0002") == (0, "apply 0002: Remember what people like to eat.\n")
    assert query(database_url, "SELECT meal FROM post") == []
    assert migrate(later, database_url, "--to", "0001") == (0, "undo 0002: Remember what people like to eat.\n")
    assert query(database_url, "SELECT version_num FROM alembic_version") == [("0001",)]


def test_a_database_from_a_newer_version_is_named(run: Run, sqlite_url: str) -> None:
    query(sqlite_url, "UPDATE alembic_version SET version_num = '0002'")

    ended = run("migrate")

    assert ended.code == 1
    assert ended.err.startswith("This version of Microblog knows no revision '0002'")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("to", ["0009", "-1", "+1", "base", "x y", ""])
def test_an_unknown_revision_is_refused_in_a_line(run: Run, sqlite_url: str, to: str) -> None:
    ended = run("migrate", f"--to={to}")

    assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert query(sqlite_url, "SELECT count(*) FROM user_account") == [(0,)]


@pytest.fixture
def nobodys(tmp_path: Path, sqlite_url: str) -> Iterator[Path]:
    """A folder into which this process may not write, since root may everywhere else."""
    if os.getuid():
        unavailable("only root can make a place where another may not write")
    folder = Path(sqlite_url.partition(":///")[2]).parent
    for parent in [folder, *folder.parents]:
        if parent.name.startswith("pytest-"):
            parent.chmod(0o755)
    os.seteuid(NOBODY)
    yield folder
    os.seteuid(0)


@pytest.mark.parametrize("name", ["site.db", "new.db", "new/site.db"])
def test_a_folder_that_may_only_be_read_is_refused_in_a_line(
    run: Run, environment: pytest.MonkeyPatch, nobodys: Path, name: str
) -> None:
    environment.setenv("DATABASE_URL", f"sqlite:///{nobodys / name}")

    for options in ([], ["--to", "0001"]):
        ended = run("migrate", *options)
        assert (ended.code, ended.err.count("\n")) == (1, 1), ended.err
        assert ended.err.startswith("The database can't be migrated: ")


def test_what_is_no_database_is_refused_in_a_line(run: Run, environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear Susan, " * 1000)
    environment.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'letter.txt'}")

    ended = run("migrate")

    way_out = "Name another file in DATABASE_URL. If the site's data was in this one, restore a backup."
    assert (ended.code, ended.err) == (1, f"The database can't be migrated: file is not a database. {way_out}\n")


@deep
def test_a_database_user_who_can_make_no_tables_is_refused_in_a_line(
    run: Run, environment: pytest.MonkeyPatch, postgres_url: str
) -> None:
    """As PostgreSQL gives them out from version 15 on."""
    url = make_url(postgres_url)
    query(postgres_url, "DROP SCHEMA public CASCADE")
    query(postgres_url, "CREATE SCHEMA public")
    query(postgres_url, "GRANT USAGE ON SCHEMA public TO public")
    execute_on(url, "CREATE ROLE reader LOGIN")
    environment.setenv("DATABASE_URL", url.set(username="reader").render_as_string(hide_password=False))

    ended = run("migrate")

    execute_on(url, "DROP ROLE reader")
    assert (ended.code, ended.err.count("\n")) == (1, 1), ended.err
    assert "permission denied for schema public" in ended.err


def test_a_server_that_is_away_is_refused_in_a_line(run: Run, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DATABASE_URL", "postgresql://blog@127.0.0.1:1/blog")

    for options in ([], ["--dry-run"]):
        ended = run("migrate", *options)
        assert (ended.code, ended.err.count("\n")) == (1, 1), ended.err


def test_the_newest_revision_is_the_one_that_migrating_reaches(sqlite_url: str) -> None:
    assert query(sqlite_url, "SELECT version_num FROM alembic_version") == [(migrations.newest(),)]
