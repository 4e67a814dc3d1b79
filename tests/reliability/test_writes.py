"""Many processes that write to one SQLite file."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("size", [SMALL, FULL])
async def test_no_visitor_hears_of_a_busy_database(size: Size, sqlite_url: str, tmp_path: Path, figure: Figure) -> None:
    """G9: 4 processes x 50 writes a second, the mailers' own beside them, and people who log in and out."""
    async with stage(tmp_path, sqlite_url, processes=4) as site:
        cookie_owner = await an_account(site)
        crowd, regulars = Crowd(site, "writer"), Counter[str]()

        coming = asyncio.create_task(log_in_and_out(site, cookie_owner, regulars))
        began = asyncio.get_running_loop().time()
        await crowd.come(size.writes, a_second=200, visitors=40, seconds=size.seconds)
        seconds = asyncio.get_running_loop().time() - began
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
        await site.drained_after(60)

        books = await ledger.closed(site, crowd)
        rate = len(crowd.accepted) / seconds
        locked = [process.log.name for process in site.processes if "is locked" in process.log.read_text()]
        figure("G9", f"{rate:.0f} writes/s beside {sum(regulars.values())} log-ins and log-outs; {books}")
        assert (set(crowd.statuses), set(regulars)) == ({200, 303}, {"in 303", "out 303"})
        assert locked == []
        assert (books.lost, books.stuck, crowd.broken) == (set(), 0, 0)


async def an_account(site: Stage) -> str:
    async with visiting([site.processes[0].port]) as (visitor,):
        await visitor.post("/register", email="susan@example.com")
        await site.drained_after(10)
        (letter,) = site.mail_server.letters()
        path = letter.link.partition("8000")[2]
        answer = await visitor.post(path, username="susan", password=PASSWORD)
        assert answer.location == "/login"
    return "susan"


async def log_in_and_out(site: Stage, username: str, seen: Counter[str]) -> None:
    """Somebody at each process, over and over; a session is read before it is ended."""

    async def stay(visitor: Visitor) -> None:
        while True:
            answer = await visitor.post("/login", username=username, password=PASSWORD)
            seen[f"in {answer.status}"] += 1
            cookie = answer.headers.get("set-cookie", "").partition(";")[0]
            answer = await visitor.post("/logout", cookie=cookie)
            seen[f"out {answer.status}"] += 1
            await asyncio.sleep(0.3)

    async with visiting([process.port for process in site.processes]) as everyone:
        await asyncio.gather(*(stay(visitor) for visitor in everyone))
