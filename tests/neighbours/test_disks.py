"""A disk that is full, and one that may only be read: real ones, in memory, with a real site on them."""

import io
import re
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from tests.backups import test_move as moving
from tests.cli.test_locks import ARGUMENTS
from tests.cli.tutorial import TutorialDatabase
from tests.missing import unavailable
from tests.processes import SECRET_KEY, Host
from webapp.backups import Refused, copies, move
from webapp.cli import main
from webapp.database import migrations

pytestmark = pytest.mark.neighbours
PATIENCE = 20.0
MAIL_AWAY = {"MAIL_SERVER": "127.0.0.1", "MAIL_PORT": "1"}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of four megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if run("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)):
        unavailable("no disk can be mounted here, which takes root")
    yield folder
    run("umount", "--lazy", str(folder))


def run(*words: str) -> int:
    return subprocess.run(words, capture_output=True, check=False).returncode


@pytest.fixture
def host(disk: Path, tmp_path: Path) -> Iterator[Host]:
    url = f"sqlite+aiosqlite:///{disk / 'site.db'}"
    migrations.upgrade(url)
    with Host(tmp_path, url, MAIL_AWAY) as host:
        yield host


def wait_until(host: Host, status: int) -> httpx2.Response:
    deadline = time.monotonic() + PATIENCE
    while (answer := ask(host, 1, "GET", "/ready")).status_code != status:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.2)
    return answer


def register(host: Host, name: str, number: int) -> httpx2.Response:
    return ask(host, number, "POST", "/register", email=f"{name}@example.com")


def ask(host: Host, number: int, method: str, path: str, **fields: str) -> httpx2.Response:
    began = time.monotonic()
    with host.browser(number) as browser:
        answer = browser.request(method, path, data=fields or None)
    assert time.monotonic() - began < 4, f"{path} has to say at once that it can't"
    return answer


def say_so(host: Host, paths: Sequence[str], forms: Sequence[str]) -> None:
    """Each page and form says that it is away for a moment, and when to come again."""
    fields = {"email": "susan@example.com", "username": "susan", "password": "not that it matters"}
    refused = [ask(host, number, "GET", path) for number, path in enumerate(paths, 100)]
    refused += [ask(host, number, "POST", path, **fields) for number, path in enumerate(forms, 200)]
    for answer in refused:
        assert (answer.status_code, answer.headers.get("retry-after")) == (503, "5"), answer.url
        assert "<h1" in answer.text or answer.url.path == "/ready"


FORMS = ["/register", "/login", "/reset_password_request"]


def test_a_full_disk_is_an_answer_and_over_by_itself(host: Host, disk: Path) -> None:
    process = host.serve()
    assert register(host, "before", 1).status_code == 200
    fill(disk / "films")

    assert "disk full or read-only" in wait_until(host, 503).text
    refused = register(host, "meanwhile", 2)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert ask(host, 3, "GET", "/explore").status_code == 200, "it can still be read"
    say_so(host, ["/ready"], FORMS)
    doctor = host.start("webapp", "doctor")
    assert doctor.wait(60) == 1
    assert "FAILURE database: database or disk is full. Is the disk full" in doctor.output
    (disk / "films").unlink()
    wait_until(host, 200)
    assert register(host, "after", 4).status_code == 200

    with closing(sqlite3.connect(disk / "site.db")) as db:
        kept = {name for (name,) in db.execute("SELECT recipient FROM outbox_email WHERE kind = 'register'")}
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert kept == {"before@example.com", "after@example.com"}
    assert "Traceback" not in process.output
    deadline = time.monotonic() + PATIENCE
    while '"database_back"' not in process.output:
        assert time.monotonic() < deadline, process.output
        time.sleep(0.2)
    assert process.output.count('"database_away"') == process.output.count('"database_back"') == 1


def test_a_place_that_is_too_small_for_an_upload_is_told(host: Host, disk: Path) -> None:
    doctor = host.start("webapp", "doctor", TMPDIR=str(disk))

    doctor.wait(60)

    assert re.search("WARNING temporary files: .+ too little for an upload of 20 MB", doctor.output), doctor.output


def fill(file: Path) -> None:
    def write() -> None:
        with file.open("wb", buffering=0) as films:
            while films.write(b"x" * 1024):
                pass

    with pytest.raises(OSError, match="No space left on device"):
        write()


def test_a_backup_that_finds_no_room_leaves_nothing_behind(disk: Path, sqlite_url: str) -> None:
    (disk / "full").write_bytes(bytes(3_900_000))
    with pytest.raises(Refused, match="full"):
        copies.make(sqlite_url, disk / "backup")

    assert [file.name for file in disk.iterdir()] == ["full"]
    (disk / "full").unlink()
    assert copies.make(sqlite_url, disk / "backup")


def test_a_disk_that_may_only_be_read_is_an_answer_and_over_by_itself(host: Host, disk: Path) -> None:
    assert run("mount", "-o", "remount,ro", str(disk)) == 0
    process = host.serve()

    wait_until(host, 503)
    assert ask(host, 1, "GET", "/login").status_code == 200
    say_so(host, ["/", "/explore", "/explore", "/user/susan", "/ready"], FORMS * 3)
    migrate, doctor = host.start("webapp", "migrate"), host.start("webapp", "doctor")
    assert (migrate.wait(60), doctor.wait(60)) == (1, 1)
    assert migrate.output.startswith("The database can't be migrated: ")
    assert migrate.output.count("\n") == 1
    assert "FAILURE database: " in doctor.output
    assert run("mount", "-o", "remount,rw", str(disk)) == 0
    wait_until(host, 200)

    assert register(host, "after", 4).status_code == 200
    assert "Traceback" not in process.output


def test_a_move_that_finds_no_room_says_what_may_be_full(disk: Path, sqlite_url: str) -> None:
    moving.fill(sqlite_url, posts=30_000)

    with pytest.raises(Refused, match=r"full\. Is the disk full or read-only, .+\?$"):
        move.run(sqlite_url, f"sqlite+aiosqlite:///{disk / 'new.db'}", print)


def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"To: b@example.com\n\nIt came back.\n")))
    code = main.main([*words])
    printed = capsys.readouterr()
    return code, printed.out + printed.err


@pytest.mark.parametrize("is_full", [True, False], ids=["full", "read-only"])
def test_every_command_asks_whether_the_disk_is_full_or_read_only(
    disk: Path,
    sqlite_url: str,
    tmp_path: Path,
    is_full: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One that only reads may work on a disk that may only be read."""
    (tmp_path / "people.csv").write_text("username,email\nmary,mary@example.com\n")
    app_db = TutorialDatabase(tmp_path / "app.db", emma="emma@example.com").file
    named = {"file": str(tmp_path / "people.csv"), "app_db": str(app_db)}
    tried = ARGUMENTS | {"migrate": [], "bounce": [], "move": ["--to", f"sqlite:///{disk}/new.db"]}
    for name, value in {"BASE_URL": "https://blog.example", "SECRET_KEY": SECRET_KEY, **MAIL_AWAY}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{disk / 'site.db'}")
    shutil.copy(sqlite_url.partition(":///")[2], disk / "site.db")
    assert command(monkeypatch, capsys, "import-users", named["file"])[0] == 0
    if is_full:
        fill(disk / "films")
    else:
        assert run("mount", "-o", "remount,ro", str(disk)) == 0

    ended = {
        name: command(
            monkeypatch, capsys, *name.split(), *[word.format(**named).replace("susan", "mary") for word in words]
        )
        for name, words in tried.items()
        if words is not None and name != "send-test-mail"  # which needs no disk
    }

    for name, (code, words) in ended.items():
        asks = "Is the disk full or read-only" in words
        assert asks or code == 0, (name, words)
        assert "Traceback" not in words
