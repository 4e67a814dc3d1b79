"""A machine without room for temporary files, as a read-only one may be: never taken for a database that is away."""

import logging
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.archive_imports.test_upload import PROOF, archive, upload_again
from tests.depth import deep
from tests.people.crowd import arrive
from tests.posts.wall import words_in
from tests.sites import SECRET_KEY, Site
from webapp.archive_imports import importer
from webapp.backups import copies
from webapp.cli.main import main
from webapp.settings import ROOT
from webapp.temporary_files import NoRoom, file

NO_ROOM = "There is no room for temporary files"


WithoutRoom = Callable[[], AbstractContextManager[None]]


@pytest.fixture(params=["/no/such/folder", None], ids=["the folder is gone", "no folder may be written to"])
def without_room(request: pytest.FixtureRequest) -> WithoutRoom:
    @contextmanager
    def without_room() -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tempfile, "tempdir", request.param)
            patch.setattr(tempfile, "_candidate_tempdir_list", list)
            yield

    return without_room


@deep
def test_an_upload_is_refused_and_an_import_waits_for_room(
    site: Site,
    tmp_path: Path,
    without_room: WithoutRoom,
    caplog: pytest.LogCaptureFixture,
) -> None:
    site.app.state.imports.stop()
    susan, other = arrive(site), arrive(site, "oskar")
    upload_again(susan, archive(tmp_path, "one"))
    other.post("/import", data=PROOF)
    again = importer.Importer(site.settings, site.app.state.database)

    large = archive(tmp_path, "two") + bytes(2_000_000)
    with without_room():
        refused = other.post("/import/upload", files={"archive": ("archive.zip", large)})
        for _try in range(importer.MOST_CRASHES + 1):
            with pytest.raises(NoRoom, match=NO_ROOM):
                site.run(again.do_one)
    site.run(again.do_one)

    assert (refused.status_code, "no room for your file" in refused.text) == (503, True)
    assert words_in(susan.get("/user/susan")) == ["one"]
    assert "database_away" not in caplog.messages


def test_admins_hear_that_it_is_not_the_database(
    site: Site, without_room: WithoutRoom, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = importer.Importer(site.settings, site.app.state.database)
    told: list[str] = []

    async def report(error: Exception, place: str) -> None:
        told.append(f"{place}: {error}")
        worker.stop()

    async def claim(_db: object) -> None:
        with file():
            pass

    monkeypatch.setattr(worker.queue, "claim", claim)
    with without_room():
        site.run(worker.run, report)

    assert told[0].startswith(f"import: {NO_ROOM}")
    assert "no_room" in caplog.messages


@pytest.mark.parametrize("command", ["doctor", "restore-drill"])
def test_a_command_says_what_is_missing(
    sqlite_url: str,
    tmp_path: Path,
    without_room: WithoutRoom,
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    values = {"BASE_URL": "https://blog.example", "SECRET_KEY": SECRET_KEY, "DATABASE_URL": sqlite_url, "MAILER": "off"}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(logging.root.manager, "disable", logging.NOTSET)  # which restore-drill changes
    copies.make(sqlite_url, tmp_path / "backup")

    with without_room():
        code = main([command, str(tmp_path / "backup")] if command == "restore-drill" else [command])

    said = capsys.readouterr()
    assert code == 1
    assert NO_ROOM in said.out + said.err
    assert "DATABASE_URL" not in said.out + said.err


def test_nothing_else_makes_them() -> None:
    """What does would take their errors for the database's."""
    users = {
        str(module.relative_to(ROOT))
        for module in (ROOT / "webapp").rglob("*.py")
        if re.search(r"^(from|import) tempfile\b", module.read_text(), re.MULTILINE)
    }

    assert users == {"webapp/temporary_files.py"}
