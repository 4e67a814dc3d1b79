"""Reads the whole body of a request before anything else is done, and never waits long."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from webapp.fair_queue import MAX_WAIT_SECONDS, Busy, outside, seconds_waited
from webapp.web import errors

MAX_BYTES = 64 * 1024
MAX_DISCARDED = 1024 * 1024  # of a body that is too large, before the answer
SAFE_METHODS = {"GET", "HEAD", "OPTIONS", "TRACE"}
SAYS_BODY = {b"content-length", b"transfer-encoding"}
# A client that breaks these rules can't try again on the same connection.
HANG_UP = {"connection": "close"}


@dataclass(frozen=True)
class Patience:
    """How long to wait for a body: at most this long, and after the start only while it arrives this fast."""

    max_seconds: float = 20
    start_seconds: float = 5  # a phone may just be finding its network
    bytes_per_second: float = 500

    def seconds(self, size: int) -> float:
        return min(self.max_seconds, self.start_seconds + size / self.bytes_per_second)


class TooLarge(Exception):
    """More than it may have."""


class TooSlow(Exception):
    """It doesn't arrive in time."""


class WholeBody:
    """Stands in front of whatever opens a database connection: from here on the body is complete, or there is none.

    So nobody holds a lock or a connection by sending half a form. Answers 413 if it is too large and 408 if it is too
    slow, and then hangs up. A body that is a little too large is read first and thrown away: the kernel takes an answer
    back if the connection ends while more is on its way (RFC 9112, 9.6).
    """

    def __init__(self, app: ASGIApp, patience: Patience = Patience()) -> None:
        self.app = app
        self.patience = patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        if _has_none(scope) or "upload" in scope["state"]:
            await _refuse_if_late(scope, receive)
            return await self.app(scope, receive, send)

        try:
            async with outside():
                body = await self._read(scope, receive)
        except TooLarge:
            return await errors.page(Request(scope), 413, headers=HANG_UP)(scope, receive, send)
        except TooSlow:
            return await errors.page(Request(scope), 408, headers=HANG_UP)(scope, receive, send)

        scope["state"]["body"] = body  # for the page that says what went wrong with it
        await _refuse_if_late(scope, receive)
        await self.app(scope, _replayed(body, receive), send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body. Raises TooLarge, TooSlow or ClientDisconnect."""
        said = Request(scope).headers.get("content-length", "0")
        if not said.isdecimal() or len(said) > 18 or int(said) > MAX_DISCARDED:
            raise TooLarge  # before reading a byte of it
        body, size = bytearray(), 0
        async for piece in pieces(receive, self.patience):
            size += len(piece)
            if size > MAX_DISCARDED:
                raise TooLarge
            body += piece if size <= MAX_BYTES else b""
        if size > MAX_BYTES:
            raise TooLarge
        return bytes(body)


async def pieces(receive: Receive, patience: Patience) -> AsyncGenerator[bytes, None]:
    """A body as it arrives. Raises TooSlow, or ClientDisconnect if its sender has left."""
    size, begun, is_over = 0, asyncio.get_running_loop().time(), False
    while not is_over:
        try:
            async with asyncio.timeout_at(begun + patience.seconds(size)):
                message = await receive()
        except TimeoutError:
            raise TooSlow from None
        if message["type"] != "http.request":
            raise ClientDisconnect
        piece, is_over = message.get("body", b""), not message.get("more_body", False)
        size += len(piece)
        yield piece


async def _refuse_if_late(scope: Scope, receive: Receive) -> None:
    """After a wait for a turn: raises Busy if it was too long, and ClientDisconnect if the visitor has left."""
    if not (waited := seconds_waited()):
        return
    if waited > MAX_WAIT_SECONDS:
        raise Busy(f"It waited {waited:.0f} s for its turn.")
    if await Request(scope, receive).is_disconnected():
        raise ClientDisconnect


def _has_none(scope: Scope) -> bool:
    """A request that says nothing of a body has none (RFC 9112, 6.3); where it might, nothing reads it."""
    return scope["method"] in SAFE_METHODS and SAYS_BODY.isdisjoint([name for name, _value in scope["headers"]])


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Gives the body in one piece; after that, only the news that the visitor has left can come."""
    is_given = False

    async def receive_again() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again
