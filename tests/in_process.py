"""How a browser of the tests reaches a site that runs in a thread of this process.

Starlette's TestClient goes over to that thread some twenty times for each request. This goes there once.
"""

import asyncio
from typing import Any
from urllib.parse import unquote

import httpx2
from anyio.from_thread import BlockingPortal
from starlette.applications import Starlette
from starlette.types import Message


class InProcess(httpx2.BaseTransport):
    """Asks the site as a server would. What the site raises is raised where it was asked."""

    def __init__(self, app: Starlette, portal: BlockingPortal) -> None:
        self._app = app
        self._loop = portal.call(asyncio.get_running_loop)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        answered = asyncio.run_coroutine_threadsafe(self._answer(request, request.read()), self._loop)
        start, body = answered.result()
        return httpx2.Response(start["status"], headers=start.get("headers", []), content=body, request=request)

    async def _answer(self, request: httpx2.Request, body: bytes) -> tuple[Message, bytes]:
        asked: list[Message] = [{"type": "http.request", "body": body}]
        answered: list[Message] = []
        is_whole = asyncio.Event()

        async def receive() -> Message:
            if asked:
                return asked.pop()
            await is_whole.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            assert not is_whole.is_set(), "more was sent after the end"
            assert (message["type"] == "http.response.start") == (not answered), "an answer starts once"
            answered.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                is_whole.set()

        await self._app(_scope(request), receive, send)
        assert is_whole.is_set(), "the answer has no end"
        start, *pieces = answered
        is_seen = request.method != "HEAD"
        return start, b"".join(bytes(piece.get("body", b"")) for piece in pieces) if is_seen else b""


def _scope(request: httpx2.Request) -> dict[str, Any]:
    url = request.url
    return {
        "type": "http",
        "http_version": "1.1",
        "method": request.method,
        "path": unquote(url.path),
        "raw_path": url.raw_path.split(b"?", 1)[0],
        "root_path": "",
        "scheme": url.scheme,
        "query_string": url.query,
        "headers": [(key.lower(), value) for key, value in request.headers.raw],
        "client": ("testclient", 50000),
        "server": (url.raw_host.decode(), url.port or {"http": 80, "https": 443}[url.scheme]),
        "state": {},
    }
