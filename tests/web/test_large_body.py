"""A form with a large file is taken onto the disk, a few at a time, and refused as other forms are."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from tests.depth import deep
from tests.sites import Site
from tests.wire import connected, head, said, serving
from webapp.web.large_body import AROUND, LargeBody, Upload
from webapp.web.request_body import Patience

HOST = "blog.example"
MOST = 3_000_000
QUICK = Patience(max_seconds=10, start_seconds=1.5, bytes_per_second=64 * 1024)
START = b'--x\r\nContent-Disposition: form-data; name="archive"; filename="a"\r\n\r\n'
END = b"\r\n--x--\r\n"


async def describing(scope: Scope, receive: Receive, send: Send) -> None:
    form = scope["state"].get("upload")
    file = form["archive"] if form else None
    seen = file and {"size": file.size, "is on the disk": file.file._rolled}
    await JSONResponse(seen)(scope, receive, send)


def expected(request: Request) -> Upload | None:
    whose = request.headers.get("x-whose")
    return None if whose is None else Upload(whose, MOST)


@contextmanager
def taking(site: Site, wait_seconds: float = 30, patience: Patience = QUICK) -> Iterator[int]:
    large = LargeBody(describing, expected, patience, wait_seconds)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope.update(app=site.app, state={"request_id": "x"})
        await large(scope, receive, send)

    with serving(site, app) as port:
        yield port


def started(length: int | None, whose: str = "susan") -> bytes:
    size = f"Content-Length: {length}" if length is not None else "Transfer-Encoding: chunked"
    return head("POST", "/", HOST, "Content-Type: multipart/form-data; boundary=x", f"x-whose: {whose}", size,
                "Connection: close")  # fmt: skip


def sent(size: int, whose: str = "susan") -> bytes:
    body = START + b"x" * size + END
    return started(len(body), whose) + body


def status_of(port: int, request: bytes) -> int:
    with connected(port, request) as connection:
        return int(said(connection).split(b" ", 2)[1])


def test_a_file_arrives_on_the_disk(site: Site) -> None:
    with taking(site) as port, connected(port, sent(MOST)) as connection:
        body = said(connection).partition(b"\r\n\r\n")[2]

    assert json.loads(body) == {"size": MOST, "is on the disk": True}


CHUNK = b"%x\r\n" % (MOST + AROUND + 1)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (started(MOST + AROUND + 1), 413),
        (started(None) + CHUNK + START + b"x" * (MOST + AROUND + 1 - len(START)), 413),
        (started(1000) + START, 408),
        (started(4) + b"oops", 400),
        (started(len(START)) + START, 400),
        (started(MOST, whose=""), 200),  # the application says that nobody may
    ],
    ids=["large", "large, unsaid", "half", "no form", "cut off", "nobody's"],
)
@deep
def test_what_is_not_a_whole_form_is_refused(site: Site, request_: bytes, status: int) -> None:
    with taking(site) as port:
        assert status_of(port, request_) == status


@pytest.mark.parametrize("is_said", [True, False], ids=["said", "unsaid"])
@deep
def test_who_sends_too_large_a_file_reads_why(site: Site, is_said: bool) -> None:
    """C46: the kernel would take back an answer that is given while the rest is still on its way."""
    size = 3 * MOST
    with taking(site) as port, connected(port, started(size if is_said else None)) as connection:
        connection.sendall((b"" if is_said else b"%x\r\n" % size) + START + b"x" * (size // 2))
        time.sleep(0.3)
        connection.sendall(b"x" * (size - size // 2 - len(START)) + (b"" if is_said else b"\r\n0\r\n\r\n"))
        answer = said(connection)

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"<h1" in answer


def test_who_asks_before_sending_too_large_a_file_is_told_at_once(site: Site) -> None:
    asking = started(MOST + AROUND + 1).replace(b"Connection: close", b"Expect: 100-continue\r\nConnection: close")
    with taking(site, patience=Patience()) as port, connected(port, asking) as connection:
        assert said(connection).startswith(b"HTTP/1.1 413 ")


def test_two_at_once_and_one_for_each_person(site: Site) -> None:
    patient = Patience(start_seconds=30, max_seconds=30)
    with taking(site, wait_seconds=0.2, patience=patient) as port, connected(port, started(1000) + START):
        again = status_of(port, sent(10))
        other = status_of(port, sent(10, "david"))
        with connected(port, started(1000, "erin") + START):
            third = status_of(port, sent(10, "david"))

    assert (again, other, third) == (503, 200, 503)


def test_whoever_waits_comes_in_once_another_is_gone(site: Site) -> None:
    """As when a button is pressed twice: the browser hangs up on the first."""
    with taking(site, patience=Patience()) as port:
        with connected(port, started(1000) + START):
            assert status_of(port, sent(10, "david")) == 200, "susan's has begun"
        again = status_of(port, sent(10))

    assert again == 200
