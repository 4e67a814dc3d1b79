"""A head that comes slowly, or does not end, is not waited for; with uvicorn as the Procfile starts it."""

import asyncio
import contextlib
import functools
import logging
import re
import socket
import struct
import time
from collections.abc import Iterator
from http.client import HTTPResponse

import pytest
from starlette.types import Receive, Scope, Send

from tests.depth import deep, one_in
from tests.sites import Site
from tests.wire import connected, head, said, serving
from webapp.settings import ROOT
from webapp.web.protocol import MAX_BYTES, MOST_PIPELINED, BoundedProtocol
from webapp.web.request_head import HOW_TO_START

HOST = "blog.example"


@pytest.fixture
def port(site: Site) -> Iterator[int]:
    with serving(site, http=functools.partial(BoundedProtocol, max_seconds=1.0)) as port:
        yield port


@pytest.mark.parametrize("begun", [b"", b"\r\n", b"GET /lo", b"GET /login HTTP/1.1\r\nHost: blog.example\r\nX: "])
@deep
def test_a_head_that_does_not_come_is_not_waited_for(port: int, begun: bytes) -> None:
    """C50: nor one that comes a byte at a time."""
    with connected(port, begun) as connection:
        began = time.monotonic()
        for _ in range(100):
            try:
                connection.sendall(b"\n" if begun in {b"", b"\r\n"} else b"x")
            except OSError:
                break
            time.sleep(0.1)

    assert 0.7 < time.monotonic() - began < 8


@deep
def test_a_second_head_is_not_waited_for_either(port: int) -> None:
    with connected(port, head("GET", "/health", HOST) + b"GET /hea") as connection:
        began = time.monotonic()
        answer = said(connection)

    assert answer.count(b"HTTP/1.1 200 OK") == 1
    assert 0.7 < time.monotonic() - began < 15  # uvicorn's own wait for another request comes first


class AnswersWhole(BoundedProtocol):
    """Has written all its answers before anybody reads, and then wants to hang up."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(10**9)


@deep
@pytest.mark.parametrize("kind", [BoundedProtocol, AnswersWhole])
def test_whoever_reads_no_answer_is_hung_up_on(site: Site, kind: type[BoundedProtocol]) -> None:
    """C50: or thousands would, and no socket be left for anybody else."""
    stylesheet = re.findall(r'href="(/static/[^"]+[.]css)"', site.browser().get("/login").text)[0]
    protocol = functools.partial(kind, max_unread_seconds=0.5, most_pipelined=300)
    asked, last, is_open = head("GET", stylesheet, HOST), head("GET", stylesheet, HOST, "Connection: close"), True
    with serving(site, http=protocol) as port, connected(port, asked * 300 + last) as deaf:
        for byte in asked * 5:
            try:
                deaf.sendall(bytes([byte]))
            except OSError:
                is_open = False
                break
            time.sleep(0.05)

    assert not is_open


def test_few_requests_wait_on_one_connection(port: int) -> None:
    """C50: uvicorn would keep thousands, each in a hundred times its size."""
    asked, last = head("GET", "/health", HOST), head("GET", "/health", HOST, "Connection: close")
    with connected(port, asked * MOST_PIPELINED + last) as connection:
        few = said(connection)
    with connected(port, asked * (MOST_PIPELINED + 1) + last) as connection:
        many = said(connection)

    assert few.count(b"HTTP/1.1 200 OK") == MOST_PIPELINED + 1
    assert many.startswith(b"HTTP/1.1 400")


@deep
def test_whoever_hangs_up_with_more_requests_waiting_is_not_worked_for(site: Site) -> None:
    """uvicorn told only the last of them, and on its usual event loop the first then filled the log with a trace."""
    asked: list[str] = []
    told: list[str] = []

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(scope["path"])
        await receive()
        await asyncio.sleep(0.2)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]})
        for _byte in range(2):  # to notice
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            await asyncio.sleep(0.1)
        told.append((await asyncio.wait_for(receive(), 5))["type"])

    with serving(site, slow, http=BoundedProtocol) as port:
        with connected(port, b"".join(head("GET", path, HOST) for path in ("/1", "/2", "/3"))) as connection:
            while not asked:
                time.sleep(0.01)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, no farewell
        deadline = time.monotonic() + 10
        while not told and time.monotonic() < deadline:
            time.sleep(0.01)

    assert (asked, told) == (["/1"], ["http.disconnect"])


def test_an_endless_head_is_cut_off(port: int) -> None:
    sent = 0
    with connected(port, b"GET /login HTTP/1.1\r\nX: ") as connection:
        try:
            while sent < 50 * MAX_BYTES:
                connection.sendall(b"a" * 10_000)
                sent += 10_000
        except OSError:
            pass

    assert sent < 50 * MAX_BYTES


@deep
def test_what_comes_in_time_is_answered(site: Site) -> None:
    """Also in pieces, with the largest body there may be, and again and again on one connection, which takes longer."""
    max_seconds = 6.0
    body = b"username=" + b"a" * 40_000
    form = head(
        "POST", "/login", HOST, "Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(body)}"
    )
    bounded = functools.partial(BoundedProtocol, max_seconds=max_seconds)
    began = time.monotonic()
    with serving(site, http=bounded) as port, connected(port, b"") as connection:
        for _ in range(6):
            for piece in (form[:20], form[20:] + body[:100], body[100:]):
                connection.sendall(piece)
                time.sleep(0.3)
            assert status_of_whole_answer(connection) == 422
            time.sleep(0.3)
    assert time.monotonic() - began > max_seconds


def test_what_follows_a_body_is_no_header(port: int) -> None:
    """C69: proxies that know nothing of trailers pass them on, also X-Forwarded-For."""
    request = "POST /login HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    with connected(port, f"{request}0\r\nHost: {HOST}\r\n\r\n".encode()) as connection:
        answer = said(connection)

    assert answer.startswith(b"HTTP/1.1 400")


# Where two servers in a row could each see another end of the request, and the rest would be somebody else's next one.
TWO_READINGS = [
    "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "Content-Length: 0\r\nContent-Length: 44\r\n\r\n",
    "Content-Length: 0, 44\r\n\r\n",
    "Content-Length: +0\r\n\r\n",
    "Transfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "Transfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "Transfer-Encoding: chunked\r\n\r\n0;x=\n\r\n\r\n",
    "Transfer-Encoding: chunked\r\n\r\n1\r\nZZ\r\n0\r\n\r\n",
    "Transfer-Encoding: chunked\n\n0\n\n",
]


def test_a_request_that_could_be_read_in_two_ways_is_refused_and_nothing_behind_it_is_read(port: int) -> None:
    """C69: nor is one that says its host twice."""
    behind, answers = head("GET", "/health", HOST), {}
    for rest in [*TWO_READINGS, f"Host: {HOST}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"]:
        begun = f"POST /login HTTP/1.1\r\nHost: {HOST}\r\n{rest}".encode()
        with connected(port, begun + behind) as connection:
            answers[rest] = re.findall(rb"^HTTP/1.1 (\d+)", said(connection), re.MULTILINE)

    assert [rest for rest, answered in answers.items() if answered != [b"400"]] == []


@one_in(2)
@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        (f"http://{HOST}/login", HOST, 200),
        (f"http://{HOST}/login", "evil.example", 200),
        ("http://evil.example/login", HOST, 400),
        (f"http://susan@{HOST}/login", HOST, 400),
        (f"http://{HOST}.evil.example?/login", HOST, 400),
        (f"/login?next=http://{HOST}/", "evil.example", 400),
    ],
)
def test_the_host_is_the_one_that_the_target_names(port: int, target: str, host: str, status: int) -> None:
    """C09: a cache in front keeps an answer for that one, whatever Host says."""
    with connected(port, head("GET", target, host, "Connection: close")) as connection:
        assert status_of_whole_answer(connection) == status


OTHER_PROTOCOLS = {
    "a web socket": ["POST /login HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket"],
    "HTTP/2": ["POST /login HTTP/1.1", "Connection: keep-alive, upgrade", "Upgrade: h2c"],
    "nothing known": ["GET /login HTTP/1.1", "Connection: Upgrade", "Upgrade: nothing"],
    "a tunnel": ["CONNECT /login HTTP/1.1"],
}


@pytest.mark.parametrize("lines", OTHER_PROTOCOLS.values(), ids=OTHER_PROTOCOLS.keys())
@pytest.mark.parametrize("form", ["as it is", "in chunks"])
@pytest.mark.parametrize("kind", [BoundedProtocol, "auto"], ids=["our server", "another"])
@deep
def test_a_body_behind_a_wish_for_another_protocol_is_no_request(
    site: Site, lines: list[str], form: str, kind: type[BoundedProtocol] | str
) -> None:
    """C69: the parser skips such a body, so a proxy's next visitor would get the answer to what is hidden in it."""
    hidden = head("GET", "/health", HOST)
    length = f"Content-Length: {len(hidden)}" if form == "as it is" else "Transfer-Encoding: chunked"
    body = hidden if form == "as it is" else f"{len(hidden):x}\r\n{hidden.decode()}\r\n0\r\n\r\n".encode()
    begun = "\r\n".join([*lines, f"Host: {HOST}", length, "", ""]).encode()

    with serving(site, http=kind) as port, connected(port, begun) as connection:
        time.sleep(0.3)
        answer = b""
        with contextlib.suppress(OSError):  # it may hang up before it has read what it refuses
            connection.sendall(body)
            while piece := connection.recv(65536):
                answer += piece

    assert answer.startswith(b"HTTP/1.1 4")
    assert answer.count(b"HTTP/1.1 ") == 1


def status_of_whole_answer(connection: socket.socket) -> int:
    answer = HTTPResponse(connection)
    answer.begin()
    answer.read()
    return answer.status


STARTED = [
    "Procfile",
    "README.md",
    "docs/deploy/README.md",
    "docs/deploy/microblog.service",
    "docs/deploy/Containerfile",
]


@pytest.mark.parametrize("file", STARTED)
def test_every_command_line_that_is_given_starts_the_site_so(file: str) -> None:
    """What the Procfile's own does, tests/web/test_client_ip.py and tests/reliability try."""
    text = (ROOT / file).read_text().replace("\\\n", " ")
    of_uvicorn = [line for line in text.splitlines() if "uvicorn --factory webapp.app:create_app" in line]

    assert of_uvicorn or "python -m webapp.server" in text
    assert all("--http webapp.web.protocol:BoundedProtocol" in line for line in of_uvicorn)
    assert all("--no-proxy-headers" in line and "--no-access-log" in line for line in of_uvicorn)


def test_a_server_without_those_bounds_is_told_of_once(site: Site, port: int, caplog: pytest.LogCaptureFixture) -> None:
    """C69: with uvicorn as it comes, heads have no end."""
    with caplog.at_level(logging.WARNING, "webapp.requests"):
        answers = [get_health(port)]
        with serving(site) as unbounded:
            answers += [get_health(unbounded), get_health(unbounded)]

    told = [record for record in caplog.records if record.message == "unbounded_server"]
    assert answers == [200, 200, 200]
    assert [record.fields for record in told] == [{"start_it_with": HOW_TO_START}]  # type: ignore[attr-defined]


def test_gunicorns_worker_reads_requests_as_the_procfiles_server_does() -> None:
    text = (ROOT / "docs" / "deploy" / "gunicorn.conf.py").read_text()

    assert f'"http": "{HOW_TO_START.partition(" ")[2]}"' in text
    assert '"proxy_headers": False' in text


@deep
def test_under_another_server_a_body_says_its_length_first(site: Site) -> None:
    """C69: only behind one that doesn't may there be trailers, and that server may take them for headers."""
    guess = b"username=susan&password=a%20guess"
    lines = (f"Host: {HOST}", "X-Forwarded-For: 203.0.113.66", FORM, "Connection: close")
    chunked = f"{len(guess):x}\r\n".encode() + guess + b"\r\n0\r\nX-Forwarded-For: 198.51.100.1\r\n\r\n"
    with serving(site) as port:
        with connected(port, said_by("Transfer-Encoding: chunked", *lines) + chunked) as connection:
            refused = said(connection)
        with connected(port, said_by(f"Content-Length: {len(guess)}", *lines) + guess) as connection:
            read = said(connection)

    assert (refused.split()[1], read.split()[1]) == (b"411", b"422")


FORM = "Content-Type: application/x-www-form-urlencoded"


def said_by(*lines: str) -> bytes:
    return "\r\n".join(["POST /login HTTP/1.1", *lines, "", ""]).encode()


def get_health(port: int) -> int:
    with connected(port, head("GET", "/health", HOST)) as connection:
        return status_of_whole_answer(connection)
