"""Cookies that scripts can't read."""

from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import Response


def write(request: Request, response: Response, name: str, value: str, seconds: int | None) -> None:
    """Sets a cookie that scripts can't read; until the browser closes if `seconds` is None."""
    is_https = request.app.state.settings.is_https
    response.set_cookie(
        _name(request, name), value, max_age=seconds, secure=is_https, httponly=True, samesite="lax", path="/"
    )


def delete(request: Request, response: Response, name: str) -> None:
    write(request, response, name, "", 0)


def read(request: Request, name: str) -> str:
    """The value of a cookie of exactly this name, else "".

    Starlette's parser takes every kind of space off a name. But a browser lets a neighbouring subdomain set a cookie
    whose name begins with such a space, since that isn't `__Host-`; it must not pass for ours.
    """
    wanted = f"{_name(request, name)}="
    pairs = (pair.lstrip(" ") for header in request.headers.getlist("cookie") for pair in header.split(";"))
    return next((pair.removeprefix(wanted).strip('"') for pair in pairs if pair.startswith(wanted)), "")


def written(request: Request, set_cookies: Iterable[str], name: str) -> str:
    """The value that an answer's headers give to a cookie; "" if they set or keep none."""
    pairs = [header.partition(";")[0].partition("=") for header in set_cookies]
    return next((value.strip('"') for key, _is, value in reversed(pairs) if key == _name(request, name)), "")


def _name(request: Request, name: str) -> str:
    return f"__Host-{name}" if request.app.state.settings.is_https else name
