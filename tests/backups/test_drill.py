"""A drill goes back to a backup as people would find it, and leaves nothing behind."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.backups.test_copies import damage
from tests.depth import deep, one_in
from tests.mailbox import Mailbox
from tests.missing import unavailable
from tests.sites import Browser, Site
from tests.stories import register
from tests.watching import execute
from webapp import i18n
from webapp.backups import Refused, copies, drill
from webapp.mail_preview import inbox
from webapp.settings import Settings


@pytest.fixture
def backup(site: Site, browser: Browser, mailbox: Mailbox, tmp_path: Path) -> Path:
    """Of a site with susan, and with an email that never left."""
    register(browser, mailbox)
    execute(site, "UPDATE outbox_email SET finished_at = NULL, state = 'ready', recipient = 'susan@example.com'")
    file = tmp_path / "backup"
    copies.make(site.settings.database_url, file)
    return file


@pytest.fixture
def elsewhere(make_settings: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of the site, on a machine whose folder for passing things is watched."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    return make_settings(database_url="sqlite+aiosqlite:////nowhere/site.db", mailbox=None, mail_server="nowhere")


@pytest.mark.parametrize("into", [None, "postgresql://nobody@127.0.0.1:1/not-needed"])
def test_a_good_backup_lets_people_in_and_sends_their_emails(
    backup: Path, elsewhere: Settings, tmp_path: Path, into: str | None
) -> None:
    before = backup.read_bytes()

    said = list(drill.run(elsewhere, backup, into))

    assert "1 account," in said[0]
    assert "the new one works" in said[-2]
    assert said[-1].startswith("The backup is good: restored in ")
    assert backup.read_bytes() == before
    assert list((tmp_path / "tmp").iterdir()) == []


@deep
def test_no_email_to_a_real_person_is_written(backup: Path, elsewhere: Settings, tmp_path: Path) -> None:
    """Nor caught: its link would open the real site, whose key this is."""
    caught: list[str] = []

    for _line in drill.run(elsewhere, backup):
        for folder in (tmp_path / "tmp").glob("*/mailbox"):
            caught += [email.to for email in inbox.received(folder)]

    assert caught
    assert all(address.startswith("drill_") for address in caught)


@pytest.mark.parametrize("kind", ["cut", "damaged", "another file", "empty", "missing", "another database"])
@one_in(3)
def test_what_is_no_backup_is_refused_in_a_line_that_names_it(
    backup: Path, elsewhere: Settings, kind: str, tmp_path: Path
) -> None:
    content = backup.read_bytes()
    if kind == "damaged":
        damage(backup)
    elif kind == "missing":
        backup.unlink()
    elif kind == "another database":
        backup.unlink()
        import sqlite3

        with sqlite3.connect(backup) as db:
            db.execute("CREATE TABLE t (x)")
        db.close()
    else:
        backup.write_bytes({"cut": content[:100_000], "another file": b"Subject: hello\n", "empty": b""}[kind])

    with pytest.raises(Refused) as refused:
        list(drill.run(elsewhere, backup))

    assert "\n" not in str(refused.value)
    assert str(backup) in str(refused.value)
    assert list((tmp_path / "tmp").iterdir()) == []


@deep
def test_a_backup_whose_site_does_not_work_fails_the_drill(backup: Path, elsewhere: Settings) -> None:
    """The drill is no form: what fails on the restored site fails it."""
    broken = replace(elsewhere, password_min_length=100)  # so no new password is good enough

    with i18n.use("ru"), pytest.raises(Refused, match="Ответ: 422") as refused:
        list(drill.run(broken, backup))

    assert re.findall("[A-Za-z]+", str(refused.value)) == [], "it says in one language what failed"


def test_a_dump_of_postgresql_wants_an_empty_database(postgres_url: str, elsewhere: Settings, tmp_path: Path) -> None:
    if not shutil.which("pg_dump"):
        unavailable("no pg_dump on this machine")
    copies.make(postgres_url, tmp_path / "dump")

    with pytest.raises(Refused, match="--into"):
        list(drill.run(elsewhere, tmp_path / "dump"))
    with pytest.raises(Refused, match="--into postgresql://"):
        list(drill.run(elsewhere, tmp_path / "dump", into="sqlite:///here.db"))
    with pytest.raises(Refused, match="not empty"):
        list(drill.run(elsewhere, tmp_path / "dump", into=postgres_url))
    for bad in (
        "mysql://db.example/site",
        "postgresql://u@127.0.0.1:1/site",
        "postgresql://u@no-such-host.invalid/site",
    ):
        with pytest.raises(Refused, match="--into") as refused:
            list(drill.run(elsewhere, tmp_path / "dump", into=bad))
        assert "DATABASE_URL" not in str(refused.value)


@deep
def test_a_dump_of_postgresql_lets_people_in_from_an_empty_database(
    postgres_url: str, empty_postgres_url: str, elsewhere: Settings, tmp_path: Path
) -> None:
    if not shutil.which("pg_dump"):
        unavailable("no pg_dump on this machine")
    copies.make(postgres_url, tmp_path / "dump")

    said = list(drill.run(elsewhere, tmp_path / "dump", into=empty_postgres_url))

    assert said[-2].startswith("The backup is good: restored in ")
    assert said[-1].endswith("drop it whenever you like.")


def test_too_little_room_is_said_before_anything_is_restored(backup: Path, elsewhere: Settings, tmp_path: Path) -> None:
    with backup.open("r+b") as file:
        file.truncate(2**43)  # of which nothing is on the disk

    with pytest.raises(Refused, match="has too little room to restore it there"):
        list(drill.run(elsewhere, backup))

    assert list((tmp_path / "tmp").iterdir()) == []
