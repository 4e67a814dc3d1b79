"""A site behind the server that runs it in production, and visitors who speak to it byte by byte."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from tests.sites import Site

PATIENCE = 30.0


@contextmanager
def serving(site: Site, app: ASGIApp | None = None, **options: Any) -> Iterator[int]:
    """The port on which the running site, or another application beside it, answers over real sockets meanwhile."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        settings: dict[str, Any] = {"lifespan": "off", "log_config": None, "proxy_headers": False} | options
        server = uvicorn.Server(uvicorn.Config(app or site.app, **settings))
        assert site.portal is not None
        served = site.portal.start_task_soon(server.serve, [listening])
        deadline = time.monotonic() + PATIENCE
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        port: int = listening.getsockname()[1]
        try:
            yield port
        finally:
            server.should_exit = True
            served.result(PATIENCE)


@contextmanager
def connected(port: int, sent: bytes) -> Iterator[socket.socket]:
    """A connection on which this much was sent, and which then waits."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(sent)
        yield connection


def said(connection: socket.socket) -> bytes:
    """All that the server says until it hangs up."""
    answer = b""
    while piece := connection.recv(65536):
        answer += piece
    return answer


def is_silent(connection: socket.socket) -> bool:
    """Whether the server has neither answered nor hung up so far."""
    connection.setblocking(False)
    try:
        connection.recv(1)
    except BlockingIOError:
        return True
    finally:
        connection.settimeout(PATIENCE)
    return False


def head(method: str, path: str, host: str, *lines: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode("latin-1")
