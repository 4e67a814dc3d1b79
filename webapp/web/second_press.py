"""A form that is sent twice is worked on once, even without scripts.

A browser shows the answer to the last press. So a double click would register somebody and say that the address already
has an account, or send an email and say "you can ask again in 60 seconds". This takes care of all forms: `pages.render`
gives the forms of each page an id, and a form that comes again with the same id and content shows the first answer,
cookies included. Only successes are kept: somebody who made a mistake is told so each time. And only of what was
written to the database, which is limited: what changes nothing can be done again, and nobody fills the table with it.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from webapp.database import Database
from webapp.fair_queue import aside
from webapp.settings import Settings
from webapp.web import client_ip, errors
from webapp.web.form_answers import Answer, Press
from webapp.web.forms import FORM_ID

log = logging.getLogger("webapp.requests")

LOOK_EVERY = 0.05  # seconds
# How many presses of one form wait for the first; a thousand, each looking that often, kept SQLite busy for minutes.
MOST_WAITING = 8
WORKED = {302, 303}
KEPT_HEADERS = {"location", "set-cookie"}
_ID = re.compile(rf"(?:\A|&){FORM_ID}=[\w-]{{22}}(?=&|\Z)".encode())

# Whether the cookies of an answer still open what they opened: none of a session that has ended since.
IsOpen = Callable[[Request, Sequence[str]], Awaitable[bool]]


@dataclass
class Line:
    """The presses of one form that are waiting in this process."""

    waiting: int = 0
    last: int = 0

    def has_passed(self, number: int) -> bool:
        """Whether so many came after this one that nobody will look at its answer."""
        return self.last - number >= MOST_WAITING


class SecondPress:
    """Stands behind what reads the body, and in front of what opens a database connection."""

    def __init__(self, app: ASGIApp, database: Database, settings: Settings, is_open: IsOpen) -> None:
        self.app = app
        self.database = database
        self.settings = settings
        self.is_open = is_open
        self._lines: dict[str, Line] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        press = self._press(scope)
        if press is None:
            return await self.app(scope, receive, send)

        response = await self._of_earlier(press, Request(scope))
        if response is not None:
            return await response(scope, receive, send)
        await self._work(press, scope, receive, send)

    async def _of_earlier(self, press: Press, request: Request) -> Response | None:
        """The answer to an earlier press, once there is one; None if this press is the one to work on."""
        with self._in_line(press.key) as has_passed:
            while not await press.begin():  # this takes over if the first was cut off, so nobody waits for ever
                answer = await press.answer()
                if answer is not None and await self.is_open(request, _cookies(answer)):
                    return _response(answer)
                if has_passed():
                    return errors.page(request, 429, headers={"retry-after": "1"})
                if answer is not None:
                    await press.forget()
                    continue
                with aside():
                    await asyncio.sleep(LOOK_EVERY)
        return None

    @contextmanager
    def _in_line(self, key: str) -> Iterator[Callable[[], bool]]:
        """Waits in the line of a form. Yields a function that says whether waiting has become pointless."""
        line = self._lines.setdefault(key, Line())
        line.waiting += 1
        line.last += 1
        try:
            yield partial(line.has_passed, line.last)
        finally:
            line.waiting -= 1
            if not line.waiting:
                del self._lines[key]

    def _press(self, scope: Scope) -> Press | None:
        # htmx sends a form once, however often it is pressed: `data-hx-sync="this:drop"`.
        if scope["type"] != "http" or scope["method"] != "POST" or "hx-request" in Headers(scope=scope):
            return None
        request, body = Request(scope), scope["state"]["body"]
        if not _ID.search(body):
            return None
        who = f"{client_ip.of(request)} {request.headers.get('user-agent', '')}"
        return Press(self.database, self.settings, request.url.path.encode(), who.encode(), body)

    async def _work(self, press: Press, scope: Scope, receive: Receive, send: Send) -> None:
        is_settled = False

        async def settle_and_send(message: Message) -> None:
            nonlocal is_settled
            if message["type"] == "http.response.start":
                await _try(_settle(press, message, has_written=scope["state"].has_written))
                is_settled = True
            await send(message)

        try:
            await self.app(scope, receive, settle_and_send)
        finally:
            if not is_settled:
                await asyncio.shield(_try(press.forget()))


async def _settle(press: Press, start: Message, *, has_written: bool) -> None:
    headers = [each for each in MutableHeaders(raw=start["headers"]).items() if each[0] in KEPT_HEADERS]
    is_kept = has_written and start["status"] in WORKED
    await (press.keep(Answer(start["status"], headers)) if is_kept else press.forget())


async def _try(work: Awaitable[None]) -> None:
    """Sends the answer even if it can't be kept, since what was asked for is done."""
    try:
        await work
    except Exception as error:
        log.warning("form_answer_not_kept", extra={"fields": {"error": type(error).__name__}})


def _cookies(answer: Answer) -> list[str]:
    return [value for name, value in answer.headers if name == "set-cookie"]


def _response(answer: Answer) -> Response:
    response = Response(status_code=answer.status)
    for name, value in answer.headers:
        response.headers.append(name, value)
    return response
