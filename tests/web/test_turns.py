"""However many requests one client IP sends, a neighbour waits for what is at work and one of each client IP (C65)."""

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from threading import Event
from typing import Any

import pytest
from sqlalchemy import text
from starlette.types import Message

from tests.depth import deep
from tests.sites import Browser, Site
from tests.stories import log_in
from webapp.database import Database, execute
from webapp.fair_queue import MAX_WAIT_SECONDS
from webapp.web.database_session import MOST_BY_ANYBODY
from webapp.web.forms import FORM_ID
from webapp.web.front import MOST_AT_WORK

CROWD = 6 * MOST_AT_WORK
THEIRS, HERS = "198.51.100.7", "203.0.113.9"


class Request:
    """A request as the server hands it to the site, and what came back."""

    def __init__(self, path: str = "/explore", client_ip: str = THEIRS, form: bytes = b"") -> None:
        self.status, self.headers, self.page = 0, dict[bytes, bytes](), b""
        self.read = asyncio.Event()
        self.read.set()
        self.has_left = False
        self._coming = asyncio.Queue[Message]()
        self._scope = scope(path, client_ip, form)
        if form != HALF_SENT:
            self._coming.put_nowait({"type": "http.request", "body": form, "more_body": False})

    async def of(self, site: Site) -> "Request":
        await site.app(self._scope, self._receive, self._send)
        return self

    async def _receive(self) -> Message:
        return {"type": "http.disconnect"} if self.has_left else await self._coming.get()

    async def _send(self, message: Message) -> None:
        await self.read.wait()
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
        else:
            self.page += message["body"]


HALF_SENT = b"half sent"


def scope(path: str, client_ip: str, form: bytes) -> dict[str, Any]:
    headers = [(b"host", b"blog.example"), (b"x-forwarded-for", client_ip.encode())]
    if form:
        length = str(100 if form == HALF_SENT else len(form)).encode()
        headers += [(b"content-type", b"application/x-www-form-urlencoded"), (b"content-length", length)]
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "POST" if form else "GET",
        "scheme": "https",
        "server": ("blog.example", 443),
        "client": ("127.0.0.1", 1),
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [*headers, (b"sec-fetch-site", b"same-origin")],
    }


async def begun(site: Site, *requests: Request) -> list[asyncio.Task[Request]]:
    """The requests, once each has come as far as it gets by itself."""
    tasks = [asyncio.create_task(request.of(site)) for request in requests]
    await far_enough()
    return tasks


async def far_enough() -> None:
    for _time in range(50):
        await asyncio.sleep(0)


@asynccontextmanager
async def all_connections(database: Database) -> AsyncIterator[None]:
    """Holds each of the process's connections meanwhile, and leaves them open: to open one takes a while."""
    async with AsyncExitStack() as held:
        for _number in range(1 if database.is_sqlite else 8):
            await held.enter_async_context(database.engine.connect())
        yield


@pytest.mark.parametrize("theirs", [THEIRS, "2001:db8:1::/48"], ids=["one address", "a whole /48"])
@deep
def test_a_neighbour_is_not_behind_the_whole_crowd(any_site: Site, theirs: str) -> None:
    order: list[str] = []

    async def ask(client_ip: str) -> None:
        await Request(client_ip=client_ip).of(any_site)
        order.append(client_ip)

    async def work() -> None:
        crowd = [f"2001:db8:1:{number:x}::1" if "/" in theirs else theirs for number in range(CROWD)]
        async with all_connections(any_site.app.state.database):
            everybody = [asyncio.create_task(ask(client_ip)) for client_ip in (*crowd, HERS)]
            await far_enough()
        await asyncio.gather(*everybody)

    any_site.run(work)

    assert order.index(HERS) <= 3 * MOST_AT_WORK, "who is at work, and who is meanwhile"


@deep
def test_who_waits_for_a_turn_holds_no_place_at_the_database(any_site: Site) -> None:
    """And what asks no database is there meanwhile."""
    database = any_site.app.state.database

    async def work() -> tuple[bool, int, list[int]]:
        async with all_connections(database):
            crowd = await begun(any_site, *(Request() for _number in range(CROWD)))
            waiting = database.waits.waiting
            alive = await Request("/health").of(any_site)
        return (
            MOST_AT_WORK <= waiting < CROWD / 2,
            alive.status,
            [request.status for request in await asyncio.gather(*crowd)],
        )

    assert any_site.run(work) == (True, 200, [200] * CROWD)


@deep
@pytest.mark.parametrize("slow", ["half-sent forms", "unread pages"])
def test_whoever_sends_or_reads_slowly_has_no_turn(site: Site, slow: str) -> None:
    async def work() -> int:
        is_form = slow == "half-sent forms"
        requests = [Request("/login", form=HALF_SENT) if is_form else Request() for _number in range(CROWD)]
        for request in requests:
            request.read.clear()
        crowd = await begun(site, *requests)
        hers = await asyncio.wait_for(Request(client_ip=HERS).of(site), 20)
        for task in crowd:
            task.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)
        return hers.status

    assert site.run(work) == 200


@pytest.mark.parametrize("what", ["a hash", "another of the same name", "an earlier press"])
@deep
def test_whoever_waits_for_something_slow_has_no_turn(site: Site, what: str) -> None:
    hashed, count = Event(), MOST_AT_WORK + 8

    def wait(_run: str) -> None:
        hashed.wait(30)

    site.argon2.meanwhile = wait
    visitors = [site.browser(THEIRS, follow_redirects=False) for _number in range(count)]

    def come(number: int) -> int:
        name = f"person{number}" if what == "a hash" else "susan"
        press = {FORM_ID: f"{number % 3:022}"} if what == "an earlier press" else {}
        return log_in(visitors[number], name, **press).status_code

    with ThreadPoolExecutor(count + 1) as people:
        crowd = people.map(come, range(count))
        while not site.argon2.runs:
            time.sleep(0.01)
        try:
            hers = people.submit(site.browser(HERS).get, "/explore").result(10)
        finally:
            hashed.set()
        statuses = set(crowd)

    assert hers.status_code == 200
    assert statuses <= {422, 429, 503}


@deep
def test_whoever_has_waited_too_long_is_told_so_and_nobody_else(site: Site) -> None:
    answered: list[Request] = []

    async def work() -> None:
        async with site.app.state.database.session() as db:
            await execute(db, text("SELECT 1"))
            form = Request("/login", form=b"username=susan&password=a%20guess")
            crowd = await begun(site, *(Request() for _number in range(MOST_AT_WORK + 3)), form)
            await asyncio.sleep(MAX_WAIT_SECONDS + 0.3)
            (hers,) = await begun(site, Request(client_ip=HERS))
        answered.extend(await asyncio.gather(*crowd, hers))

    site.run(work)
    *crowd, hers = answered

    late = crowd[MOST_AT_WORK:]
    assert [request.status for request in crowd] == [200] * MOST_AT_WORK + [503] * 4
    assert {request.headers[b"retry-after"] for request in late} == {b"5"}
    assert all(b"The site is busy" in request.page for request in late)
    assert hers.status == 200


@deep
def test_whoever_has_waited_too_long_for_another_request_is_told_so(site: Site) -> None:
    """Or of ten who ask for an email while the database is frozen, the last would wait for all before."""
    forms = [f"email=person{number}%40example.com".encode() for number in range(MOST_BY_ANYBODY + 3)]

    async def work() -> list[int]:
        async with site.app.state.database.session() as db:
            await execute(db, text("SELECT 1"))
            crowd = await begun(site, *(Request("/reset_password_request", form=form) for form in forms))
            await asyncio.sleep(MAX_WAIT_SECONDS + 0.5)
        return [request.status for request in await asyncio.gather(*crowd)]

    assert site.run(work) == [303] * MOST_BY_ANYBODY + [503] * 3


@deep
def test_a_crowd_on_one_name_waits_for_a_frozen_database_once(site: Site) -> None:
    """Or each would wait for it after all before, and in vain, too."""
    hashed, count = Event(), 4
    visitors = [site.browser(THEIRS, follow_redirects=False) for _number in range(count)]
    only_connection = site.app.state.database.session()

    def wait(_run: str) -> None:
        hashed.wait(30)

    async def freeze() -> None:
        await execute(await only_connection.__aenter__(), text("SELECT 1"))

    def come(visitor: Browser) -> tuple[int, float]:
        status = log_in(visitor).status_code
        return status, time.monotonic()

    site.argon2.meanwhile = wait
    with ThreadPoolExecutor(count) as people:
        crowd = people.map(come, visitors)
        while not site.argon2.runs:
            time.sleep(0.01)
        time.sleep(1)  # until the others wait for the first
        site.run(freeze)
        began = time.monotonic()
        hashed.set()
        answered = [(status, at - began) for status, at in crowd]
    site.run(only_connection.__aexit__, None, None, None)

    assert {status for status, _seconds in answered} <= {422, 503}
    assert max(seconds for _status, seconds in answered) < 15, answered


@deep
def test_nothing_is_done_for_whoever_leaves_while_waiting(site: Site) -> None:
    async def work() -> int:
        async with site.app.state.database.session() as db:
            await execute(db, text("SELECT 1"))
            requests = [Request() for _number in range(CROWD)]
            crowd = await begun(site, *requests)
            for request in requests[MOST_AT_WORK:]:
                request.has_left = True
            for task in crowd[-5:]:
                task.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)
        return (await Request(client_ip=HERS).of(site)).status

    status = site.run(work)

    counts = site.app.state.requests.counts
    assert status == 200
    assert counts["/explore", "GET", 200] == MOST_AT_WORK + 1
    assert counts["none", "GET", 400] == CROWD - MOST_AT_WORK - 5
