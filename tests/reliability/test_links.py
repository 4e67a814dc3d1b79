"""Many people, or one with many windows, behind the same link."""

import asyncio
import itertools
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.reliability.conftest import Figure
from tests.reliability.stage import Stage, stage
from tests.reliability.visitors import Answer, Visitor, visiting

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Size:
    links: int
    consumers: int
    processes: int


SMALL = pytest.param(Size(links=10, consumers=20, processes=2), id="small")
FULL = pytest.param(Size(links=200, consumers=50, processes=4), id="full", marks=pytest.mark.soak)


@pytest.mark.parametrize("size", [SMALL, FULL])
async def test_of_all_who_use_a_link_at_once_one_wins(
    size: Size, database_url: str, tmp_path: Path, figure: Figure
) -> None:
    """G3, C17: exactly one success for each link, and nobody sees an error of ours."""
    async with stage(tmp_path, database_url, size.processes, RESET_TOKEN_MINUTES="60") as site:
        await add_accounts(site, size.links)
        links = await mailed_links(site, size.links)

        ports = itertools.cycle(process.port for process in site.processes)
        answers: list[Answer] = []
        async with visiting([next(ports) for _ in range(size.consumers)]) as everyone:
            for link in links:
                answers += await asyncio.gather(*(use(visitor, link) for visitor in everyone))
        await site.drained_after(30)

        statuses = Counter(answer.status for answer in answers)
        successes = sum(answer.location == "/login" for answer in answers)
        notices = await site.execute("SELECT count(*) FROM letter WHERE kind = 'password_changed'")
        figure("G3", f"{size.links} links x {size.consumers} consumers: {successes} successes, {dict(statuses)}")
        assert (len(links), successes, notices) == (size.links, size.links, [(size.links,)])
        assert not [status for status in statuses if status >= 500]


async def add_accounts(site: Stage, count: int) -> None:
    people = site.folder / "people.csv"
    lines = [f"person{number},person{number}@example.com" for number in range(count)]
    people.write_text("\n".join(["username,email", *lines]))
    await site.command("import-users", str(people))


async def mailed_links(site: Stage, count: int) -> list[str]:
    """The path behind the link of each person's reset letter."""
    async with visiting([site.processes[0].port]) as (visitor,):
        for number in range(count):
            answer = await visitor.post("/reset_password_request", email=f"person{number}@example.com")
            assert answer.status == 303
    await site.drained_after(30)
    return [urlsplit(letter.link).path for letter in site.mail_server.letters()]


async def use(visitor: Visitor, link: str) -> Answer:
    return await visitor.post(link, password="a quite different staple")
