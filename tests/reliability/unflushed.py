"""The site with a fault planted: a commit is answered before it is on the disk."""

from starlette.applications import Starlette

from webapp import app
from webapp.database.flush import Flush


async def _at_once(self: Flush) -> None:
    """Does not wait."""


def create_app() -> Starlette:
    Flush.wait = _at_once  # type: ignore[method-assign]
    return app.create_app()
