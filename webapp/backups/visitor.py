"""A visitor to a site that runs in this process. It listens on no port, so nobody else can get in."""

from http.cookies import SimpleCookie
from urllib.parse import urlencode, urlsplit

from starlette.applications import Starlette
from starlette.types import Message


class Page:
    """A page: its status, its headers, and what it says."""

    def __init__(self, messages: list[Message]) -> None:
        self.status: int = messages[0]["status"]
        self.headers = [(name.decode(), value.decode()) for name, value in messages[0]["headers"]]
        self.text = b"".join(message.get("body", b"") for message in messages[1:]).decode(errors="replace")


class Visitor:
    """Sends forms and keeps cookies as a browser does, over ASGI (the ASGI specification, HTTP)."""

    def __init__(self, app: Starlette, base_url: str) -> None:
        self._app = app
        self._base = urlsplit(base_url)
        self._cookies: dict[str, str] = {}

    async def get(self, path: str) -> Page:
        return await self._ask("GET", path, b"")

    async def post(self, path: str, **fields: str) -> Page:
        return await self._ask("POST", path, urlencode(fields).encode())

    async def _ask(self, method: str, path: str, body: bytes) -> Page:
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        await self._app(self._scope(method, path, body), receive, send)
        page = Page(sent)
        self._keep(page)
        return page

    def _scope(self, method: str, path: str, body: bytes) -> Message:
        headers = {
            "host": self._base.netloc,
            "content-type": "application/x-www-form-urlencoded",
            "content-length": str(len(body)),
            "cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items()),
            "user-agent": "restore-drill",
        }
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": self._base.scheme,
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 0),
            "server": (self._base.hostname, self._base.port),
        }

    def _keep(self, page: Page) -> None:
        for name, value in page.headers:
            if name == "set-cookie":
                self._cookies |= {name: morsel.value for name, morsel in SimpleCookie(value).items()}
