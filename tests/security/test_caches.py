"""C70: nothing that is kept is decided by another visitor's request, and what is public tells nobody's story."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import time_machine

from tests.depth import deep, one_in
from tests.sites import Site
from tests.stories import ask_for_reset, forget_and_find_link, log_in, register, without_token
from tests.test_sweeps import ROUTES, path_of
from tests.watching import Answer, ask, execute, standing_site
from webapp.database import now
from webapp.settings import Settings

HOST = ("host", "blog.example")
# All but the development site's own pages, which no cache ever sees.
READERS = [
    route.name
    for route in ROUTES
    if "GET" in (route.methods or ()) and not route.name.startswith(("gallery", "mailbox"))
]
# Each header that may change an answer, with values that do; the cookie is susan's.
CHANGES: dict[str, list[tuple[str, str]]] = {
    "hx-request-type": [("hx-request", "true"), ("hx-request-type", "partial")],
    "hx-request": [("hx-request", "true")],
    "accept-language": [("accept-language", "ru,en;q=0.1")],
    "cookie": [("cookie", "")],
    "if-none-match": [("if-none-match", "*")],
    "if-modified-since": [("if-modified-since", "Thu, 26 Nov 2099 10:00:00 GMT")],
}
CONDITIONAL = {"if-none-match", "if-modified-since"}  # a cache answers these itself


@pytest.fixture(scope="module")
def site(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("kept")
    with standing_site(migrated_sqlite, folder, admins=("susan@example.com",), security_contact="mailto:a@b.c") as site:
        assert site.mailbox
        register(site.browser(), site.mailbox)
        register(site.browser(), site.mailbox, "david")
        site.app.state.link = forget_and_find_link(site.browser(), site.mailbox)
        browser = site.browser()
        log_in(browser)
        browser.post("/", data={"body": "Hello, @david."})
        CHANGES["cookie"] = [("cookie", "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.cookies.jar))]
        yield site


def sense(answer: Answer) -> tuple[int, str, str]:
    """What an answer says, but for what is different each time."""
    location = dict(answer.headers).get("location", dict(answer.headers).get("hx-redirect", ""))
    return answer.status, location, re.sub(r"[0-9a-f]{16}|\d+ seconds?", "", without_token(answer.text))


@deep
@pytest.mark.parametrize("name", READERS)
@one_in(15)
def test_what_one_visitor_asked_for_is_not_what_the_next_one_gets(site: Site, name: str) -> None:
    """And where a header changes the answer, the answer says so to caches, or forbids them to keep it."""
    path = path_of(site, name)
    with time_machine.travel(now(), tick=False):  # forms and notes tell the time
        plain = [ask(site, "GET", path, [HOST])]
        for header, lines in CHANGES.items():
            changed = ask(site, "GET", path, [HOST, *lines])
            plain.append(ask(site, "GET", path, [HOST]))
            assert sense(plain[-1]) == sense(plain[0]), header
            assert_kept_from_others(plain[0], changed, header)


def assert_kept_from_others(plain: Answer, changed: Answer, header: str) -> None:
    if sense(changed) != sense(plain) and header not in CONDITIONAL:
        for answer in (plain, changed):
            headers = dict(answer.headers)
            varies = {part.strip().lower() for part in headers.get("vary", "").split(",")}
            assert header in varies or headers["cache-control"] == "no-store", (header, headers)
    for answer in (plain, changed):
        if "public" in dict(answer.headers).get("cache-control", ""):
            assert "set-cookie" not in dict(answer.headers)
            assert "susan@example.com" not in answer.text


def test_the_sweep_sees_answers_change(site: Site) -> None:
    """The control: each header does change some page."""
    for header, name in {"hx-request-type": "explore", "cookie": "home", "if-none-match": "explore_feed"}.items():
        path = path_of(site, name)
        assert sense(ask(site, "GET", path, [HOST, *CHANGES[header]])) != sense(ask(site, "GET", path, [HOST]))


@pytest.mark.parametrize(
    "path", ["/health", "/ready", "/.well-known/security.txt", "/login", "/reset_password_request"]
)
@one_in(3)
def test_no_public_page_tells_whether_an_email_waits_for_somebody(
    make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[[Settings], Site], path: str
) -> None:
    """Mail is slow: whose reset was asked for, a member's or nobody's, makes no difference to any byte or header."""
    slow = {"mail_server": "127.0.0.1", "mail_port": 9, "mailbox": None, "mailer": "process"}
    site = start_site(make_settings(database_url=sqlite_url, security_contact="mailto:a@b.c", **slow))
    execute(
        site,
        "INSERT INTO user_account (username, username_key, email, password_hash, epoch, language, is_public, about_me,"
        " picture, created_at, last_seen_at) VALUES ('susan', 'susan', 'susan@example.com', '!', 0, 'en', true, '', 0,"
        " '2026-01-01 00:00:00.000000', '2026-01-01 00:00:00.000000')",
    )
    seen = []

    for identity in ("nobody@example.com", "susan@example.com"):
        execute(site, "DELETE FROM outbox_email")
        ask_for_reset(site.browser(), identity)
        for age in (0, 2000):  # seconds for which it has waited
            execute(site, f"UPDATE outbox_email SET created_at = datetime(created_at, '-{age} seconds')")
            answer = ask(site, "GET", path, [HOST])
            seen.append((answer.headers, re.sub(r"\b[0-9a-f]{16}\b", "", answer.text)))

    assert [each for each in seen if each != seen[0]] == []
    assert execute(site, "SELECT count(*) FROM outbox_email") == [(1,)], "and it does wait"
