"""What every request and every answer has, in one layer; each policy stands in a module of its own.

Eight layers, each with its own look at the headers, took as long as the answer of a bare server.
"""

import secrets
import time
from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from webapp import i18n
from webapp.fair_queue import FairQueue, Turn, current_turn
from webapp.logs import Report, current_request
from webapp.settings import Settings
from webapp.web import client_ip, errors, page_language, request_log, security_headers

MOST_AT_WORK = 16
# What asks no database has a queue of its own, and is there while the database is away.
QUICK = ("/static/", "/health")
# The answer to a request that must not come in; None lets it pass.
Policy = Callable[[Request], Response | None]


class Front:
    """Gives a request its id and language, and asks the policies in turn, before anything is opened for it.

    So many requests are worked on at a time, and among those who wait the client IPs take turns. A turn ends when there
    is something to send, however slowly that is read.

    Gives every answer its security headers, a line in the log, and a page to an error that nobody expected.
    """

    def __init__(self, app: ASGIApp, settings: Settings, policies: Sequence[Policy], report: Report) -> None:
        self.app = app
        self.policies = policies
        self.languages = settings.languages
        self.headers = security_headers.of(settings)
        self.report = report
        self.pages, self.quick = FairQueue(MOST_AT_WORK), FairQueue(MOST_AT_WORK)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        started, status = time.perf_counter(), 0

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                turn.end()
                security_headers.add(message, self.headers)
            await send(message)

        request = Request(scope)
        queue = self.quick if scope["path"].startswith(QUICK) else self.pages
        turn = Turn(queue, lambda: client_ip.of(request))
        scope.setdefault("state", {})["request_id"] = request_id = secrets.token_hex(8)
        token = current_request.set(request_id)
        current_turn.set(turn)
        with i18n.use(page_language.of(request, self.languages), is_typeset=True):
            try:
                await turn.begin()
                await self._answer(request, receive, send_on)
            except Exception as error:
                if status:
                    raise
                await errors.answer(request, error, self.report, send_on)
            finally:
                turn.end()
                request_log.note(scope, status or 500, time.perf_counter() - started)
                current_request.reset(token)

    async def _answer(self, request: Request, receive: Receive, send: Send) -> None:
        for policy in self.policies:
            if refusal := policy(request):
                return await refusal(request.scope, receive, send)
        await self.app(request.scope, receive, send)
