"""A process after many requests and emails is what it was before."""

import asyncio
import signal
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from tests.reliability.conftest import Figure
from tests.reliability.stage import Stage, stage
from tests.reliability.visitors import Crowd, Visitor, visiting

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Size:
    requests: int
    emails: int


@dataclass(frozen=True)
class Measure:
    """`descriptors` without those of connections to the mail server and the database.

    Both are opened as they are needed, within their limits, and some rest open for a while.
    """

    descriptors: int
    tasks: int
    megabytes: float


SMALL = pytest.param(Size(requests=1_000, emails=100), id="small", marks=pytest.mark.soak)  # it weighs the process
FULL = pytest.param(Size(requests=18_000, emails=2_000), id="full", marks=pytest.mark.soak)


@pytest.mark.parametrize("database_url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.soak)], indirect=True)
@pytest.mark.parametrize("size", [SMALL, FULL])
async def test_a_process_does_not_grow(size: Size, database_url: str, tmp_path: Path, figure: Figure) -> None:
    """G10: no more descriptors, tasks or (beyond 5 %) memory after 20,000 requests and 2,000 emails."""
    window = tmp_path / "window"
    factory = "tests.reliability.watched:create_app"
    async with stage(tmp_path, database_url, 1, factory, WINDOW=str(window)) as site:
        await work(site, "warm", Size(1_000, 100))
        before = await measured(site, window)
        await work(site, "work", size)
        after = await measured(site, window)

        figure("G10", f"{before} before, {after} after {size.requests} pages and {size.emails} emails")
        assert after.descriptors <= before.descriptors
        assert after.tasks <= before.tasks
        assert after.megabytes <= before.megabytes * 1.05


async def work(site: Stage, name: str, size: Size) -> None:
    async def keep_reading(visitor: Visitor) -> None:
        for _ in range(size.requests // 4):
            assert (await visitor.get("/login")).status == 200

    (process,) = site.processes
    async with visiting([process.port] * 4) as everyone:
        crowd = Crowd(site, name)
        await asyncio.gather(*(keep_reading(visitor) for visitor in everyone), crowd.come(size.emails, a_second=100))
    assert len(crowd.accepted) == size.emails
    await site.drained_after(60)


async def measured(site: Stage, window: Path) -> Measure:
    """What the process holds once it is at rest."""
    (process,) = site.processes
    await asyncio.sleep(2)
    process.signal(signal.SIGUSR1)
    await asyncio.sleep(1)
    return read(process.pid, window, site.mail_server.port)


def read(pid: int, window: Path, mail_port: int) -> Measure:
    process = psutil.Process(pid)
    megabytes = round(process.memory_info().rss / 2**20, 1)
    tasks, to_database = (int(number) for number in window.read_text().split())
    window.unlink()
    to_mail = [one for one in process.net_connections() if one.raddr and one.raddr.port == mail_port]
    return Measure(process.num_fds() - len(to_mail) - to_database, tasks, megabytes)
