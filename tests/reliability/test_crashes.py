"""Processes that die, and processes that come back from the dead."""

import asyncio
import itertools
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.depth import deep
from tests.reliability import ledger
from tests.reliability.conftest import Figure
from tests.reliability.stage import Stage, WebProcess, stage
from tests.reliability.visitors import Crowd, Visitor, visiting
from webapp.mail.outbox import LEASE

pytestmark = pytest.mark.anyio
PATIENCE = 30.0


@dataclass(frozen=True)
class Size:
    """`is_hurried` ends the leases of the dead by hand instead of waiting for their 90 s.

    Each kill costs another start of a process, the longer the busier the machine, during which it does no work: without
    an end to them, what is to be the short run goes on and on there.
    """

    emails: int
    is_hurried: bool
    most_kills: int
    processes: int = 2
    a_second: float = 30
    visitors: int = 8


SMALL = pytest.param(Size(emails=80, is_hurried=True, most_kills=4), id="small")
FULL = Size(emails=2000, is_hurried=False, most_kills=10_000, processes=4, a_second=60, visitors=24)


@pytest.mark.parametrize("database_url", ["postgresql", pytest.param("sqlite", marks=deep)], indirect=True)
@pytest.mark.parametrize("size", [SMALL, pytest.param(FULL, id="full", marks=pytest.mark.soak)])
async def test_no_email_is_lost_when_processes_are_killed(
    size: Size, database_url: str, tmp_path: Path, figure: Figure
) -> None:
    """G1, C62: one process is killed each second while people ask for emails and emails are on the wire."""
    async with stage(tmp_path, database_url, size.processes) as site:
        crowd = Crowd(site, "crash")
        site.mail_server.order(seconds=0.02)

        killing = asyncio.create_task(kill_each_second(site, size.most_kills))
        await crowd.come(size.emails, a_second=size.a_second, visitors=size.visitors)
        while kills_at(site) < 2:  # a process that is slow to begin again is left alone
            await crowd.come(len(crowd.accepted) + 10, a_second=size.a_second, visitors=size.visitors)
        killing.cancel()
        kills = kills_at(site)
        await everyone_back(site)
        ended = await site.end_leases_of_the_dead() if size.is_hurried else 0
        waited = await site.drained_after(PATIENCE + (0 if size.is_hurried else LEASE.total_seconds()))

        books = await ledger.closed(site, crowd)
        figure("G1", f"{kills} kills, {crowd.broken} broken answers; {books}; drained after {waited:.1f} s ({ended})")
        assert (books.lost, books.stuck, books.rewritten) == (set(), 0, set())
        assert books.duplicates <= kills * int(site.environment["MAIL_CONNECTIONS"])
        assert books.most_connections <= site.connections_allowed


@pytest.mark.parametrize("database_url", ["sqlite", pytest.param("postgresql", marks=deep)], indirect=True)
@pytest.mark.parametrize(
    ("emails", "is_hurried"),
    [pytest.param(1, True, id="small"), pytest.param(6, False, id="full", marks=pytest.mark.soak)],
)
@deep
async def test_a_mailer_that_overslept_finishes_nothing(
    emails: int, is_hurried: bool, database_url: str, tmp_path: Path, figure: Figure
) -> None:
    """G1: a process stopped in mid-email wakes after its lease, hears a refusal, and may not write it down."""
    async with stage(tmp_path, database_url, MAIL_CONNECTIONS="1") as site:
        crowd = Crowd(site, "slept")
        site.mail_server.order(faults=[{"at": "DOT", "answer": "554 refused", "hold": True}])

        sleeper = await stopped_in_mid_email(site, crowd, emails)
        if is_hurried:
            await site.execute(
                "UPDATE outbox_email SET due_at = created_at WHERE leased_by LIKE :it", it=f"%:{sleeper.pid}:%"
            )
        else:
            await asyncio.sleep(LEASE.total_seconds())
        waited = await site.drained_after(PATIENCE)
        site.mail_server.order(release=True)
        sleeper.signal(signal.SIGCONT)
        await told_of_an_email(sleeper)
        await asyncio.sleep(2)

        books = await ledger.closed(site, crowd)
        states = await site.execute("SELECT DISTINCT state FROM outbox_email")
        figure("fence", f"{books}; drained after {waited:.1f} s")
        assert states == [("sent",)]
        assert (books.lost, books.stuck, books.duplicates) == (set(), 0, 0)


async def kill_each_second(site: Stage, most: int) -> None:
    """Kills the processes in turn; one that is still starting is left alone until it serves."""
    turns = itertools.cycle(site.processes)
    while kills_at(site) < most:
        process = next(turns)
        await asyncio.sleep(1)
        if await process.is_serving():
            process.kill()
            process.start()


def kills_at(site: Stage) -> int:
    return sum(len(process.dead) for process in site.processes)


async def everyone_back(site: Stage) -> None:
    for process in site.processes:
        await process.ready()


async def stopped_in_mid_email(site: Stage, crowd: Crowd, emails: int) -> WebProcess:
    """The process that holds an email on the wire, and perhaps some in its queue, stopped."""
    async with visiting([site.processes[0].port]) as (visitor,):
        await crowd.ask(visitor)
        async with asyncio.timeout(PATIENCE):
            while not site.mail_server.order()["held"]:
                await asyncio.sleep(0.02)
        site.mail_server.order(faults=[])
        ((mailer,),) = await site.execute("SELECT leased_by FROM outbox_email")
        (sleeper,) = [process for process in site.processes if str(process.pid) == mailer.split(":")[-2]]
        visitor.leave()
        await ask_more(crowd, sleeper, emails - 1)
    sleeper.signal(signal.SIGSTOP)
    return sleeper


async def ask_more(crowd: Crowd, process: WebProcess, emails: int) -> None:
    visitor = Visitor(process.port)
    for _ in range(emails):
        await crowd.ask(visitor)
    visitor.leave()
    await asyncio.sleep(0.3 if emails else 0)


async def told_of_an_email(process: WebProcess) -> None:
    """Returns once the process has written down, or was not allowed to, what became of an email."""
    deadline = time.monotonic() + PATIENCE
    while '"outcome"' not in process.log.read_text():
        assert time.monotonic() < deadline, process.log.read_text()[-2000:]
        await asyncio.sleep(0.05)
