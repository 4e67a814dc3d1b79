"""The mail server on its good and its bad days."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.depth import deep
from tests.reliability import ledger
from tests.reliability.conftest import Figure
from tests.reliability.stage import stage
from tests.reliability.visitors import Crowd

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Size:
    emails: int
    processes: int = 2
    a_second: float = 25
    away_seconds: float = 0
    patience: float = 40


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(Size(emails=60), id="small", marks=pytest.mark.soak),  # it looks at the clock
        pytest.param(Size(emails=1500, processes=4), id="full", marks=pytest.mark.soak),
    ],
)
async def test_an_email_leaves_at_once(size: Size, database_url: str, tmp_path: Path, figure: Figure) -> None:
    """G5, C62: half of the emails are at the server 0.5 s after the answer, and 99 of 100 within 2 s."""
    async with stage(tmp_path, database_url, size.processes) as site:
        await Crowd(site, "warm").come(10, a_second=50)
        crowd = Crowd(site, "prompt")
        await crowd.come(size.emails, a_second=size.a_second)
        await site.drained_after(size.patience)

        books = await ledger.closed(site, crowd)
        half, nearly_all = books.percentile(50), books.percentile(99)
        figure("G5", f"p50 {half * 1000:.0f} ms, p99 {nearly_all * 1000:.0f} ms; {books}")
        assert (books.lost, books.stuck, books.duplicates) == (set(), 0, 0)
        assert half <= 0.5
        assert nearly_all <= 2
        assert books.most_connections <= site.connections_allowed


@deep
@pytest.mark.parametrize("database_url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.soak)], indirect=True)
@pytest.mark.parametrize(
    "size",
    [
        pytest.param(Size(emails=120, a_second=80, away_seconds=4), id="small"),
        pytest.param(Size(emails=600, processes=4, away_seconds=120, patience=90), id="full", marks=pytest.mark.soak),
    ],
)
async def test_emails_wait_for_a_server_that_is_away(
    size: Size, database_url: str, tmp_path: Path, figure: Figure
) -> None:
    """G6, C62: all leave after its return, over the allowed connections; what became too old is listed."""
    async with stage(tmp_path, database_url, size.processes) as site:
        crowd, late = Crowd(site, "patient"), Crowd(site, "late")
        site.mail_server.order(away=True)
        away = time.monotonic()
        await late.come(3, a_second=50)
        await crowd.come(size.emails, a_second=size.a_second)
        await site.execute("UPDATE outbox_email SET expires_at = created_at WHERE recipient LIKE 'late%'")
        await asyncio.sleep(max(0, away + size.away_seconds - time.monotonic()))
        waiting = await site.waiting()
        back = time.time()
        site.mail_server.order(away=False)
        waited = await site.drained_after(size.patience)

        books = await ledger.closed(site, crowd)
        first = min((email.at - back for email in site.mail_server.emails()), default=float("inf"))
        expired = await site.execute("SELECT id FROM outbox_email WHERE state = 'expired'")
        listed = await site.command("mail", "list")
        figure("G6", f"{waiting} waited; first probe {first:.1f} s, drained {waited:.1f} s after the return; {books}")
        assert waiting >= size.emails
        assert first < 31
        assert (books.lost, books.stuck, books.duplicates) == (set(), 0, 0)
        assert books.most_connections <= site.connections_allowed
        assert len(expired) == len(late.accepted) == 3
        assert [str(email) for (email,) in expired if str(email) not in listed.split()] == []


@pytest.mark.parametrize("database_url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.soak)], indirect=True)
@pytest.mark.parametrize(
    "size",
    [
        pytest.param(Size(emails=50, a_second=50), id="small"),
        pytest.param(Size(emails=1000, processes=4, a_second=50, patience=240), id="full", marks=pytest.mark.soak),
    ],
)
@deep
async def test_a_moody_server_gets_every_email(size: Size, database_url: str, tmp_path: Path, figure: Figure) -> None:
    """G7: 10 % 4xx, 2 % 421 and 2 % drops after the dot: all arrive, and only the dropped ones twice."""
    async with stage(tmp_path, database_url, size.processes) as site:
        crowd = Crowd(site, "moody")
        site.mail_server.order(
            faults=[
                {"at": "RCPT", "answer": "451 4.3.0 later", "one_in": 10},
                {"at": "MAIL", "answer": "421 4.3.2 going down", "one_in": 50},
                {"at": "DOT", "answer": "drop", "one_in": 50},
            ]
        )
        await crowd.come(size.emails, a_second=size.a_second)
        waited = await site.drained_after(size.patience)

        books = await ledger.closed(site, crowd)
        figure("G7", f"{books}; drained after {waited:.1f} s")
        assert (books.lost, books.stuck, books.rewritten) == (set(), 0, set())
        assert 1 <= books.duplicates <= 0.02 * size.emails
        assert books.most_connections <= site.connections_allowed
