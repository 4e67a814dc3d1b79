"""Sessions: their cookies, how long they last, and what ends them."""

import hashlib
from http.cookies import SimpleCookie

import pytest
import time_machine

from tests.depth import deep
from tests.mailbox import Mailbox
from tests.moments import START
from tests.sites import Browser, Site
from tests.stories import NEW_PASSWORD, PASSWORD, ask_for_reset, is_logged_in, log_in, register
from tests.watching import ask, execute, statements, table

HOUR, DAY = 3600, 86400


@pytest.fixture
def susan(site: Site, mailbox: Mailbox) -> str:
    return register(site.browser(), mailbox)


def logged_in(site: Site, **more: str) -> Browser:
    browser = site.browser()
    log_in(browser, **more)
    return browser


def at(second: float) -> time_machine.travel:
    return time_machine.travel(START + second, tick=False)


def test_the_cookie_is_out_of_reach_of_scripts_other_sites_and_plain_http(site: Site, susan: str) -> None:
    """C25"""
    answer = log_in(site.browser(follow_redirects=False))

    [morsel] = SimpleCookie(answer.headers.get_list("set-cookie")[0]).values()
    assert morsel.key == "__Host-session"
    assert (morsel["secure"], morsel["httponly"], morsel["samesite"], morsel["path"]) == (True, True, "lax", "/")
    assert (morsel["domain"], morsel["max-age"], morsel["expires"]) == ("", "", "")
    assert len(morsel.value) >= 43, "256 bits"


@pytest.mark.parametrize("before", ["\xa0", "\x85", "\x1f", "\t", "\xe2\x80\x80"])
@pytest.mark.parametrize("after", ["", " ", "\xa0"])
@deep
def test_a_cookie_of_almost_the_same_name_is_none_of_ours(site: Site, susan: str, before: str, after: str) -> None:
    """C25: browsers let a neighbouring subdomain set it, because it doesn't begin with __Host-."""
    secret = logged_in(site).cookies["__Host-session"]

    def page(*cookies: str) -> int:
        headers = [("host", "blog.example"), ("accept-encoding", "identity")]
        return ask(site, "GET", "/settings", [*headers, *(("cookie", cookie) for cookie in cookies)]).status

    assert page(f"__Host-session={secret}") == 200
    assert page(f"a=b; __Host-session={secret}") == 200
    assert page("a=b", f"__Host-session={secret}") == 200
    assert page(f"{before}__Host-session{after}={secret}") == 303
    assert page(f"__Host-session={secret}; {before}__Host-session{after}=tossed") == 200


def test_every_cookie_of_the_site_is_out_of_reach(site: Site, susan: str) -> None:
    """C25"""
    browser = site.browser(follow_redirects=False)
    answers = [
        ask_for_reset(browser, "susan"),
        browser.get("/login"),
        log_in(browser, remember_me="1"),
        browser.post("/logout"),
        browser.get("/login"),
    ]

    cookies = [cookie for answer in answers for cookie in answer.headers.get_list("set-cookie")]

    assert len(cookies) >= 5
    for cookie in cookies:
        name, _equals, rest = cookie.partition("=")
        assert name in {f"__Host-{each}" for each in ("session", "browser", "account", "asked", "flash", "draft")}
        assert {"Secure", "HttpOnly", "SameSite=lax", "Path=/"} <= set(rest.split("; "))
        assert "Domain" not in rest


def test_a_changed_password_gives_the_browser_a_new_session_of_256_bits(site: Site, susan: str) -> None:
    """C26"""
    browser = logged_in(site)
    before = browser.cookies["__Host-session"]

    browser.post("/change_password", data={"current_password": PASSWORD, "password": NEW_PASSWORD})

    after = browser.cookies["__Host-session"]
    assert is_logged_in(browser)
    assert after != before
    assert len(after) >= 43


def test_a_remembered_session_outlives_the_browser(site: Site, susan: str) -> None:
    answer = log_in(site.browser(follow_redirects=False), remember_me="1")

    assert f"Max-Age={90 * DAY}" in answer.headers["set-cookie"]


def test_the_row_holds_the_digest_of_the_cookie_and_never_the_cookie(site: Site, susan: str) -> None:
    browser = logged_in(site)

    secret = browser.cookies["__Host-session"]

    assert execute(site, "SELECT token_hash FROM session") == [(hashlib.sha256(secret.encode()).hexdigest(),)]
    assert secret not in repr(table(site, "session"))


def test_the_digest_does_not_open_the_session(site: Site, susan: str) -> None:
    """Whoever reads a backup has no session."""
    logged_in(site)
    thief = site.browser()
    [(digest,)] = execute(site, "SELECT token_hash FROM session")

    thief.cookies.set("__Host-session", digest, domain="blog.example")

    assert not is_logged_in(thief)


def test_log_out_ends_the_session_on_the_server(site: Site, susan: str) -> None:
    """C27: a cookie kept by somebody opens nothing any more."""
    browser = logged_in(site)
    kept = browser.cookies["__Host-session"]

    answer = browser.post("/logout")

    replay = site.browser()
    replay.cookies.set("__Host-session", kept, domain="blog.example")
    assert "You&#39;re logged out." in answer.text
    assert "__Host-session" not in browser.cookies
    assert not is_logged_in(replay)
    assert table(site, "session") == []


def test_log_out_leaves_the_other_browsers_alone(site: Site, susan: str) -> None:
    browser, other = logged_in(site), logged_in(site)

    browser.post("/logout")

    assert is_logged_in(other)


def test_log_out_is_a_button_not_a_link(site: Site, susan: str) -> None:
    """C31"""
    browser = logged_in(site)

    answer = browser.get("/logout")

    assert answer.status_code == 405
    assert is_logged_in(browser)


@pytest.mark.parametrize(("second", "is_open"), [(DAY - 1, True), (DAY, False)])
@deep
def test_a_session_that_is_not_remembered_ends_after_a_day(site: Site, susan: str, second: int, is_open: bool) -> None:
    """C28: by the server's clock, whatever the browser keeps."""
    with at(0):
        browser = logged_in(site)
    with at(DAY / 2):
        assert is_logged_in(browser), "using it does not lengthen it"

    with at(second):
        assert is_logged_in(browser) == is_open


@pytest.mark.parametrize(("second", "is_open"), [(14 * DAY - 1, True), (14 * DAY, False)])
def test_a_remembered_session_ends_after_fourteen_idle_days(site: Site, susan: str, second: int, is_open: bool) -> None:
    """C28"""
    with at(0):
        browser = logged_in(site, remember_me="1")

    with at(second):
        assert is_logged_in(browser) == is_open


@pytest.mark.alike
def test_a_remembered_session_slides_on_for_ninety_days_and_no_longer(any_site: Site, mailbox: Mailbox) -> None:
    """C28"""
    register(any_site.browser(), mailbox)
    with at(0):
        browser = logged_in(any_site, remember_me="1")
    secret = browser.cookies["__Host-session"]
    seen = []

    for day in (13, 26, 39, 52, 65, 78, 89.99, 90):
        visitor = any_site.browser()
        visitor.cookies.set("__Host-session", secret, domain="blog.example")
        with at(day * DAY):
            seen.append(is_logged_in(visitor))

    assert seen == [True] * 7 + [False]


@deep
def test_a_person_has_at_most_twenty_sessions_and_the_oldest_end_first(any_site: Site, mailbox: Mailbox) -> None:
    for name in ("susan", "david"):
        register(any_site.browser(), mailbox, name)
    other = any_site.browser()
    log_in(other, "david")

    browsers = [logged_in(any_site) for _number in range(22)]

    assert [is_logged_in(browser) for browser in browsers] == [False] * 2 + [True] * 20
    assert is_logged_in(other)
    assert len(table(any_site, "session")) == 21


@pytest.mark.alike
def test_last_seen_is_written_at_most_once_a_minute(any_site: Site, mailbox: Mailbox) -> None:
    """C31: all that a look writes."""
    register(any_site.browser(), mailbox)
    with at(0):
        browser = logged_in(any_site)
    writes, moments = [], []

    for second in (1, 59, 61, 62, 121, 123):
        with at(second), statements(any_site) as seen:
            browser.get("/")
        writes.append(sum("UPDATE user_account" in statement for statement in seen))
        moments.append(execute(any_site, "SELECT last_seen_at FROM user_account"))

    assert writes == [0, 0, 1, 0, 0, 1]
    assert moments[1] != moments[2] == moments[4] != moments[5]


def test_a_page_finds_its_visitor_with_one_statement(site: Site, susan: str) -> None:
    browser = logged_in(site)

    with statements(site) as seen:
        browser.get("/")

    assert len([statement for statement in seen if "session" in statement]) == 1


@pytest.mark.parametrize("column", ["epoch", "expires_at"])
@deep
def test_a_session_of_another_epoch_or_time_is_not_open(any_site: Site, mailbox: Mailbox, column: str) -> None:
    """C19"""
    register(any_site.browser(), mailbox)
    browser = logged_in(any_site)

    change = "epoch = epoch + 1" if column == "epoch" else "expires_at = created_at"
    execute(any_site, f"UPDATE session SET {change}")

    assert not is_logged_in(browser)


def test_one_persons_page_is_never_shown_to_another(site: Site, mailbox: Mailbox, susan: str) -> None:
    """C36"""
    david = site.browser()
    register(david, mailbox, "david")
    log_in(david, "david")

    pages = logged_in(site).get("/settings").text, david.get("/settings").text

    assert ["susan@example.com" in page for page in pages] == [True, False]
    assert ["david@example.com" in page for page in pages] == [False, True]


@pytest.mark.alike
def test_a_long_or_odd_name_of_a_browser_does_no_harm(any_site: Site, mailbox: Mailbox) -> None:
    register(any_site.browser(), mailbox)
    browser = any_site.browser()
    browser.headers["user-agent"] = "<script>" + "x" * 5000

    log_in(browser)

    assert is_logged_in(browser)
    assert execute(any_site, "SELECT user_agent FROM session") == [("<script>" + "x" * 292,)]
