"""The primary of two PostgreSQL servers dies while people visit, and its standby takes over."""

import asyncio
import time
from pathlib import Path

import pytest

from tests.reliability import ledger
from tests.reliability.conftest import Figure
from tests.reliability.primaries import OWNER, Server, primary_and_standby
from tests.reliability.stage import Stage, stage
from tests.reliability.visitors import Broken, Crowd, visiting
from webapp.database import migrations

pytestmark = [pytest.mark.neighbours, pytest.mark.anyio]
A_SECOND = 50
BEFORE, AWAY, AFTER = 6.0, 4.0, 20.0  # seconds: with the primary, with none, and with the promoted one
BACK_WITHIN = 10.0
LEASE_AND_MORE = 120.0
ADMIN = "admin@example.com"


@pytest.fixture
def servers(request: pytest.FixtureRequest):  # type: ignore[no-untyped-def]
    with primary_and_standby() as both:
        migrations.upgrade(both[0].url)
        yield both


async def test_nothing_acknowledged_is_lost_and_pages_are_back(
    servers: tuple[Server, Server], tmp_path: Path, figure: Figure
) -> None:
    """G11."""
    primary, standby = servers
    hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
    url = f"postgresql://{OWNER}@{hosts}/postgres?target_session_attrs=read-write"
    async with stage(tmp_path, url, 2, ADMINS=ADMIN) as site:
        crowd, looks = Crowd(site, "failover"), Looks(site)
        watching = asyncio.create_task(looks.watch())
        coming = asyncio.create_task(
            crowd.come(1_000_000, a_second=A_SECOND, visitors=60, seconds=BEFORE + AWAY + AFTER)
        )
        await asyncio.sleep(BEFORE)
        before = len(crowd.accepted)
        primary.kill()
        await asyncio.sleep(AWAY)
        promoted = time.monotonic()
        standby.run("pg_ctl", "promote", "-D", str(standby.folder))
        await coming
        looks.is_over = True
        await watching
        waited = await site.drained_after(LEASE_AND_MORE)

        books, back = await ledger.closed(site, crowd), looks.back_after(promoted)
        figure(
            "G11",
            f"{sum(crowd.statuses.values())} requests, {books}; pages back {back:.1f} s after the promotion, after"
            f" {AWAY:.0f} s without a server; all emails sent {waited:.0f} s after the last request",
        )
        assert before > BEFORE * A_SECOND / 10, "else there was nothing to lose"
        assert len(crowd.accepted) > before + AFTER * A_SECOND / 10
        assert (books.lost, books.stuck) == (set(), 0)
        assert back < BACK_WITHIN
        assert set(crowd.statuses) == {200, 303, 503}, "it was away, and said so"
        assert looks.failed_before(promoted)
        assert crowd.broken == 0
        check_logs(site)
        alarms = [email for email in site.mail_server.emails() if email.to == ADMIN]
        assert len(alarms) == 1, "one alarm of all processes"


def check_logs(site: Stage) -> None:
    """One line where it went away, one where it came back, for the pages and for the mailer; and no traces."""
    for process in site.processes:
        log = process.log.read_text()
        for event in ("database_away", "database_back", "mailer_waits", "mailer_goes_on"):
            assert log.count(f'"{event}"') == 1, (event, log[-3000:])
        assert "Traceback" not in log


class Looks:
    """Somebody who looks at a page of each process all the time, and notes when that worked."""

    def __init__(self, site: Stage) -> None:
        self.site = site
        self.seen: list[tuple[float, bool]] = []
        self.is_over = False

    async def watch(self) -> None:
        async with visiting([process.port for process in self.site.processes]) as everyone:
            while not self.is_over:
                for visitor in everyone:
                    try:
                        is_well = (await visitor.get("/explore")).status == 200
                    except Broken:
                        is_well = False
                    self.seen.append((time.monotonic(), is_well))
                await asyncio.sleep(0.1)

    def failed_before(self, moment: float) -> bool:
        return any(not is_well for when, is_well in self.seen if when < moment)

    def back_after(self, moment: float) -> float:
        """How long after it a look worked, and every one from then on."""
        failed = max([when for when, is_well in self.seen if not is_well], default=moment)
        return min(when for when, is_well in self.seen if is_well and when > max(failed, moment)) - moment
