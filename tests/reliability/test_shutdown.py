"""A deploy in the worst moment: slow visitors outside, a mail server that hangs inside."""

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.reliability import ledger
from tests.reliability.conftest import Figure
from tests.reliability.stage import stage
from tests.reliability.visitors import Crowd, slow_visitors

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
    """G4, C50: SIGTERM with 50 slow clients and SMTP hanging: gone within 25 s, and its emails leave later, once."""
    async with stage(tmp_path, database_url, processes=1) as site:
        crowd, (process,) = Crowd(site, "deploy"), site.processes
        seconds = []
        for number in range(1, rounds + 1):
            site.mail_server.order(**trouble)
            await crowd.come(60 * number, a_second=100)
            async with slow_visitors(process.port, SLOW_VISITORS):
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
