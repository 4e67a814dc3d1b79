"""The language of a page: the one chosen at its foot, else the one the browser asks for."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from webapp import i18n
from webapp.settings import Settings
from webapp.web import cookies

COOKIE = "language"
A_YEAR = 365 * 24 * 3600


class PageLanguage:
    """Sets the language for everything inside, error pages included."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.offered = settings.languages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        request = Request(scope)
        chosen = cookies.read(request, COOKIE)
        with i18n.use(i18n.pick(self.offered, [chosen], request.headers.get("accept-language", ""))):
            await self.app(scope, receive, send)


def remember(request: Request, response: Response, language: str) -> None:
    """Shows this browser all pages in a language from now on."""
    cookies.write(request, response, COOKIE, language, A_YEAR)
