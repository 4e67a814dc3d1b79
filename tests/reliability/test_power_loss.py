"""G12: the power goes out. On SQLite a copy of only what was flushed, taken at each answer, has what was answered."""

import asyncio
import itertools
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from tests.depth import deep
from tests.inspection import query
from tests.missing import unavailable
from tests.processes import Host
from tests.reliability.conftest import Figure
from tests.reliability.primaries import lone_server, query_outside, start_and_wait
from webapp.database import migrations

SOURCE = Path(__file__).with_name("power.c")
FILES = ("site.db", "site.db-wal")
VISITORS, TURNS = 6, 5


@pytest.fixture(scope="module")
def forgetful_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that copies what is flushed."""
    compiler = shutil.which("cc") or shutil.which("gcc") or unavailable("no C compiler on this machine")
    library = tmp_path_factory.mktemp("power") / "power.so"
    made = subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"], capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    return library


@pytest.fixture
def site(tmp_path: Path, migrated_sqlite: Path, forgetful_disk: Path) -> Iterator[Host]:
    """A site on a disk that forgets; it writes its emails down and sends none."""
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    for folder in (disk, kept):
        folder.mkdir()
        shutil.copy(migrated_sqlite, folder / "site.db")
    environment = {
        "LD_PRELOAD": str(forgetful_disk),
        "FORGETFUL_DISK": str(disk),
        "KEPT_ON_DISK": str(kept),
        "MAILER": "process",
        "MAIL_SERVER": "localhost",
    }
    with Host(tmp_path, f"sqlite:///{disk / 'site.db'}", environment) as host:
        yield host


@pytest.mark.parametrize("processes", [pytest.param("1", marks=deep), "2"])
def test_what_was_answered_is_there_after_the_power_went_out(site: Host, processes: str, figure: Figure) -> None:
    site.serve(WEB_CONCURRENCY=processes)

    lost = asyncio.run(asked_and_lost(site))

    figure("G12", f"{len(lost)} of {VISITORS * TURNS} answered requests lost, {processes} processes")
    assert lost == []


@deep
def test_what_was_answered_too_early_is_found_missing(site: Host) -> None:
    """The fault planted: else the test above would say nothing."""
    process = site.start(
        "uvicorn", "--factory", "tests.reliability.unflushed:create_app", "--port", str(site.port), "--no-access-log"
    )  # fmt: skip
    site.wait_until_ready(process)

    assert asyncio.run(asked_and_lost(site))


@pytest.mark.neighbours
@pytest.mark.parametrize(("commits", "is_lost"), [("on", False), ("off", True)])
def test_postgresql_has_what_was_answered_when_it_is_killed(
    tmp_path: Path, figure: Figure, commits: str, is_lost: bool
) -> None:
    """As if its machine lost power; it is PostgreSQL that flushes what it has written. `off` is the fault planted."""
    options = "-c", f"synchronous_commit={commits}", "-c", "wal_writer_delay=10000"
    with lone_server(*options) as server:
        migrations.upgrade(server.url)
        query_outside(server, "CHECKPOINT")
        with Host(tmp_path, server.url, {"MAILER": "process", "MAIL_SERVER": "localhost"}) as site:
            site.serve()
            doctor = site.start("webapp", "doctor")
            doctor.wait(30)
            asked = [f"person{number}@example.com" for number in range(VISITORS * TURNS)]
            for number, address in enumerate(asked):
                with site.browser(number) as browser:
                    answer = browser.post("/reset_password_request", data={"email": address})
                assert answer.status_code == 200
            server.kill()
        start_and_wait(server)
        kept = {recipient for (recipient,) in query(server.url, "SELECT recipient FROM outbox_email")}

    figure("G12", f"PostgreSQL, synchronous_commit={commits}: {len(set(asked) - kept)} of {len(asked)} lost")
    assert bool(set(asked) - kept) is is_lost
    assert ("synchronous_commit off: a power cut" if is_lost else "survives a power cut") in doctor.output


async def asked_and_lost(site: Host) -> list[str]:
    """People ask for emails, at once and one after another; whose request the disk had not, when it was answered."""
    lost: list[str] = []
    numbers = itertools.count(1)

    async def visit(browser: httpx2.AsyncClient) -> None:
        for _turn in range(TURNS):
            number = next(numbers)
            address = f"person{number}@example.com"
            headers = {"x-forwarded-for": f"10.0.0.{number}", "origin": site.base_url}
            answer = await browser.post("/reset_password_request", data={"email": address}, headers=headers)
            assert answer.status_code == 303
            if address not in after_the_power_cut(site.folder, number):
                lost.append(address)

    async with httpx2.AsyncClient(base_url=site.base_url, timeout=30) as browser:
        await asyncio.gather(*(visit(browser) for _number in range(VISITORS)))
    return lost


def after_the_power_cut(folder: Path, number: int) -> set[str]:
    """For whom there are emails in a database that is recovered from what is on the disk now."""
    recovered = folder / f"recovered-{number}"
    recovered.mkdir()
    for name in FILES:
        if (folder / "kept" / name).exists():
            shutil.copy(folder / "kept" / name, recovered / name)
    with closing(sqlite3.connect(recovered / "site.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {recipient for (recipient,) in database.execute("SELECT recipient FROM outbox_email")}
