"""Many people, or one with many windows, behind the same link."""

import asyncio
import itertools
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.depth import deep
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
TWO_SMALL = pytest.param(Size(links=4, consumers=10, processes=2), id="small")
TWO_FULL = pytest.param(Size(links=50, consumers=50, processes=4), id="full", marks=pytest.mark.soak)
FULL = pytest.param(Size(links=200, consumers=50, processes=4), id="full", marks=pytest.mark.soak)


@deep
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
        successes = sum(answer.location.startswith("/login?") for answer in answers)
        notices = await site.execute("SELECT count(*) FROM outbox_email WHERE kind = 'password_changed'")
        figure("G3", f"{size.links} links x {size.consumers} consumers: {successes} successes, {dict(statuses)}")
        assert (len(links), successes, notices) == (size.links, size.links, [(size.links,)])
        assert not [status for status in statuses if status >= 500]


@pytest.mark.parametrize("database_url", ["postgresql", pytest.param("sqlite", marks=pytest.mark.soak)], indirect=True)
@pytest.mark.parametrize("size", [TWO_SMALL, TWO_FULL])
@deep
async def test_of_all_who_use_two_live_links_at_once_one_wins(
    size: Size, database_url: str, tmp_path: Path, figure: Figure
) -> None:
    """C18: the use of one link ends the other, in whichever process."""
    async with stage(tmp_path, database_url, size.processes, RESET_TOKEN_MINUTES="60") as site:
        await add_accounts(site, size.links)
        await mailed_links(site, size.links)
        await asyncio.sleep(1)  # links of the same second are the same
        await mailed_links(site, size.links, "person{}")
        pairs = links_by_person(site)

        ports = itertools.cycle(process.port for process in site.processes)
        seen: list[Counter[str]] = []
        async with visiting([next(ports) for _ in range(size.consumers)]) as everyone:
            for pair in pairs:
                using = (use(visitor, link) for visitor, link in zip(everyone, itertools.cycle(pair), strict=False))
                seen.append(
                    Counter(
                        answer.location.partition("?")[0] or str(answer.status)
                        for answer in await asyncio.gather(*using)
                    )
                )

        figure(
            "C18", f"{size.links} pairs x {size.consumers} consumers: {sum(one['/login'] for one in seen)} successes"
        )
        assert [len(pair) for pair in pairs] == [2] * size.links
        assert [one["/login"] for one in seen] == [1] * size.links
        # Who was overtaken in the middle is sent back to the link, which says that it was used.
        assert all(one.keys() <= {"/login", "410", *pair} for one, pair in zip(seen, pairs, strict=True))


def links_by_person(site: Stage) -> list[set[str]]:
    links: dict[str, set[str]] = {}
    for email in site.mail_server.emails():
        links.setdefault(email.to, set()).add(urlsplit(email.link).path)
    return list(links.values())


async def add_accounts(site: Stage, count: int) -> None:
    people = site.folder / "people.csv"
    lines = [f"person{number},person{number}@example.com" for number in range(count)]
    people.write_text("\n".join(["username,email", *lines]))
    await site.command("import-users", str(people))


async def mailed_links(site: Stage, count: int, typed: str = "person{}@example.com") -> list[str]:
    """The paths behind the links of all reset emails so far, after each person's name or address was typed."""
    async with visiting([site.processes[0].port]) as (visitor,):
        for number in range(count):
            answer = await visitor.post("/reset_password_request", email=typed.format(number))
            assert answer.status == 303
    await site.drained_after(30)
    return [urlsplit(email.link).path for email in site.mail_server.emails()]


async def use(visitor: Visitor, link: str) -> Answer:
    return await visitor.post(link, password="a quite different staple")
