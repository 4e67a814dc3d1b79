"""How uvicorn reads requests here: as usual, except that the head has a limit of size and time.

Nor is anything added to the head later: a proxy may let forged headers pass after a body (RFC 9110, 6.5.1).
"""

import asyncio
from typing import Any

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_SECONDS = 20.0
MAX_BYTES = 256 * 1024  # a read may bring the body along; request_head.py says what a head may have
_MARK = "microblog.bounded_head"


def has_read(scope: Scope) -> bool:
    """Whether this protocol read a request."""
    return _MARK in scope.get("extensions", {})


class BoundedProtocol(HttpToolsProtocol):
    """Hangs up on a client that doesn't finish its head. uvicorn itself would keep the connection, and what came."""

    def __init__(self, *arguments: Any, max_seconds: float = MAX_SECONDS, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._awaits_head, self._size, self._max_seconds = True, 0, max_seconds
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._awaits_head:
            self._size += len(data)
            if self._size > MAX_BYTES:
                return self._hang_up()
        super().data_received(data)
        if self._awaits_head and self._size and self._timer is None:
            self._start_timer()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {_MARK: {}}

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._awaits_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._awaits_head, self._size = False, 0
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._awaits_head = True
        super().on_message_complete()

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(self._max_seconds, self._hang_up)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _hang_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
