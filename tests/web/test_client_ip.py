"""Where a request comes from is decided by TRUSTED_PROXIES alone, whatever starts the site and whatever it is told."""

import logging
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from tests.depth import deep, one_in
from tests.processes import Host, Process, wait_for_page
from tests.sites import Site
from tests.wire import connected, said, serving
from webapp.settings import ROOT, Settings

WRONG = {"username": "susan", "password": "not the right password"}
# What a visitor writes behind a body, which some proxies pass on.
TRAILER = (
    "POST /login HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\nHost: 127.0.0.1:{}\r\n\r\n"
)


def statuses(url: str, host: str, forged: str) -> list[int]:
    """The answers to six wrong passwords, each from another address if the visitor is believed."""
    with httpx2.Client(base_url=url, timeout=30) as guesser:
        return [
            guesser.post("/login", data=WRONG, headers={"host": host, **_forged(forged, number)}).status_code
            for number in range(6)
        ]


def _forged(forged: str, number: int) -> dict[str, str]:
    address = f"9.9.9.{number}"
    return {"x-forwarded-for": forged.replace("X", address), "forwarded": f"for={address}", "x-real-ip": address}


@deep
@pytest.mark.parametrize("forged", ["X", "127.0.0.1, X"])
@one_in(2)
def test_the_command_of_the_procfile_believes_no_visitor(sqlite_url: str, tmp_path: Path, forged: str) -> None:
    """C69, with the platform's own wish to believe everybody in the environment."""
    web = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())["web"]
    environment = {"MAILER": "off", "TRUSTED_PROXIES": "0", "FORWARDED_ALLOW_IPS": "*"}
    with Host(tmp_path, sqlite_url, environment) as host:
        process = Process(["sh", "-c", f"exec {web}"], host.environment, tmp_path / "web.log")
        try:
            wait_for_page(f"{host.base_url}/health", process, lambda page: page.status_code == 200)
            answers = statuses(host.base_url, host.base_url.removeprefix("http://"), forged)
            with connected(host.port, TRAILER.format(host.port).encode()) as connection:
                behind_a_body = said(connection)
        finally:
            process.kill()

    assert answers == [422] * 5 + [429]
    assert process.output.count("forwarded_headers_ignored") == 1
    assert behind_a_body.startswith(b"HTTP/1.1 400"), "a request without Host"
    assert "unbounded_server" not in process.output


@pytest.mark.parametrize("trusted", ["*", pytest.param("127.0.0.1", marks=deep)])
@pytest.mark.parametrize("forged", ["X", "X, 127.0.0.1", "X:80", "[::9]:80, X"])
@deep
def test_a_server_that_believes_visitors_is_seen_through(site: Site, forged: str, trusted: str) -> None:
    """C69: uvicorn as it is without `--no-proxy-headers`; whoever is named by their own header has one count."""
    site.app.state.settings = _without_proxies(site)

    with serving(site, proxy_headers=True, forwarded_allow_ips=trusted) as port:
        answers = statuses(f"http://127.0.0.1:{port}", "blog.example", forged)

    assert answers == [422] * 5 + [429]


def _without_proxies(site: Site) -> Settings:
    return replace(site.settings, trusted_proxies=0)


def test_headers_that_are_not_read_are_told_of_once(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.app.state.settings = _without_proxies(site)
    browser = site.browser()
    with caplog.at_level(logging.WARNING, "webapp.requests"):
        for _ in range(3):
            browser.post("/login", data=WRONG)

    told = [record.message for record in caplog.records if record.name == "webapp.requests"]
    assert told.count("forwarded_headers_ignored") == 1


@deep
@pytest.mark.parametrize(
    ("trusted", "forwarded", "event"),
    [
        (2, "203.0.113.9", "too_few_proxies"),
        (1, None, "too_few_proxies"),
        (1, "203.0.113.9, 10.0.0.7", "too_many_proxies"),
        (1, "203.0.113.9, [fd00::7]:443", "too_many_proxies"),
        (1, "203.0.113.9", None),
        (1, "10.0.0.7", None),  # a visitor from the same network
        (1, "10.0.0.7, 203.0.113.9", None),  # what the visitor claims
        (2, "203.0.113.9, 10.0.0.7", None),
    ],
)
def test_a_number_of_proxies_that_does_not_fit_is_told_of_once(
    site: Site, caplog: pytest.LogCaptureFixture, trusted: int, forwarded: str | None, event: str | None
) -> None:
    site.app.state.settings = replace(site.settings, trusted_proxies=trusted)
    browser = site.browser()
    del browser.headers["x-forwarded-for"]

    for _ in range(3):
        browser.post("/login", data=WRONG, headers={"x-forwarded-for": forwarded} if forwarded else {})

    told = [record.message for record in caplog.records if "_proxies" in record.message]
    assert told == ([event] if event else [])


def test_a_check_from_the_machine_silences_no_other_warning(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    browser = site.browser()
    del browser.headers["x-forwarded-for"]

    browser.post("/login", data=WRONG)
    browser.post("/login", data=WRONG, headers={"x-forwarded-for": "203.0.113.9, 10.0.0.7"})

    told = [record.message for record in caplog.records if "_proxies" in record.message]
    assert told == ["too_few_proxies", "too_many_proxies"]
