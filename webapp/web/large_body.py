"""Takes the one kind of body that may be large: a form with a file, which is written straight to the disk."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, Headers
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from webapp.fair_queue import aside
from webapp.i18n import gettext as _
from webapp.temporary_files import NoRoom, used
from webapp.web import errors
from webapp.web.request_body import HANG_UP, Patience, TooLarge, TooSlow, pieces

log = logging.getLogger("webapp.uploads")

AT_ONCE = 2  # in each process
WAIT_SECONDS = 5  # for a turn, such as after a second press, until the first is cut off
AROUND = 16 * 1024  # what a form puts around its file
LINGER_SECONDS = 60  # at most, for the rest of a file that is too large, before the answer
PATIENCE = Patience(max_seconds=3600, start_seconds=10, bytes_per_second=64 * 1024)


@dataclass(frozen=True)
class Upload:
    """Whose form with a file this is, and how large the file may be. From anybody else it isn't even read."""

    whose: str
    most_bytes: int


class NoTurn(Exception):
    """As many as may be are already being received, or another one of theirs."""


STATUS: dict[type[Exception], int] = {NoRoom: 503, NoTurn: 503, MultiPartException: 400, TooLarge: 413, TooSlow: 408}


class LargeBody:
    """Stands in front of whatever opens a database connection, as WholeBody does, and with the same answers.

    Afterwards `request.state.upload` is the form, or None if its sender may send none. Little of it is ever in memory.
    """

    def __init__(
        self,
        app: ASGIApp,
        expected: Callable[[Request], Upload | None],
        patience: Patience = PATIENCE,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self.app = app
        self.expected = expected
        self.patience = patience
        self.wait_seconds = wait_seconds
        self._busy: set[str] = set()
        self._freed = asyncio.Condition()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        upload = self.expected(Request(scope)) if scope["type"] == "http" and _has_file(scope) else None
        if upload is None:
            return await self.app(scope, receive, send)

        scope["state"] |= {"body": b"", "upload": None}  # no page repeats what was typed into such a form
        if not upload.whose:
            return await self.app(scope, receive, send)
        try:
            async with self._turn(upload.whose):
                with aside():
                    form = await self._read(scope, receive, upload.most_bytes + AROUND)
                scope["state"]["upload"] = form
                try:
                    await self.app(scope, receive, send)
                finally:
                    await form.close()
        except (NoRoom, NoTurn, TooLarge, TooSlow, MultiPartException) as refused:
            no_room = _("There's no room for your file right now. Nothing was changed. Please try again later.")
            words = no_room if isinstance(refused, NoRoom) else ""
            page = errors.page(Request(scope), STATUS[type(refused)], words, headers=HANG_UP)
            await page(scope, receive, send)

    @asynccontextmanager
    async def _turn(self, whose: str) -> AsyncIterator[None]:
        try:
            with aside():
                async with asyncio.timeout(self.wait_seconds), self._freed:
                    await self._freed.wait_for(lambda: len(self._busy) < AT_ONCE and whose not in self._busy)
                    self._busy.add(whose)
        except TimeoutError:
            raise NoTurn from None
        try:
            yield
        finally:
            self._busy.discard(whose)
            async with self._freed:
                self._freed.notify_all()

    async def _read(self, scope: Scope, receive: Receive, most: int) -> FormData:
        """Raises MultiPartException, NoRoom, TooLarge, TooSlow or ClientDisconnect, and has then kept nothing."""
        headers = Headers(scope=scope)
        said = headers.get("content-length", "0")
        if not said.isdecimal() or len(said) > 18 or int(said) > most:
            if "expect" not in headers:  # who asks first is answered before sending any of it
                await _discard(pieces(receive, self.patience))
            raise TooLarge
        form = _bounded(pieces(receive, self.patience), most, _end(headers))
        try:
            with used():
                return await MultiPartParser(headers, form, max_files=1, max_fields=4, max_part_size=1024).parse()
        except NoRoom as error:
            log.warning("no_room", extra={"fields": {"reason": str(error)}})
            raise


async def _bounded(arriving: AsyncGenerator[bytes, None], most: int, end: bytes) -> AsyncGenerator[bytes, None]:
    size, tail = 0, b""
    async for piece in arriving:
        size += len(piece)
        if size > most:
            await _discard(arriving)
            raise TooLarge
        yield piece
        tail = (tail + piece)[-2 * len(end) :]
    if end not in tail:
        raise MultiPartException("It was cut off.")  # which the parser doesn't mind


async def _discard(arriving: AsyncGenerator[bytes, None]) -> None:
    """Reads the rest for a while and throws it away, so that its sender gets the answer, as WholeBody does."""
    with suppress(TimeoutError, TooSlow, ClientDisconnect):
        async with asyncio.timeout(LINGER_SECONDS):
            async for _piece in arriving:
                pass


def _has_file(scope: Scope) -> bool:
    sent = Headers(scope=scope).get("content-type", "")
    return scope["method"] == "POST" and sent.partition(";")[0].strip().lower() == "multipart/form-data"


def _end(headers: Headers) -> bytes:
    """What such a body ends with (RFC 2046, 5.1.1)."""
    _type, options = parse_options_header(headers["content-type"])
    return b"--" + options.get(b"boundary", b"") + b"--"
