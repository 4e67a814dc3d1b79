"""The language of a page: the one chosen at its foot, else the one the browser asks for."""

from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def after_logging_out(request: Request, user_id: int) -> Iterator[None]:
    """Says what is inside in the language of the next page, once all sessions of an account have ended.

    If it was the one logged in here, that is a stranger's page: in the browser's language, not in the account's.
    """
    here = request.state.user
    is_over = here is not None and here.id == user_id
    language = of(request, request.app.state.settings.languages) if is_over else i18n.current()
    with i18n.use(language, is_typeset=True):
        yield
