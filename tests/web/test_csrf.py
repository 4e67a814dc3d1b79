"""Which host is ours, and whose writes: refused before anything else is done."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn

from tests.depth import deep, one_in
from tests.mailbox import Mailbox
from tests.sites import Site
from tests.stories import is_logged_in, log_in, register
from tests.watching import ask, dump, standing_site, statements, wait_until_posted
from tests.wire import connected, said
from webapp.settings import Settings

FORM = ("content-type", "application/x-www-form-urlencoded")


@pytest.fixture(scope="module")
def standing(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with standing_site(migrated_sqlite, tmp_path_factory.mktemp("hosts"), mailer="process") as site:
        yield site


FOREIGN = [
    "evil.example",
    "evil.example:443",
    "blog.example.evil.example",
    "evilblog.example",
    "sub.blog.example",
    "blog.example.",
    "blog.example:80",
    "blog.example:8443",
    "blog.example:",
    "blog.example:443:443",
    "blog.example:443@evil.example",
    "blog.example@evil.example",
    "evil.example@blog.example",
    "blog.example#.evil.example",
    "blog.example/evil",
    "blog.example\\evil",
    "blog.example, evil.example",
    "blog.example evil.example",
    " blog.example",
    "https://blog.example",
    "//blog.example",
    "[blog.example]",
    "localhost",
    "127.0.0.1",
    "[::1]",
    "",
    "\u00e9vil.example",
    "blog.example\x00",
]


@pytest.mark.parametrize("path", ["/login", "/reset_password_request", "/static/x/app.js", "/nowhere"])
def test_a_foreign_host_is_refused(standing: Site, path: str) -> None:
    """C09"""
    answers = {host: ask(standing, "GET", path, [("host", host)]) for host in FOREIGN}

    assert {host: answer.status for host, answer in answers.items()} == dict.fromkeys(FOREIGN, 400)
    assert [host for host, it in answers.items() if "This site is at https://blog.example." not in it.text] == []
    assert [host for host, it in answers.items() if "evil" in it.text] == []


@pytest.mark.parametrize("host", ["evil.example", "blog.example@evil.example", "blog.example:8443"])
def test_a_foreign_host_is_refused_before_any_work(standing: Site, host: str) -> None:
    """C09: no statement, no row, no email."""
    before = dump(standing)

    with statements(standing) as seen:
        answer = ask(standing, "POST", "/reset_password_request", [("host", host), FORM], b"email=susan@example.com")

    assert answer.status == 400
    assert seen == []
    assert dump(standing) == before


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        ["blog.example", "evil.example"],
        ["evil.example", "blog.example"],
        ["blog.example", "blog.example"],
        ["blog.example", ""],
    ],
)
def test_a_missing_host_and_two_hosts_are_refused(standing: Site, hosts: list[str]) -> None:
    """C09"""
    answer = ask(standing, "GET", "/login", [("host", host) for host in hosts])

    assert answer.status == 400


@pytest.mark.parametrize("host", ["blog.example", "blog.example:443"])
def test_our_own_host_is_served(standing: Site, host: str) -> None:
    """C09"""
    assert ask(standing, "GET", "/login", [("host", host)]).status == 200


@pytest.mark.parametrize("path", ["/health", "/ready"])
def test_a_load_balancer_may_ask_by_number(standing: Site, path: str) -> None:
    answer = ask(standing, "GET", path, [("host", "10.1.2.3:5000")])

    assert answer.status in {200, 503}
    assert answer.text.startswith("{")


LYING: list[list[tuple[str, str]]] = [
    [("x-forwarded-host", "evil.example")],
    [("x-forwarded-host", "evil.example"), ("x-forwarded-proto", "http"), ("x-forwarded-port", "8080")],
    [("forwarded", "for=1.2.3.4;host=evil.example;proto=http")],
    [("x-original-host", "evil.example"), ("x-host", "evil.example"), ("x-http-host-override", "evil.example")],
    [("x-original-url", "//evil.example/"), ("x-rewrite-url", "//evil.example/")],
]


@deep
@pytest.mark.parametrize("lies", LYING, ids=lambda lies: lies[0][0])
@one_in(3)
def test_headers_about_the_host_change_no_link(site: Site, mailbox: Mailbox, lies: list[tuple[str, str]]) -> None:
    """C09: links in emails and pages begin with BASE_URL, whatever a proxy or a visitor says."""
    register(site.browser(), mailbox)
    headers = [("host", "blog.example"), FORM, *lies]

    answer = ask(site, "POST", "/reset_password_request", headers, b"email=susan")
    page = ask(site, "GET", "/login", headers)
    wait_until_posted(site)

    email = mailbox.last(count=2)
    assert answer.status == 303
    assert dict(answer.headers)["location"].startswith("/check_email/")
    assert "evil.example" not in page.text + email.source.decode()
    assert "\nhttps://blog.example/reset_password/" in email.text


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1:8000", "[::1]:8000"])
@deep
def test_a_site_in_development_answers_to_each_name_of_this_machine(
    migrated_sqlite: Path, tmp_path: Path, host: str
) -> None:
    with standing_site(migrated_sqlite, tmp_path, base_url="http://127.0.0.1:8000", development=True) as site:
        own = ask(site, "GET", "/login", [("host", host)])
        write = ask(site, "POST", "/login", [("host", host), ("origin", f"http://{host}"), FORM], b"username=")
        rebound = ask(site, "GET", "/login", [("host", "evil.example:8000")])
        other_port = ask(site, "GET", "/login", [("host", host.replace("8000", "8001"))])

    assert (own.status, write.status, rebound.status, other_port.status) == (200, 422, 400, 400)


def test_a_deployed_site_on_loopback_answers_to_its_one_name(migrated_sqlite: Path, tmp_path: Path) -> None:
    with standing_site(migrated_sqlite, tmp_path, base_url="http://127.0.0.1:8000") as site:
        own = ask(site, "GET", "/login", [("host", "127.0.0.1:8000")])
        other = ask(site, "GET", "/login", [("host", "localhost:8000")])

    assert (own.status, other.status) == (200, 400)


@pytest.mark.parametrize(
    ("base_url", "host", "status"),
    [
        ("http://127.0.0.1", "127.0.0.1:80", 200),
        ("http://127.0.0.1", "127.0.0.1:443", 400),
        ("http://[::1]", "[::1]:80", 200),
        ("https://blog.example", "blog.example:80", 400),
        ("https://blog.example:8443", "blog.example:8443:443", 400),
        ("https://blog.example:8443", "blog.example", 400),
    ],
)
@one_in(3)
def test_the_port_that_a_scheme_means_may_be_said(
    migrated_sqlite: Path, tmp_path: Path, base_url: str, host: str, status: int
) -> None:
    """C09"""
    with standing_site(migrated_sqlite, tmp_path, base_url=base_url, mailer="process") as site:
        assert ask(site, "GET", "/login", [("host", host)]).status == status


def test_another_site_logs_nobody_in_or_out(site: Site, mailbox: Mailbox) -> None:
    """C29, C30"""
    register(site.browser(), mailbox)
    browser, victim = site.browser(), site.browser()
    log_in(browser)
    foreign = {"sec-fetch-site": "cross-site", "origin": "https://evil.example"}

    log_out = browser.post("/logout", headers=foreign)
    log_in_ = victim.post("/login", data={"username": "susan", "password": "correct horse battery"}, headers=foreign)

    assert (log_out.status_code, log_in_.status_code) == (403, 403)
    assert is_logged_in(browser)
    assert not is_logged_in(victim)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_links_from_other_sites_lead_here(standing: Site, method: str) -> None:
    """A link in a mail program or on another site is no write."""
    headers = [("host", "blog.example"), ("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")]

    assert ask(standing, method, "/login", headers).status in {200, 405}


@pytest.fixture
def port(
    sqlite_url: str, make_settings: Callable[..., Settings], start_site: Callable[[Settings], Site]
) -> Iterator[int]:
    """The port of the site behind the server that runs it in production."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        site = start_site(make_settings(database_url=sqlite_url, base_url=f"http://127.0.0.1:{port}", mailer="process"))
        config = uvicorn.Config(site.app, lifespan="off", log_config=None, loop="asyncio")
        server = uvicorn.Server(config)

        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])))
        thread.start()
        deadline = time.monotonic() + 10
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        yield port
        server.should_exit = True
        thread.join(10)


def spoken(port: int, request: str) -> bytes:
    """What the server says to these very bytes."""
    with connected(port, request.format(port=port).replace("\n", "\r\n").encode()) as connection:
        return said(connection)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ("GET /health HTTP/1.1\nHost: 127.0.0.1:{port}\nConnection: close\n\n", b"200"),
        ("GET /nowhere HTTP/1.1\nHost: 127.0.0.1:{port}\nConnection: close\n\n", b"404"),
        ("GET http://evil.example/nowhere HTTP/1.1\nHost: evil.example\nConnection: close\n\n", b"400"),
        ("GET http://127.0.0.1:{port}/nowhere HTTP/1.1\nHost: evil.example\nConnection: close\n\n", b"400"),
        ("GET /nowhere HTTP/1.1\nHost: 127.0.0.1:{port}\nHost: evil.example\nConnection: close\n\n", b"400"),
        ("GET /nowhere HTTP/1.1\nHost: evil.example:{port}\nConnection: close\n\n", b"400"),
        ("GET /nowhere HTTP/1.1\nHost: 127.0.0.1:{port}@evil.example\nConnection: close\n\n", b"400"),
        ("GET /nowhere HTTP/1.1\nConnection: close\n\n", b"400"),
        ("GET /nowhere HTTP/1.0\n\n", b"400"),
        ("GET @evil.example/nowhere HTTP/1.1\nHost: 127.0.0.1:{port}\nConnection: close\n\n", b"400"),
        ("GET //evil.example/nowhere HTTP/1.1\nHost: 127.0.0.1:{port}\nConnection: close\n\n", b"404"),
    ],
)
@deep
def test_host_headers_are_judged_alike_behind_the_real_server(port: int, request_: str, status: bytes) -> None:
    """C09: absolute form, two hosts and none, as bytes on the wire."""
    answer = spoken(port, request_)

    assert answer.split(b" ", 2)[1] == status
    assert b"evil" not in answer


def test_in_absolute_form_the_host_header_is_what_counts(port: int) -> None:
    """C09: what stands in the request line is nowhere used."""
    answer = spoken(port, "GET http://evil.example/login HTTP/1.1\nHost: 127.0.0.1:{port}\nConnection: close\n\n")

    assert b"evil" not in answer
