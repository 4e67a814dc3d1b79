"""How uvicorn speaks HTTP here: as usual, but with limits that it doesn't have by itself.

The head of a request is limited in size and time, an answer that nobody reads in time, and the requests that wait on
one connection in number. Nothing is added to a head later: a proxy may let forged headers pass after a body (RFC 9110,
6.5.1).
"""

import asyncio
import re
from collections import deque
from typing import Any

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

MAX_SECONDS = 20.0
MAX_UNREAD_SECONDS = 60.0  # in which a phone that reads a kilobyte a second makes room for more
MAX_BYTES = 256 * 1024  # a read may bring the body along; request_head.py says what a head may have
# Requests on one connection that wait for the answer to an earlier one. Browsers and proxies send none; uvicorn keeps
# as many as come, in a hundred times their size.
MOST_PIPELINED = 8
_MARK = "microblog.bounded_head"


def has_read(scope: Scope) -> bool:
    """Whether this protocol read a request."""
    return _MARK in scope.get("extensions", {})


class TooMany(Exception):
    """More than MOST_PIPELINED. The parser takes it for an invalid request: 400, and uvicorn hangs up."""


class BoundedProtocol(HttpToolsProtocol):
    """Hangs up on a client that doesn't finish its head, or doesn't read. uvicorn itself would keep the connection, and
    what came or waits.
    """

    def __init__(
        self,
        *arguments: Any,
        max_seconds: float = MAX_SECONDS,
        max_unread_seconds: float = MAX_UNREAD_SECONDS,
        most_pipelined: int = MOST_PIPELINED,
        **more: Any,
    ) -> None:
        super().__init__(*arguments, **more)
        self._awaits_head, self._size, self._max_seconds = True, 0, max_seconds
        self._max_unread_seconds, self._most_pipelined = max_unread_seconds, most_pipelined
        self._timer: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._waiting = 0
        self._unanswered: deque[RequestResponseCycle] = deque()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_timer()
        self._watch = self.loop.call_later(self._max_unread_seconds, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in filter(None, (self._timer, self._unread, self._watch)):
            timer.cancel()
        for cycle in self._unanswered:  # uvicorn tells only the last, and what works on another writes on, which fails
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(self._max_unread_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        if self._awaits_head:
            self._size += len(data)
            if self._size > MAX_BYTES:
                return self._hang_up()
        super().data_received(data)
        if self._awaits_head and self._size and self._timer is None:
            self._start_timer()

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= self._most_pipelined:
            raise TooMany
        super().on_message_begin()
        self.scope["extensions"] = {_MARK: {}}

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._awaits_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._awaits_head, self._size = False, 0
        self._stop_timer()
        self._believe_target()
        last = self.cycle
        super().on_headers_complete()
        if self.cycle is not last:
            self._unanswered.append(self.cycle)

    def on_message_complete(self) -> None:
        self._awaits_head = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._unanswered.popleft()
        super().on_response_complete()

    def _believe_target(self) -> None:
        """A target that names a host is believed, and not the Host beside it (RFC 9112, 3.2.2), as a cache does."""
        if self.url.startswith(b"/"):
            return
        _scheme, names_host, rest = self.url.partition(b"://")
        if names_host:
            others = [(name, value) for name, value in self.headers if name != b"host"]
            self.headers[:] = [*others, (b"host", re.split(rb"[/?#]", rest)[0])]

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(self._max_seconds, self._hang_up)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """Once the last answer is written, too: of a connection to be closed, something must have left since."""
        waiting = self.transport.get_write_buffer_size() if self.transport.is_closing() else 0
        if waiting and waiting == self._waiting:
            return self.transport.abort()
        self._waiting = waiting
        self._watch = self.loop.call_later(self._max_unread_seconds, self._look)

    def _hang_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
