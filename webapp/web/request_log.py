"""Gives each request an id, and a line in the log once it is answered."""

import logging
import secrets
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from webapp.logs import current_request

log = logging.getLogger("webapp.requests")


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
            if not scope["path"].startswith("/static/"):
                milliseconds = round((time.perf_counter() - started) * 1000, 1)
                route = getattr(scope.get("route"), "path", None)
                fields = {"method": scope["method"], "route": route, "status": status, "ms": milliseconds}
                log.info("request", extra={"fields": fields})
            current_request.reset(token)
