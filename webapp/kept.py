"""Pages that all strangers see alike are made once, and then answered from memory."""

from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from webapp import language
from webapp.settings import Settings

MOST_KEPT = 200


@dataclass(frozen=True)
class Kept:
    """A whole answer; `route` is for the log."""

    route: Any
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class KeptPages:
    """Keeps what `pages.render` marked as the same for all strangers, for each language.

    Whoever brings a cookie, a query or htmx is no stranger to it, and goes on to the view.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.languages = settings.languages
        self.kept: dict[tuple[str, str], Kept] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or scope["query_string"]:
            return await self.app(scope, receive, send)
        headers = dict(scope["headers"])
        if b"cookie" in headers or b"hx-request" in headers:
            return await self.app(scope, receive, send)

        wanted = headers.get(b"accept-language", b"").decode("latin-1")
        key = scope["path"], language.choose(wanted, self.languages)
        kept = self.kept.get(key)
        if kept is None:
            return await self.app(scope, receive, self._keeping(scope, key, send))

        scope["route"] = kept.route
        await send({"type": "http.response.start", "status": 200, "headers": list(kept.headers)})
        await send({"type": "http.response.body", "body": kept.body})

    def _keeping(self, scope: Scope, key: tuple[str, str], send: Send) -> Send:
        headers: tuple[tuple[bytes, bytes], ...] = ()

        async def send_and_keep(message: Message) -> None:
            nonlocal headers
            if message["type"] == "http.response.start":
                headers = tuple(message["headers"])
            elif scope["state"].get("is_same_for_strangers") and not message.get("more_body"):
                if len(self.kept) >= MOST_KEPT:
                    self.kept.clear()
                self.kept[key] = Kept(scope.get("route"), headers, message["body"])
            await send(message)

        return send_and_keep
