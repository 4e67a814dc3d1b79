"""Many processes that write to one SQLite file."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.depth import deep
from tests.reliability import ledger
from tests.reliability.conftest import Figure
from tests.reliability.stage import Stage, stage
from tests.reliability.visitors import Crowd, Visitor, visiting

pytestmark = pytest.mark.anyio
PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class Size:
    writes: int
    seconds: float


SMALL = pytest.param(Size(writes=600, seconds=6), id="small")
FULL = pytest.param(Size(writes=12_000, seconds=120), id="full", marks=pytest.mark.soak)


@deep
@pytest.mark.parametrize("size", [SMALL, FULL])
async def test_no_visitor_hears_of_a_busy_database(size: Size, sqlite_url: str, tmp_path: Path, figure: Figure) -> None:
    """G9: 4 processes x 50 writes a second, the mailers' own beside them, and people who read first."""
    async with stage(tmp_path, sqlite_url, processes=4) as site:
        used_link = await an_account(site)
        crowd, regulars = Crowd(site, "writer"), Counter[str]()

        coming = asyncio.create_task(come_and_go(site, used_link, regulars))
        began = asyncio.get_running_loop().time()
        await crowd.come(size.writes, a_second=200, visitors=40, seconds=size.seconds)
        seconds = asyncio.get_running_loop().time() - began
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
        await site.drained_after(60)

        books = await ledger.closed(site, crowd)
        rate = len(crowd.accepted) / seconds
        locked = [process.log.name for process in site.processes if "is locked" in process.log.read_text()]
        figure("G9", f"{rate:.0f} writes/s beside {dict(regulars)}; {books}")
        assert set(crowd.statuses) == {200, 303}
        limited = {"renewal 429", "log-in 429"}  # the account of the regulars logs in 200 times an hour
        assert set(regulars) <= {"log-in 303", "log-out 303", "renewal 303"} | limited
        assert locked == []
        assert (books.lost, books.stuck, crowd.broken) == (set(), 0, 0)


async def an_account(site: Stage) -> str:
    """Makes an account with the name and password of `susan`; returns the path of a reset link that she has used."""
    async with visiting([site.processes[0].port]) as (visitor,):
        await visitor.post("/register", email="susan@example.com")
        await visitor.post(await newest_link(site, 1), username="susan", password=PASSWORD)
        await visitor.post("/reset_password_request", email="susan")
        used_at = await newest_link(site, 2)
        answer = await visitor.post(used_at, password=PASSWORD)
        assert answer.location == "/login?username=susan"
    return used_at


async def newest_link(site: Stage, emails: int) -> str:
    async with asyncio.timeout(30):
        while len(arrived := site.mail_server.emails()) < emails:
            await asyncio.sleep(0.1)
    return urlsplit(arrived[-1].link).path


async def come_and_go(site: Stage, used_link: str, seen: Counter[str]) -> None:
    """Somebody at each process, over and over, in transactions that read before they write."""

    async def stay(visitor: Visitor) -> None:
        while True:
            answer = await visitor.post("/login", username="susan", password=PASSWORD)
            seen[f"log-in {answer.status}"] += 1
            answer = await visitor.post("/logout", cookie=f"session={answer.cookies.get('session')}")
            seen[f"log-out {answer.status}"] += 1
            for _ in range(10):
                answer = await visitor.post(f"{used_link}/renew", csrf="")
                seen[f"renewal {answer.status}"] += 1

    async with visiting([process.port for process in site.processes]) as everyone:
        await asyncio.gather(*(stay(visitor) for visitor in everyone))
