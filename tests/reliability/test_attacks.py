"""What a determined person does to one victim: many emails, and a log-in that overtakes a reset."""

import asyncio
import itertools
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.depth import deep
from tests.reliability.conftest import Figure
from tests.reliability.stage import Stage, WebProcess, stage
from tests.reliability.visitors import visiting

pytestmark = pytest.mark.anyio
DATABASES = pytest.mark.parametrize(
    "database_url", ["postgresql", pytest.param("sqlite", marks=pytest.mark.soak)], indirect=True
)  # several processes write at the very same time only on PostgreSQL
# Of the password "correct horse battery".
PASSWORD, NEW_PASSWORD = "correct horse battery", "a quite different staple"
HASH = "$argon2id$v=19$m=19456,t=2,p=1$K6pEy2stiENFfugKlP28mQ$BUU0m+tkZWrTk7vp2woD496IhpMvM7XMGOSN1b459Lo"
# All of them reach susan.
SPELLINGS = ["susan", "SUSAN", " susan", "susan@example.com", "Susan@Example.COM", "susan@example\u3002com"]


@dataclass(frozen=True)
class Size:
    requests: int
    processes: int


SMALL = pytest.param(Size(requests=120, processes=2), id="small")
FULL = pytest.param(Size(requests=1000, processes=4), id="full", marks=pytest.mark.soak)


@DATABASES
@pytest.mark.parametrize("size", [SMALL, FULL])
@deep
async def test_a_victim_gets_three_emails_whatever_is_asked_from_wherever(
    size: Size, database_url: str, tmp_path: Path, figure: Figure
) -> None:
    """C10: each request comes from another network, over all processes at once."""
    async with stage(tmp_path, database_url, size.processes) as site:
        await site.command("import-users", str(people(tmp_path)))
        ports, spellings = itertools.cycle(process.port for process in site.processes), itertools.cycle(SPELLINGS)
        statuses: Counter[int] = Counter()
        async with visiting([next(ports) for _ in range(20)]) as everyone:
            for _round in range(size.requests // 20):
                asking = (one.post("/reset_password_request", email=next(spellings)) for one in everyone)
                statuses.update([answer.status for answer in await asyncio.gather(*asking)])
                await let_a_minute_pass(site)
        await site.drained_after(60)

        emails = site.mail_server.emails()
        figure("C10", f"{size.requests} requests, {dict(statuses)}: {len(emails)} emails")
        assert statuses.keys() == {303, 429}
        assert len(emails) == 3


@DATABASES
@deep
async def test_a_log_in_with_the_old_password_that_a_reset_overtakes_opens_nothing(
    database_url: str, tmp_path: Path
) -> None:
    """C33: one process stands behind the check of the old password while another one commits the reset."""
    pause, reached = tmp_path / "pause", tmp_path / "pause.reached"
    factory = "tests.reliability.paused:create_app"
    async with stage(tmp_path, database_url, 2, factory, PAUSE_FILE=str(pause)) as site:
        await site.command("import-users", str(people(tmp_path)))
        link = urlsplit((await site.command("reset-link", "susan")).strip()).path
        async with visiting([process.port for process in site.processes]) as (late, owner):
            pause.touch()
            logging_in = asyncio.create_task(late.post("/login", username="susan", password=PASSWORD))
            async with asyncio.timeout(30):
                while not reached.exists():
                    await asyncio.sleep(0.01)
            reset = await owner.post(link, password=NEW_PASSWORD)
            pause.unlink()
            overtaken = await logging_in
            old = overtaken.cookies.get("session", "")
            pages = [await one.get("/settings", f"session={old}") for one in (late, owner)]
            new = (await late.post("/login", username="susan", password=NEW_PASSWORD)).cookies["session"]
            page = await owner.get("/settings", f"session={new}")

        assert (reset.status, reset.location) == (303, "/login?username=susan")
        assert (overtaken.status, old) == (422, "")
        assert [(page.status, page.location) for page in pages] == [(303, "/login?next=/settings")] * 2
        assert page.status == 200, "and the new password opens"


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@deep
async def test_machines_whose_clocks_differ_by_an_hour_go_by_the_databases(database_url: str, tmp_path: Path) -> None:
    """By its own, each would take what the other has counted for over, and what the other has signed for expired."""
    async with stage(tmp_path, database_url, 1) as site:
        await site.command("import-users", str(people(tmp_path)))
        ahead = WebProcess(site.environment, tmp_path, "tests.reliability.ahead:create_app")
        site.processes.append(ahead)
        ahead.start()
        await ahead.ready()
        async with visiting([process.port for process in site.processes]) as machines:
            asked = [await one.post("/reset_password_request", email="susan") for one in [*machines, *machines]]
            checks = [await one.get(asked[0].location) for one in machines]
            await site.drained_after(60)
            [email] = site.mail_server.emails()
            forms = [await one.get(urlsplit(email.link).path) for one in machines]

        assert [answer.status for answer in asked] == [303, 429, 429, 429]
        assert [page.status for page in [*checks, *forms]] == [200] * 4
        assert '"seconds_ahead": 3600' in ahead.log.read_text()


def people(folder: Path) -> Path:
    """A file from which susan is imported, with her password."""
    file = folder / "people.csv"
    file.write_text(f'username,email,password_hash\nsusan,susan@example.com,"{HASH}"\n')
    return file


async def let_a_minute_pass(site: Stage) -> None:
    """Ends the windows of a minute, and only those."""
    await site.execute("UPDATE limit_window SET ends = 0 WHERE key LIKE '%:email:60'")
