"""The site, each of whose workers begins with a full run of the garbage collector, as every process has one in time."""

import contextlib
import gc
from collections.abc import AsyncIterator

from starlette.applications import Starlette

from webapp import app


def create_app() -> Starlette:
    site = app.create_app()
    usual = site.router.lifespan_context

    @contextlib.asynccontextmanager
    async def collected(app: Starlette) -> AsyncIterator[None]:
        gc.collect()
        async with usual(app):
            yield

    site.router.lifespan_context = collected
    return site
