"""A form that comes slowly keeps nobody waiting but the one who sends it."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from socket import socket
from typing import Any

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from tests.depth import deep, one_in
from tests.sites import Site
from tests.stories import forget_and_find_link, log_in, register
from tests.test_sweeps import ROUTES, path_of
from tests.watching import standing_site
from tests.wire import connected, head, is_silent, said, serving
from webapp.web.request_body import Patience, WholeBody

HOST = "blog.example"
POSTS = [route.name for route in ROUTES if "POST" in (route.methods or ())]
FORM = ("Content-Type: application/x-www-form-urlencoded", "Content-Length: 100")
AT_ONCE = 6
QUICK = Patience(max_seconds=1.5, start_seconds=0.4, bytes_per_second=500)
PATIENT = Patience(max_seconds=30, start_seconds=1.5, bytes_per_second=500)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def site(
    request: pytest.FixtureRequest, migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A site with susan, who is an admin, and with david; on each kind of database."""
    url = {} if request.param == "sqlite" else {"database_url": request.getfixturevalue("standing_postgres_url")}
    folder = tmp_path_factory.mktemp("half sent")
    with standing_site(migrated_sqlite, folder, admins=("susan@example.com",), **url) as site:
        assert site.mailbox
        register(site.browser(), site.mailbox)
        register(site.browser(), site.mailbox, "david")
        site.app.state.link = forget_and_find_link(site.browser(), site.mailbox)
        yield site


@pytest.fixture(scope="module")
def port(site: Site) -> Iterator[int]:
    with serving(site) as port:
        yield port


@pytest.fixture(scope="module")
def cookie(site: Site) -> str:
    browser = site.browser()
    log_in(browser)
    browser.post("/", data={"body": "Hello."})
    return "Cookie: " + "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.cookies.jar)


@one_in(2)
def test_half_a_form_keeps_nobody_else_waiting(site: Site, port: int, cookie: str) -> None:
    """C63: on no route; and susan's session, her admin's rights and a good link come with each.

    A few routes at a time, for each form is waited for five seconds at least.
    """
    for start in range(0, len(POSTS), AT_ONCE):
        some = POSTS[start : start + AT_ONCE]
        halves = {name: head("POST", path_of(site, name), HOST, cookie, *FORM) + b"body=x&email=y" for name in some}
        written, read, gone = while_they_wait(site, port, halves)

        assert (written, read) == (303 if not start else 429, 200), "the second email to one address is too early"
        assert gone == [], "each of the slow ones may still go on: nobody has waited for them"


def while_they_wait(site: Site, port: int, halves: dict[str, bytes]) -> tuple[int, int, list[str]]:
    """How somebody else is answered while these come slowly, and which of them were not waited for any more."""
    headers = {"host": HOST, "x-forwarded-for": "198.51.100.1"}
    slow: dict[str, list[socket]] = {}
    pool = site.app.state.database.engine.pool
    with ExitStack() as stack:
        for name, half in halves.items():
            slow[name] = [stack.enter_context(connected(port, half)) for _ in range(2)]
            time.sleep(0.02)
            assert wait_until_free(pool), f"{name} holds a connection to the database"
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30) as other:
            written = other.post("/register", data={"email": "other@example.com"})
            read = other.get("/explore")
        gone = [name for name, connections in slow.items() if not all(map(is_silent, connections))]
    return written.status_code, read.status_code, gone


def wait_until_free(pool: Any) -> bool:
    """Whether nobody has a connection any more; the mailer and whoever just logged in have their turns, too."""
    deadline = time.monotonic() + 3
    while pool.checkedout() and time.monotonic() < deadline:
        time.sleep(0.005)
    return not pool.checkedout()


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
@deep
def test_a_form_that_stays_away_is_answered_and_hung_up_on(site: Site, port: int) -> None:
    """C63"""
    with connected(port, head("POST", "/login", HOST, *FORM) + b"username=susan") as connection:
        began = time.monotonic()
        answer = said(connection)

    assert 4 < time.monotonic() - began < 15
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"t arrive in time" in answer


async def counting(scope: Scope, receive: Receive, send: Send) -> None:
    body = await Request(scope, receive).body()
    await PlainTextResponse(f"{len(body)} bytes")(scope, receive, send)


def trickled(port: int, size: int, piece: int, pause: float) -> bytes:
    """The answer to a body that comes in pieces, or to as much of it as was let in."""
    start = head("POST", "/", HOST, f"Content-Length: {size}", "Connection: close")
    with connected(port, start) as connection:
        for _ in range(0, size, piece):
            if not is_silent(connection):
                break
            connection.sendall(b"x" * piece)
            time.sleep(pause)
        return said(connection)


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("patience", "size", "piece", "pause", "status"),
    [
        (PATIENT, 2000, 100, 0.1, b"200"),  # 1,000 bytes a second, for longer than any form is waited for
        (QUICK, 1000, 10, 0.05, b"408"),  # 200
        (QUICK, 60_000, 500, 0.05, b"408"),  # 10,000, but for six seconds
        (PATIENT, 5000, 5000, 0, b"200"),
    ],
    ids=["steady", "a trickle", "endless", "at once"],
)
@deep
def test_a_body_is_waited_for_as_long_as_it_comes(
    site: Site, patience: Patience, size: int, piece: int, pause: float, status: bytes
) -> None:
    """C63, with a patience of a few moments."""

    async def impatient(scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = site.app
        await WholeBody(counting, patience)(scope, receive, send)

    with serving(site, impatient) as port:
        answer = trickled(port, size, piece, pause)

    assert answer.split(b" ", 2)[1] == status
    assert (f"{size} bytes".encode() in answer) == (status == b"200")


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
@pytest.mark.parametrize("size", [100_000, 900_000])
@deep
def test_who_sends_somewhat_too_much_reads_why(site: Site, port: int, size: int) -> None:
    """C46: the kernel would take back an answer that is given while the rest is still on its way."""
    start = head("POST", "/login", HOST, FORM[0], f"Content-Length: {size}", "Connection: close")
    with connected(port, start + b"x" * (size // 2)) as connection:
        time.sleep(0.3)
        connection.sendall(b"x" * (size // 2))
        answer = said(connection)

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"<h1" in answer
