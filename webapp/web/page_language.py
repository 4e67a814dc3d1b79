"""The language of a page: the one chosen at its foot, else the one the browser asks for."""

from starlette.requests import Request
from starlette.responses import Response

from webapp import i18n
from webapp.web import cookies

COOKIE = "language"
A_YEAR = 365 * 24 * 3600


def of(request: Request, offered: tuple[str, ...]) -> str:
    """For everything that is said to a visitor, error pages included."""
    return i18n.pick(offered, [cookies.read(request, COOKIE)], request.headers.get("accept-language", ""))


def remember(request: Request, response: Response, language: str) -> None:
    """Shows this browser all pages in a language from now on."""
    cookies.write(request, response, COOKIE, language, A_YEAR)
