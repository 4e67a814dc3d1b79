"""One database session for each request."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from webapp.database import Database
from webapp.database.engine import release

SAFE_METHODS = {"GET", "HEAD", "OPTIONS", "TRACE"}


class DatabaseSession:
    """Gives each request its session, as `request.state.db`, and frees it before the answer is sent."""

    def __init__(self, app: ASGIApp, database: Database) -> None:
        self.app = app
        self.database = database

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        db = self.database.open(is_writing=scope["method"] not in SAFE_METHODS)

        async def send_after_release(message: Message) -> None:
            if message["type"] == "http.response.start":
                await release(db)
            await send(message)

        scope.setdefault("state", {})["db"] = db
        self.database.visitors += 1
        try:
            await self.app(scope, receive, send_after_release)
        finally:
            self.database.visitors -= 1
            await release(db)
