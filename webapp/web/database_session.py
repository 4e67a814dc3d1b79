"""One database session for each request."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from webapp.database import Database
from webapp.database.engine import release
from webapp.database.hot import Direct
from webapp.fair_queue import held
from webapp.web.request_body import SAFE_METHODS as SAFE_METHODS

MOST_BY_ANYBODY = 3  # at the database at once; a process has eight connections, or one


class DatabaseSession:
    """Gives each request that asks for one its session, as `request.state.db`, and frees it before the answer is
    sent.
    """

    def __init__(self, app: ASGIApp, database: Database) -> None:
        self.app = app
        self.database = database

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        is_writing = scope["method"] not in SAFE_METHODS
        scope["state"] = state = State(scope["state"], partial(self.database.open, is_writing=is_writing))

        async def send_after_release(message: Message) -> None:
            if message["type"] == "http.response.start":
                await state.release()
            await send(message)

        self.database.visitors += 1
        try:
            await self.app(scope, receive, send_after_release)
        finally:
            self.database.visitors -= 1
            await state.release()


class State(dict[str, Any]):
    """What is known of a request.

    Its session is opened when somebody asks for it. Most pages for strangers don't, and opening one takes half as long
    as all middleware.
    """

    def __init__(self, known: dict[str, Any], open_session: Callable[[], AsyncSession]) -> None:
        super().__init__(known)
        self._open_session = open_session
        self.infos: list[dict[str, Any]] = []

    @property
    def has_written(self) -> bool:
        """Whether the request has committed anything so far."""
        return any(info.get("has_written") for info in self.infos)

    def __missing__(self, name: str) -> AsyncSession:
        if name != "db":
            raise KeyError(name)
        self["db"] = db = self._open_session()
        self.infos.append(db.info)
        return db

    async def release(self) -> None:
        if db := self.get("db"):
            await release(db)


@asynccontextmanager
async def prepared(request: Request, *, is_writing: bool = True, by_anybody: bool = False) -> AsyncIterator[Direct]:
    """The request's transaction for prepared statements only: with it, asking for an email costs a third less.

    It replaces the session, which ends first: a request never has two at once. What anybody may have sent waits here
    for others like it, before it takes a connection: they may all count in one row.
    """
    await request.scope["state"].release()
    state = request.app.state
    async with held(state.anybody) if by_anybody else nullcontext(), state.database.direct(is_writing=is_writing) as db:
        request.scope["state"].infos.append(db.info)
        yield db
