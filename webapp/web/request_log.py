"""Gives each request an id, and a line in the log once it is answered."""

import logging
import secrets
import time
from collections import Counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from webapp.logs import current_request

log = logging.getLogger("webapp.requests")


METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS"})


class Requests:
    """How many answers this process gave, by route, method and status, and how many seconds they took in all."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str, int]] = Counter()
        self.seconds = 0.0

    def note(self, scope: Scope, status: int, seconds: float) -> None:
        """Under names of our own alone, so that no visitor's words make it grow."""
        method = scope["method"] if scope["method"] in METHODS else "other"
        self.counts[getattr(scope.get("route"), "path", "none"), method, status] += 1
        self.seconds += seconds


class RequestLog:
    """Gives each request an id, and logs a line when it is answered."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        started = time.perf_counter()
        status = 500

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        request_id = secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        token = current_request.set(request_id)
        try:
            await self.app(scope, receive, send_and_note)
        finally:
            seconds = time.perf_counter() - started
            scope["app"].state.requests.note(scope, status, seconds)
            if not scope["path"].startswith("/static/"):
                milliseconds = round(seconds * 1000, 1)
                route = getattr(scope.get("route"), "path", None)
                fields = {"method": scope["method"], "route": route, "status": status, "ms": milliseconds}
                log.info("request", extra={"fields": fields})
            current_request.reset(token)
