"""No visitor takes all of a proxy's connections, however many addresses of an IPv6 network there are."""

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.mailserver import Certificates
from tests.neighbours.proxies import Neighbourhood, migrated, neighbourhood

pytestmark = pytest.mark.neighbours
MOST, MOST_OF_WIDER = 20, 60  # less than shipped: a busy machine takes long to open 400
HALF_A_FORM = "POST /login HTTP/1.1\r\nHost: {host}\r\nContent-Length: 9\r\n\r\nuser"
CONTEXT = ssl._create_unverified_context()
PAGE = "GET /login HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
# Whom a proxy takes for one visitor: where they come from, and how many of them there may be.
CROWDS: dict[str, tuple[Callable[[int], str], int]] = {
    "IPv4": (lambda number: "198.51.100.7", MOST),
    "an IPv6 /64": (lambda number: f"2001:db8:1:2:{number:x}::{number:x}", MOST),
    "an IPv6 /64 that ends in zeros": (lambda number: f"2001:db8::{number:x}:0:0:1", MOST),
    "an IPv6 /48": (lambda number: f"2001:db8:5:{number:x}::1", MOST_OF_WIDER),
}
OTHERS = ["198.51.100.8", "2001:db8:6:2::1"]


@pytest.fixture(scope="module", params=["nginx", "haproxy"])
def around(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[Neighbourhood]:
    """The shipped proxy, told by each connection where it comes from (the PROXY protocol)."""
    folder = tmp_path_factory.mktemp(request.param)
    with neighbourhood(request.param, folder, migrated(folder), certificates, is_told=True) as started:
        yield started


@pytest.mark.parametrize(("address", "most"), CROWDS.values(), ids=CROWDS.keys())
def test_one_visitor_leaves_room_for_others(around: Neighbourhood, address: Callable[[int], str], most: int) -> None:
    with ExitStack() as open_ones:
        refused = 0
        for number in range(1, most + 21):
            try:
                connection = open_ones.enter_context(connected(around, address(number), HALF_A_FORM))
                connection.settimeout(0.2 if number > most else 0.001)
                said(connection)
            except TimeoutError:
                continue  # it waits for the rest of the form
            except OSError:
                pass
            refused += 1
        began = time.monotonic()
        pages = [answered(around, other) for other in OTHERS]

        assert 15 <= refused <= 20
        assert all("200" in page for page in pages)
        assert time.monotonic() - began < 8


def answered(around: Neighbourhood, address: str) -> str:
    with connected(around, address, PAGE) as connection:
        connection.settimeout(20)
        return said(connection)


def said(connection: ssl.SSLSocket) -> str:
    """The first line of an answer; empty if the proxy hung up."""
    return connection.recv(4096).decode(errors="replace").partition("\r\n")[0]


@contextlib.contextmanager
def connected(around: Neighbourhood, address: str, request: str) -> Iterator[ssl.SSLSocket]:
    """A connection from an address, on which so much was said."""
    kind, to = ("TCP6", "::1") if ":" in address else ("TCP4", "127.0.0.1")
    with socket.create_connection(("127.0.0.1", around.ground.port), 20) as plain:
        plain.sendall(f"PROXY {kind} {address} {to} 40000 443\r\n".encode())
        with CONTEXT.wrap_socket(plain, server_hostname="localhost") as secured:
            secured.sendall(request.format(host=around.base_url.partition("://")[2]).encode())
            yield secured
