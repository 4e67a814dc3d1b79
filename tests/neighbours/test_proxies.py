"""The site behind each proxy for which docs/deploy/ has a configuration, and behind a router like Heroku's."""

import contextlib
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from starlette.routing import Route

from tests.mailserver import Certificates
from tests.missing import unavailable
from tests.neighbours.proxies import PROXIES, Neighbourhood, migrated, neighbourhood
from tests.test_house import SETTINGS
from webapp.routes import routes

pytestmark = pytest.mark.neighbours
SHIPPED = ["nginx", "caddy", "haproxy"]
PASSWORD, NEW_PASSWORD = "correct horse battery", "a quite different staple"
ADDRESS = "susan@example.com"
HELD_UP = 8.0  # seconds: who waits for another's connection gets 503 after ten
TOKEN = "a-secret-of-a-link.0123456789"
TOKEN_PATHS = sorted(
    {route.path.split("/")[1] for route in routes(SETTINGS) if isinstance(route, Route) and "{token}" in route.path}
)
FORGED = ("198.51.100.7", "10.0.0.1, 10.0.0.2", "127.0.0.1", "::1", "unknown", "")


@pytest.fixture(scope="module", params=list(PROXIES))
def around(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[Neighbourhood]:
    folder = tmp_path_factory.mktemp(request.param)
    with neighbourhood(request.param, folder, migrated(folder), certificates) as started:
        yield started


@pytest.fixture(scope="module", params=[*SHIPPED, "router"])
def unbuffered(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[Neighbourhood]:
    folder = tmp_path_factory.mktemp(f"{request.param}-unbuffered")
    with neighbourhood(request.param, folder, migrated(folder), certificates, buffers=False) as started:
        yield started


def test_the_main_story(around: Neighbourhood) -> None:
    walk_the_main_story(around)


def test_the_main_story_with_bodies_streamed(unbuffered: Neighbourhood) -> None:
    walk_the_main_story(unbuffered)


def walk_the_main_story(around: Neighbourhood) -> None:
    """Registers, logs in, forgets the password and sets a new one, by the links of real emails."""
    with around.browser(2) as browser:
        assert browser.get("/login").status_code == 200
        assert browser.post("/register", data={"email": ADDRESS}).status_code == 200
        account = {"username": "susan", "password": PASSWORD}
        registered = around.link(ADDRESS, "register")
        assert browser.post(registered, data=account).url.path in {"/login", "/"}
        assert browser.post("/login", data=account).url.path == "/"
        assert browser.cookies
        browser.post("/logout")
        assert browser.post("/reset_password_request", data={"email": "susan"}).status_code == 200
        reset = around.link(ADDRESS, "reset_password")
        assert browser.get(reset).status_code == 200
        assert browser.post(reset, data={"password": NEW_PASSWORD}).url.path == "/login"
        assert browser.post("/login", data=account | {"password": NEW_PASSWORD}).url.path == "/"
    written = around.written_by_the_proxy()
    assert registered.rpartition("/")[2] not in written
    assert reset.rpartition("/")[2] not in written


def test_an_archive_of_posts_gets_through_to_its_page_alone(around: Neighbourhood) -> None:
    archive = {"archive": ("archive.zip", b"PK" + b"x" * 1_500_000)}
    with around.browser(4) as browser:
        browser.post("/register", data={"email": "erin@example.com"})
        account = {"username": "erin", "password": PASSWORD}
        browser.post(around.link("erin@example.com", "register"), data=account)
        browser.post("/login", data=account)
        browser.post("/import", data={"current_password": PASSWORD})

        there = browser.post("/import/upload", files=archive)

        assert (there.status_code, "no zip file" in there.text) == (422, True)
        with contextlib.suppress(httpx2.WriteError, httpx2.ReadError):  # it may hang up before it has got everything
            assert browser.post("/login", files=archive).status_code == 413


@pytest.mark.parametrize(
    "headers",
    [{"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "https://evil.example"}],
)
def test_another_sites_form_is_refused(around: Neighbourhood, headers: dict[str, str]) -> None:
    with around.browser(3) as browser:
        assert browser.post("/login", data={"username": "susan"}, headers=headers).status_code == 403


def test_the_sites_own_form_is_taken(around: Neighbourhood) -> None:
    with around.browser(3) as browser:
        ours = {"origin": around.base_url, "sec-fetch-site": "same-origin"}
        assert browser.post("/login", data={"username": "susan"}, headers=ours).status_code == 422


def test_another_host_gets_no_page(around: Neighbourhood) -> None:
    with around.browser(3) as browser:
        answer = browser.get("/login", headers={"host": "evil.example"})
        assert answer.status_code in {400, 404, 421} or not answer.content
        assert 'name="password"' not in answer.text


def test_limits_know_the_visitor_whatever_it_says(around: Neighbourhood) -> None:
    """Forged headers neither escape the limit nor use up another's."""
    with around.browser(4) as guesser, around.browser(5) as other:
        answers = [guess(guesser, number, FORGED[number % len(FORGED)]) for number in range(40)]
        assert 429 in answers
        assert guess(guesser, 41, "203.0.113.99") == 429
        assert guess(guesser, 42, "127.0.0.5") == 429
        assert guess(other, 43, "127.0.0.4") == 422


def test_limits_know_the_visitor_whatever_follows_the_form(around: Neighbourhood) -> None:
    """C69: trailers (RFC 9110, 6.5) pass some proxies, and are nobody's word for where a form comes from."""
    answers = [guess_with_trailer(around, number) for number in range(40)]

    assert 429 in answers


def guess_with_trailer(around: Neighbourhood, number: int) -> int:
    body = f"username=trailer{number}&password=a-wrong-password".encode()
    lines = ["POST /login HTTP/1.1", f"Host: {around.base_url.partition('://')[2]}", "Connection: close"]
    lines += [
        "Content-Type: application/x-www-form-urlencoded",
        "Transfer-Encoding: chunked",
        "Trailer: X-Forwarded-For",
    ]
    request = "\r\n".join([*lines, "", f"{len(body):x}", body.decode(), "0", f"X-Forwarded-For: 198.51.100.{number}"])
    with (
        socket.create_connection(("127.0.0.1", around.ground.port), 30, ("127.0.0.28", 0)) as connection,
        ssl._create_unverified_context().wrap_socket(connection, server_hostname="localhost") as secured,
    ):
        secured.sendall(f"{request}\r\n\r\n".encode())
        return int(secured.recv(1000).split()[1])


HIDDEN = "GET /explore HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: 198.51.100.9\r\n\r\n"
EXPLORED = '"route": "/explore"'
CHUNKED = "Transfer-Encoding: chunked\r\n"
AMBIGUOUS = {
    "CL.TE": f"Content-Length: {{after}}\r\n{CHUNKED}\r\n0\r\n\r\n{{hidden}}",
    "TE.CL": f"Content-Length: 4\r\n{CHUNKED}\r\n{{size}}\r\n{{hidden}}\r\n0\r\n\r\n",
    "an obscure TE": "Content-Length: {after}\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{hidden}",
    "TE with a tab": "Content-Length: {after}\r\nTransfer-Encoding:\tchunked\x0b\r\n\r\n0\r\n\r\n{hidden}",
    "a space before the colon": "Content-Length: {after}\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n{hidden}",
    "a folded TE": "Content-Length: {after}\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n{hidden}",
    "two lengths": "Content-Length: 0\r\nContent-Length: {length}\r\n\r\n{hidden}",
    "a length with a plus": "Content-Length: +{length}\r\n\r\n{hidden}",
    "a bare line feed": f"X-Nothing: 1\n{CHUNKED}Content-Length: {{after}}\r\n\r\n0\r\n\r\n{{hidden}}",
    "a chunk's extension": f"{CHUNKED}\r\n0;a=\n\r\n\r\n{{hidden}}",
    "another protocol": "Connection: Upgrade\r\nUpgrade: other\r\nContent-Length: {length}\r\n\r\n{hidden}",
    "a chunk without its end": f"{CHUNKED}\r\n1\r\nab0\r\n\r\n{{hidden}}",
}


@pytest.mark.parametrize("ambiguous", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_a_request_with_two_meanings_hides_no_other(around: Neighbourhood, ambiguous: str) -> None:
    """The site works on none that the proxy doesn't know of and answer, and the next visitor gets their own page."""
    assert around.site
    host = around.base_url.partition("://")[2]
    hidden = HIDDEN.format(host=host)
    tail = ambiguous.format(hidden=hidden, length=len(hidden), after=len(hidden) + 5, size=f"{len(hidden):x}")
    before = around.site.output.count(EXPLORED)

    answers = raw(around, f"POST /login HTTP/1.1\r\nHost: {host}\r\n{tail}".encode()).count(b"HTTP/1.1 ")
    with around.browser(6) as other:
        page = other.get("/login")

    assert 'name="password"' in page.text
    assert around.site.output.count(EXPLORED) - before < max(answers, 1)


def raw(around: Neighbourhood, request: bytes) -> bytes:
    """Everything that is answered to some bytes until the connection ends, or says no more for a while."""
    answered = b""
    with (
        socket.create_connection(("127.0.0.1", around.ground.port), 30, ("127.0.0.29", 0)) as connection,
        ssl._create_unverified_context().wrap_socket(connection, server_hostname="localhost") as secured,
    ):
        secured.sendall(request)
        secured.settimeout(3)
        with contextlib.suppress(OSError):
            while received := secured.recv(65_536):
                answered += received
    return answered


def guess(browser: httpx2.Client, number: int, forged: str) -> int:
    headers = {"x-forwarded-for": forged, "x-real-ip": forged, "forwarded": f'for="{forged}"', "client-ip": forged}
    data = {"username": f"nobody{number}", "password": "a wrong password"}
    return browser.post("/login", data=data, headers=headers).status_code


@pytest.mark.parametrize(
    "headers",
    [
        {"accept-language": "en" + "," * 70_000},
        {f"x-{number}": "y" * 4_000 for number in range(40)},
        {"cookie": "; ".join(f"c{number}={'v' * 1000}" for number in range(80))},
    ],
    ids=["one header", "forty headers", "cookies"],
)
def test_a_large_head_is_refused(around: Neighbourhood, headers: dict[str, str]) -> None:
    if around.name == "router" and "accept-language" not in headers:
        pytest.skip("Heroku's router limits lines alone; the site's own limit is tested with the site")
    with around.browser(6) as browser:
        assert 400 <= browser.get("/login", headers=headers).status_code < 500
        assert browser.get("/login").status_code == 200


def test_a_body_beyond_all_forms_is_refused(around: Neighbourhood) -> None:
    with around.browser(6) as browser:
        assert browser.post("/login", content=b"a" * 100_000, headers=FORM).status_code == 413
        with contextlib.suppress(httpx2.TransportError):  # it may hang up while we are still sending,
            refused = browser.post("/login", content=b"a" * 3_000_000, headers=FORM)
            assert refused.status_code in {413, 502}  # and the site while the proxy is


FORM = {"content-type": "application/x-www-form-urlencoded"}


def test_a_body_of_unknown_length_is_read(around: Neighbourhood) -> None:
    with around.browser(6) as browser:
        pieces = iter([b"username=su", b"san&passwo", b"rd=wrong"])
        assert browser.post("/login", content=pieces, headers=FORM).status_code == 422


def test_the_site_compresses_and_the_proxy_does_not(around: Neighbourhood) -> None:
    with around.browser(6) as browser:
        page = browser.get(f"/reset_password/{TOKEN}", headers={"accept-encoding": "gzip"})
        style = re.search(r'/static/[^"]+\.css', page.text)
        assert style
        assert page.headers.get("content-encoding") is None, "how short a page is must not tell its secret"
        assert browser.get(style[0], headers={"accept-encoding": "gzip"}).headers["content-encoding"] == "gzip"


@pytest.mark.parametrize("prefix", ["", "//", "/x/../", "/%72", "/RESET_PASSWORD/"])
def test_no_secret_of_a_link_is_written_down(around: Neighbourhood, prefix: str) -> None:
    with around.browser(6, referer=f"{around.base_url}/reset_password/{TOKEN}") as browser:
        for path in TOKEN_PATHS:
            browser.get(f"{prefix.rstrip('/') or ''}/{path}/{TOKEN}?{TOKEN}")
            browser.post(f"/{path}/{TOKEN}/renew", data={"token": TOKEN})
            browser.get(f"/{path}%2F{TOKEN}")
        browser.get(f"/login?next=/reset_password/{TOKEN}")
    assert TOKEN not in around.written_by_the_proxy()


@pytest.mark.parametrize("name", SHIPPED)
def test_no_secret_is_written_down_while_the_site_is_away(
    name: str, tmp_path: Path, certificates: Certificates
) -> None:
    with neighbourhood(name, tmp_path, migrated(tmp_path), certificates) as around, around.browser(7) as browser:
        assert around.site
        around.site.kill()
        assert browser.get(f"/reset_password/{TOKEN}").status_code in {502, 503, 504}
        assert browser.post(f"/reset_password/{TOKEN}", content=b"a" * 90_000, headers=FORM).status_code >= 500
        assert browser.get(f"/reset_password/{TOKEN}", headers={"x-large": "y" * 70_000}).status_code < 500
        written = around.written_by_the_proxy()
    assert "/reset_password" in written
    assert TOKEN not in written


@pytest.mark.parametrize("name", SHIPPED)
def test_plain_http_is_sent_to_https(name: str, tmp_path: Path, certificates: Certificates) -> None:
    with neighbourhood(name, tmp_path, migrated(tmp_path), certificates) as around:
        address = f"http://localhost:{around.ground.plain_port}/reset_password/{TOKEN}"
        answer = httpx2.get(address, follow_redirects=False)
        assert answer.status_code in {301, 302, 307, 308}
        assert answer.headers["location"].startswith("https://localhost")
        assert TOKEN not in around.written_by_the_proxy()


def test_http_2_is_spoken(around: Neighbourhood) -> None:
    if around.name == "router":
        pytest.skip("the router speaks HTTP/1.1, as Heroku's did for long")
    context = ssl._create_unverified_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    plain = socket.create_connection(("127.0.0.1", around.ground.port))
    with context.wrap_socket(plain, server_hostname="localhost") as encrypted:
        assert encrypted.selected_alpn_protocol() == "h2"
    answer = curl(around, "/login")
    assert answer.startswith("HTTP/2 200")
    assert curl(around, f"/reset_password/{TOKEN}", "-H", f"referer: /reset_password/{TOKEN}")
    large = curl(around, "/login", "-H", "x-large: " + "y" * 70_000)
    assert not large or re.match(r"HTTP/2 4\d\d", large)
    assert curl(around, "/login").startswith("HTTP/2 200")
    assert TOKEN not in around.written_by_the_proxy()


def curl(around: Neighbourhood, path: str, *options: str) -> str:
    """What came, headers first; nothing if the proxy hung up."""
    program = shutil.which("curl") or unavailable("no curl on this machine, which speaks HTTP/2")
    command = [program, "-sik", "--http2", "--max-time", "20", *options, around.base_url + path]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def test_a_form_that_does_not_come_keeps_nobody_waiting(around: Neighbourhood) -> None:
    with half_a_form(around, "/login"), around.browser(8) as other:
        began = time.monotonic()
        assert other.get("/login").status_code == 200
        assert other.post("/login", data={"username": "nobody", "password": "wrong"}).status_code == 422
        assert time.monotonic() - began < HELD_UP


@pytest.mark.parametrize("path", ["/edit_profile", "/letters", "/change_password"])
def test_a_members_form_that_does_not_come_keeps_nobody_waiting(around: Neighbourhood, path: str) -> None:
    """The proxy keeps it, so the site need not know; behind the router the site must hold out by itself."""
    name, address = f"m{path[1:5]}", f"{path[1:5]}@example.com"
    with around.browser(9) as browser, around.browser(10) as other:
        browser.post("/register", data={"email": address})
        account = {"username": name, "password": PASSWORD}
        browser.post(around.link(address, "register"), data=account)
        browser.post("/login", data=account)
        cookies = "; ".join(f"{cookie}={value}" for cookie, value in browser.cookies.items())
        with half_a_form(around, path, f"Cookie: {cookies}"):
            began = time.monotonic()
            assert other.post("/login", data={"username": "nobody", "password": "wrong"}).status_code == 422
            assert time.monotonic() - began < HELD_UP


def half_a_form(around: Neighbourhood, path: str, *headers: str) -> socket.socket:
    plain = socket.create_connection(("127.0.0.1", around.ground.port))
    encrypted = ssl._create_unverified_context().wrap_socket(plain, server_hostname="localhost")
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: localhost:{around.ground.port}",
        "Content-Type: application/x-www-form-urlencoded",
        "Content-Length: 100",
        *headers,
    ]
    encrypted.sendall("\r\n".join(lines).encode() + b"\r\n\r\nusername=hal")
    time.sleep(0.3)
    return encrypted
