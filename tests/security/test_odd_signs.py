"""Characters that none of our headers and paths have: in each part of each path, and in each header, they are no
error.
"""

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.depth import deep, one_in, share
from tests.sites import Site
from tests.stories import forget_and_find_link, log_in, register
from tests.test_sweeps import ROUTES
from tests.watching import ask, standing_site

HOST = ("host", "blog.example")
FORM = ("content-type", "application/x-www-form-urlencoded")
ODD = ["\u20ac", "\u044f\u0437", "\u4e2d", "\U0001f600", "\u0130", "a\u0301", "\r\nset-cookie: x=y", "\n", "\0", "\x7f"]
ODD += ["\u2028", "%", "%25", '"<>', "\\", " ", ";", "?", "#", "\u202e"]
RAW = ["%FF", "%C3%28", "%ED%A0%80", "%E2%82", "%F5%80%80%80", "%"]
WISHES = [[], [("hx-request", "true")], [("hx-request", "true"), ("hx-request-type", "partial")]]
WAYS = list(product(WISHES, [False, True], ["GET", "POST"]))  # a wish, whether it is susan, and a method
# Each of these in four ways, as one of each kind; the others in one; others for each sign and route, which share them.
KINDS = {"\u20ac", "\U0001f600", "\r\nset-cookie: x=y", "\0", '"<>'}
HEADERS = [
    *("accept-language", "cookie", "user-agent", "content-type", "if-none-match", "if-modified-since", "origin"),
    *("x-forwarded-for", "forwarded", "referer", "hx-request", "hx-request-type", "hx-current-url", "hx-target"),
    *("sec-fetch-site", "content-length", "accept", "range", "x-forwarded-proto", "x-forwarded-host"),
]


@pytest.fixture(scope="module")
def site(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with standing_site(migrated_sqlite, tmp_path_factory.mktemp("odd"), admins=("susan@example.com",)) as site:
        assert site.mailbox
        register(site.browser(), site.mailbox)
        site.app.state.link = forget_and_find_link(site.browser(), site.mailbox)
        browser = site.browser()
        log_in(browser)
        site.app.state.cookie = "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.cookies.jar)
        yield site


def assert_sound(site: Site, method: str, path: str, headers: list[tuple[str, str]], body: bytes = b"") -> None:
    answer = ask(site, method, path, [HOST, *headers], body)

    assert answer.status < 500, (method, path, headers)
    for name, value in answer.headers:
        assert (name + value).isascii(), (name, value)
        assert (name + value).isprintable(), (name, value)
    assert "set-cookie" not in dict(answer.headers) or "x=y" not in dict(answer.headers)["set-cookie"]


@pytest.mark.parametrize("route", [route for route in ROUTES if "{" in route.path], ids=lambda route: route.name)
@deep
def test_no_odd_character_in_a_path_is_an_error(site: Site, route: object) -> None:
    """Neither to strangers nor to susan, whatever htmx wishes; and none of them ends up in a header."""
    path, number_of_route = getattr(route, "path", ""), ROUTES.index(route)  # type: ignore[arg-type]
    parts = [part for part in path.split("/") if part.startswith("{")]
    for part in parts:
        for number, odd in enumerate((*ODD, *RAW)):
            written = odd if odd in RAW else quote(odd, safe="")
            odd_path = re.sub(r"\{[^/]*\}", "1", path.replace(part, f"a{written}b"))
            ways = share(WAYS, number + number_of_route, 2 * len(WAYS) // 3 if odd in KINDS else len(WAYS))
            for wish, is_susan, method in ways:
                cookie = [("cookie", site.app.state.cookie)] if is_susan else []
                assert_sound(site, method, odd_path, [*wish, *cookie, FORM])


@pytest.mark.parametrize("header", HEADERS)
@one_in(8)
def test_no_odd_character_in_a_header_is_an_error(site: Site, header: str) -> None:
    """Bytes from 80 on come through; controls a server refuses by itself."""
    odd = [
        "\u00e9\u00ff",
        "\u00e2\u0082\u00ac",
        "\u0080\u00a0",
        "x\t y",
        '"\u00ff',
        "=\u00ff;",
        ",",
        "",
        "http://[",
        "//[::1",
    ]
    for value in odd:
        for method, path in [("GET", "/login"), ("POST", "/login"), ("GET", "/explore/feed.atom"), ("GET", "/")]:
            assert_sound(site, method, path, [(header, value)])
        assert_sound(site, "POST", "/language", [FORM, (header, value)], b"language=en")


@one_in(2)
@pytest.mark.parametrize("path", ["/login?next=", "/search?q=", "/reset_password_request?email=", "/explore?before="])
def test_no_odd_character_in_a_query_is_an_error(site: Site, path: str) -> None:
    for odd in (*(quote(sign, safe="") for sign in ODD), *RAW):
        for wish in WISHES:
            assert_sound(site, "GET", path + odd, list(wish))
