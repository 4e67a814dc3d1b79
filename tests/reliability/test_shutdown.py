"""A deploy in the worst moment: slow visitors outside, a mail server that hangs inside."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.reliability import ledger
from tests.reliability.conftest import Figure
from tests.reliability.stage import HOST, stage
from tests.reliability.visitors import Crowd

pytestmark = pytest.mark.anyio
SLOW_VISITORS = 50
MOST_SECONDS = 25.0
HANGS = pytest.param(
    {"faults": [{"at": "DOT", "answer": "451 too late", "hold": True}]}, id="hangs", marks=pytest.mark.soak
)
CRAWLS = pytest.param({"seconds": 15}, id="crawls")


@pytest.mark.parametrize("database_url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.soak)], indirect=True)
@pytest.mark.parametrize("trouble", [HANGS, CRAWLS])
@pytest.mark.parametrize("rounds", [pytest.param(1, id="small"), pytest.param(3, id="full", marks=pytest.mark.soak)])
async def test_a_process_told_to_end_is_gone_in_time_and_loses_nothing(
    rounds: int, trouble: dict[str, Any], database_url: str, tmp_path: Path, figure: Figure
) -> None:
    """G4, C50: SIGTERM with 50 slow clients and SMTP hanging: gone within 25 s, and its letters leave later, once."""
    async with stage(tmp_path, database_url, processes=1) as site:
        crowd, (process,) = Crowd(site, "deploy"), site.processes
        seconds = []
        for number in range(1, rounds + 1):
            site.mail_server.order(**trouble)
            await crowd.come(60 * number, a_second=100)
            async with slow_visitors(process.port):
                process.signal(signal.SIGTERM)
                seconds.append(await process.gone_after(MOST_SECONDS + 5))
            site.mail_server.order(faults=[], release=True, seconds=0)
            process.close()
            await site.start()
        waited = await site.drained_after(30)

        books = await ledger.closed(site, crowd)
        figure(
            "G4", f"gone after {', '.join(f'{one:.1f}' for one in seconds)} s; {books}; drained after {waited:.1f} s"
        )
        assert max(seconds) < MOST_SECONDS
        assert (books.lost, books.stuck, books.duplicates) == (set(), 0, 0)


@contextlib.asynccontextmanager
async def slow_visitors(port: int) -> AsyncIterator[None]:
    """Visitors whose form comes in a byte at a time, and does not end."""
    streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(SLOW_VISITORS)]
    for _reader, writer in streams:
        head = ["POST /register HTTP/1.1", f"host: {HOST}", "content-type: application/x-www-form-urlencoded"]
        writer.write("\r\n".join([*head, "content-length: 5000", "", ""]).encode())
    try:
        async with asyncio.TaskGroup() as group:
            trickling = group.create_task(_trickle([writer for _reader, writer in streams]))
            await asyncio.sleep(0.5)
            yield
            trickling.cancel()
    finally:
        for _reader, writer in streams:
            writer.transport.abort()


async def _trickle(writers: list[asyncio.StreamWriter]) -> None:
    while True:
        for writer in writers:
            if not writer.is_closing():
                writer.write(b"x")
        await asyncio.sleep(0.5)
