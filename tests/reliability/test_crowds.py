"""More visitors at once than the site can serve: some wait, some are told to come back, and nobody else notices."""

import asyncio
import contextlib
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from tests.depth import deep
from tests.reliability.conftest import Figure
from tests.reliability.stage import HOST, WebProcess, stage
from tests.reliability.visitors import Answer, Visitor, slow_visitors, visiting
from webapp.fair_queue import MAX_WAIT_SECONDS
from webapp.passwords.hasher import MOST_OF_STRANGERS

pytestmark = pytest.mark.anyio
CROWD = 200
MOST_MEGABYTES = 150
MOST_SECONDS = 25.0


@dataclass
class Watch:
    """What was seen of a process meanwhile: the most memory, and the slowest answers of its other pages."""

    megabytes: float = 0.0
    slowest: float = 0.0
    looks: int = 0


async def test_two_hundred_log_ins_at_once_leave_the_site_serving_and_small(
    sqlite_url: str, tmp_path: Path, figure: Figure
) -> None:
    """C49: memory within 150 MB of idle, other pages answer, the excess gets 503 with Retry-After."""
    async with stage(tmp_path, sqlite_url, processes=1) as site:
        (process,) = site.processes
        async with visiting([process.port] * CROWD) as everyone:
            await everyone[0].post("/login", username="warm", password="not the right password")
            idle = megabytes(process)
            began = time.monotonic()
            async with watching(process) as seen:
                answered = await asyncio.gather(
                    *(timed_log_in(visitor, f"person{number}") for number, visitor in enumerate(everyone))
                )
            took = time.monotonic() - began
    answers = [answer for answer, _seconds in answered]
    late = sum(answer.status == 503 and seconds >= MAX_WAIT_SECONDS for answer, seconds in answered)

    statuses = Counter(answer.status for answer in answers)
    pages = f"pages within {seen.slowest:.2f} s of {took:.1f}"
    figure("C49", f"{dict(statuses)}, {late} late; {idle:.0f} MB idle, at most {seen.megabytes:.0f}; {pages}")
    assert seen.megabytes - idle < MOST_MEGABYTES
    assert statuses.keys() == {422, 503}
    assert statuses[422] + late >= MOST_OF_STRANGERS, "as many as may wait are served, unless it takes too long"
    assert {answer.headers.get("retry-after") for answer in answers if answer.status == 503} == {"5"}
    assert seen.looks >= 5
    assert seen.slowest < max(2.0, took * 2 / 3), "a page waits for no crowd, however busy the machine is"


@pytest.mark.parametrize("is_ended", [False, pytest.param(True, marks=pytest.mark.soak)], ids=["served", "and ended"])
@deep
async def test_two_hundred_slow_visitors_keep_nobody_waiting(
    is_ended: bool, sqlite_url: str, tmp_path: Path, figure: Figure
) -> None:
    """C50: others are served meanwhile; SIGTERM still ends in 25 s (in the suite, with 50: test_shutdown)."""
    async with stage(tmp_path, sqlite_url, processes=1) as site:
        (process,) = site.processes
        async with visiting([process.port]) as (visitor,):
            alone, _answers = await twenty_forms(visitor, "early")
        async with slow_visitors(process.port, CROWD), visiting([process.port]) as (visitor,):
            async with watching(process) as seen:
                served, answers = await twenty_forms(visitor, "person")
            if is_ended:
                process.signal(signal.SIGTERM)
                figure("C50", f"gone after {await process.gone_after(MOST_SECONDS + 5):.1f} s")
                assert not await process.is_serving()

        beside = f"20 forms in {served:.2f} s beside {CROWD} slow ones, in {alone:.2f} s without"
        figure("C50", f"{beside}; pages within {seen.slowest:.2f} s")
        assert {answer.status for answer in answers} == {303}
        assert served < max(5.0, 10 * alone), "however busy the machine is"
        assert seen.slowest < max(2.0, served / 3)


async def twenty_forms(visitor: Visitor, name: str) -> tuple[float, list[Answer]]:
    """One after the other; and how many seconds they took."""
    began = time.monotonic()
    answers = [await visitor.post("/register", email=f"{name}{number}@example.com") for number in range(20)]
    return time.monotonic() - began, answers


@pytest.mark.soak
async def test_five_hundred_connections_of_one_network_keep_no_neighbour_waiting(
    database_url: str, tmp_path: Path, figure: Figure
) -> None:
    """C65: each asks for eight pages at once, again and again."""
    async with stage(tmp_path, database_url, processes=1) as site:
        (process,) = site.processes
        crowd = [asyncio.create_task(ask_again_and_again(process.port)) for _number in range(500)]
        async with visiting([process.port]) as (neighbour,):
            await asyncio.sleep(3)
            taken = []
            for _look in range(20):
                began = time.monotonic()
                assert (await neighbour.get("/explore")).status == 200
                taken.append(time.monotonic() - began)
        for asking in crowd:
            asking.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)

    figure("C65", f"a page of a neighbour within {max(taken):.2f} s, half within {sorted(taken)[10]:.2f} s")
    assert max(taken) < 5.0


async def ask_again_and_again(port: int) -> None:
    """The pages of one network, as fast as they come."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    asked = f"GET /explore HTTP/1.1\r\nhost: {HOST}\r\nx-forwarded-for: 198.51.100.7\r\n\r\n".encode()
    try:
        writer.write(asked * 8)
        while piece := await reader.read(65536):
            writer.write(asked * piece.count(b"HTTP/1.1 "))
    finally:
        writer.transport.abort()


async def timed_log_in(visitor: Visitor, name: str) -> tuple[Answer, float]:
    began = time.monotonic()
    answer = await visitor.post("/login", username=name, password="not the right password")
    return answer, time.monotonic() - began


def megabytes(process: WebProcess) -> float:
    return float(psutil.Process(process.pid).memory_info().rss) / 2**20


@contextlib.asynccontextmanager
async def watching(process: WebProcess) -> AsyncIterator[Watch]:
    """Looks at the process and at its other pages again and again, as a monitor and a reader would."""
    seen = Watch()
    async with visiting([process.port]) as (reader,), asyncio.TaskGroup() as group:
        looking = group.create_task(_look(process, reader, seen))
        yield seen
        looking.cancel()


async def _look(process: WebProcess, reader: Visitor, seen: Watch) -> None:
    while True:
        for path in ("/health", "/login"):
            began = time.monotonic()
            assert (await reader.get(path)).status == 200
            seen.slowest = max(seen.slowest, time.monotonic() - began)
        seen.megabytes = max(seen.megabytes, megabytes(process))
        seen.looks += 1
        await asyncio.sleep(0.02)
