"""Crowds of visitors, each from a network of their own, and the answers that they got."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2

PASSWORD = "correct horse battery"
MEMBERS = [f"member{number}" for number in range(6)]
Answer = tuple[int | str, float]


async def resets(base_url: str, count: int, first: int = 0) -> list[Answer]:
    """As many people, each from a network of their own, ask for a reset at once."""
    async with client(base_url, network(first)) as browser:
        return await asyncio.gather(*(reset(browser, first + number) for number in range(count)))


async def reset(browser: httpx2.AsyncClient, number: int) -> Answer:
    data, headers = {"email": f"person{number}@example.com"}, {"x-forwarded-for": network(number)}
    return await timed(browser.build_request("POST", "/reset_password_request", data=data, headers=headers), browser)


async def timed(request: httpx2.Request, browser: httpx2.AsyncClient) -> Answer:
    began = time.monotonic()
    try:
        status: int | str = (await browser.send(request)).status_code
    except httpx2.TransportError as error:
        status = type(error).__name__
    return status, time.monotonic() - began


async def a_crowd(base_url: str, count: int) -> list[Answer]:
    """Members who read their own pages, and strangers who read and ask for resets, all at once."""
    share = count // (len(MEMBERS) + 2)
    members = [member(base_url, number, share) for number in range(len(MEMBERS))]
    strangers = [stranger(base_url, number, (count - share * len(MEMBERS)) // 2) for number in range(2)]
    return [answer for answers in await asyncio.gather(*members, *strangers) for answer in answers]


async def member(base_url: str, number: int, count: int) -> list[Answer]:
    name = MEMBERS[number]
    answers: list[Answer] = []
    async with client(base_url, network(number + 60_000)) as browser:
        entered = await browser.post("/login", data={"username": name, "password": PASSWORD})
        assert entered.status_code == 303, entered.text
        for turn in range(count):
            began = time.monotonic()
            page = await browser.get(["/edit_profile", "/", f"/user/{name}", "/sessions"][turn % 4])
            assert not (set(re.findall(r"member\d", page.text)) - {name}), "another's name is on the page"
            assert page.status_code != 200 or name in page.text
            answers.append((page.status_code, time.monotonic() - began))
    return answers


async def stranger(base_url: str, number: int, count: int) -> list[Answer]:
    async with client(base_url, network(number + 70_000)) as browser:
        answers: list[Answer] = []
        for turn in range(count):
            if turn % 3:
                answers.append(
                    await timed(browser.build_request("GET", ["/explore", "/user/nobody"][turn % 2]), browser)
                )
            else:
                answers.append(await reset(browser, number * 1_000_000 + 100_000 + turn))
    return answers


@asynccontextmanager
async def client(base_url: str, address: str) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"x-forwarded-for": address, "user-agent": "a browser"}
    async with httpx2.AsyncClient(base_url=base_url, headers=headers, timeout=60, verify=False) as browser:
        yield browser


def network(number: int) -> str:
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
