"""The page that all others are measured against: Starlette, a route, and always the same words."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route


async def page(request: Request) -> Response:
    return PlainTextResponse("always the same")


def create_app() -> Starlette:
    return Starlette(routes=[Route("/", page)])
