"""Changing the password: it asks for the current one, ends the other sessions, and tells the person."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from httpx2 import Response

from tests.depth import deep
from tests.mailbox import Mailbox
from tests.sites import Browser, Site
from tests.stories import NEW_PASSWORD, PASSWORD, is_logged_in, log_in, register
from tests.watching import execute

WRONG = "not the right password"
HTMX = {"hx-request": "true", "hx-request-type": "partial"}
COOKIE = "__Host-session"


def logged_in(site: Site, mailbox: Mailbox) -> Browser:
    browser = site.browser()
    register(browser, mailbox)
    log_in(browser)
    return browser


def change(browser: Browser, current: str = PASSWORD, new: str = NEW_PASSWORD, **headers: str) -> Response:
    return browser.post("/change_password", data={"current_password": current, "password": new}, headers=headers)


@pytest.mark.alike
def test_the_new_password_opens_and_the_old_one_does_not(any_site: Site, mailbox: Mailbox) -> None:
    """C34"""
    browser = logged_in(any_site, mailbox)

    answer = change(browser)
    email = mailbox.last("susan@example.com", count=2)

    old, new = any_site.browser(), any_site.browser()
    log_in(old)
    log_in(new, password=NEW_PASSWORD)
    assert "Your password is changed." in answer.text
    assert [is_logged_in(old), is_logged_in(new)] == [False, True]
    assert email.subject == "Your password on Microblog was changed"


@pytest.mark.alike
def test_all_other_sessions_end_and_this_one_goes_on_under_a_new_id(any_site: Site, mailbox: Mailbox) -> None:
    """C26, C34"""
    browser, others = logged_in(any_site, mailbox), [any_site.browser(), any_site.browser()]
    for other in others:
        log_in(other)
    before = browser.cookies[COOKIE]
    opened_at = execute(any_site, "SELECT created_at FROM session ORDER BY id LIMIT 1")

    answer = change(browser)

    replay = any_site.browser()
    replay.cookies.set(COOKIE, before, domain="blog.example")
    assert "Your password is changed, and you&#39;re logged out on 2 other devices." in answer.text
    assert [is_logged_in(visitor) for visitor in (browser, *others, replay)] == [True, False, False, False]
    assert browser.cookies[COOKIE] != before
    assert execute(any_site, "SELECT created_at FROM session") == opened_at, "it is still the sign-in of that time"


def test_a_wrong_current_password_is_refused_beside_its_field(site: Site, mailbox: Mailbox) -> None:
    """C34"""
    browser, other = logged_in(site, mailbox), site.browser()
    log_in(other)
    before = execute(site, "SELECT password_hash, epoch FROM user_account")

    answer = change(browser, WRONG)

    assert answer.status_code == 422
    assert re.search(r'id="current_password-error">That&#39;s not your current password', answer.text)
    assert WRONG not in answer.text
    assert is_logged_in(other)
    assert execute(site, "SELECT password_hash, epoch FROM user_account") == before


@pytest.mark.parametrize(
    ("current", "new", "field"),
    [
        ("", NEW_PASSWORD, "current_password"),
        (PASSWORD, "", "password"),
        (PASSWORD, "short", "password"),
        (PASSWORD, "susan@example.com", "password"),
        (PASSWORD, "x" * 257, "password"),
        ("x" * 257, NEW_PASSWORD, "current_password"),
    ],
)
def test_a_mistake_is_said_beside_its_field(
    standing: Site, visitor: Browser, current: str, new: str, field: str
) -> None:
    """C47, C48"""
    answer = change(visitor, current, new)

    assert answer.status_code == 422
    assert re.findall(r'id="(\w+)-error"', answer.text) == [field]
    assert execute(standing, "SELECT epoch FROM user_account") == [(0,)]


@deep
def test_guesses_at_the_current_password_are_throttled_as_log_ins_are(site: Site, mailbox: Mailbox) -> None:
    """C34: whoever finds an open browser can't find out the password."""
    browser = logged_in(site, mailbox)

    guesses = [change(browser, WRONG).status_code for _try in range(5)]
    right = change(browser)

    assert guesses == [422] * 5
    assert right.status_code == 429
    assert int(right.headers["retry-after"]) > 200
    assert execute(site, "SELECT epoch FROM user_account") == [(0,)]


@pytest.mark.races
@deep
def test_of_two_changes_at_once_one_wins(any_site: Site, mailbox: Mailbox) -> None:
    """C17: both with the right password, from two browsers."""
    browsers = [logged_in(any_site, mailbox), any_site.browser()]
    log_in(browsers[1])
    passwords = ["the first of two words", "the second of two words"]

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda pair: change(pair[0], new=pair[1]), zip(browsers, passwords, strict=True)))

    opens = []
    for password in passwords:
        visitor = any_site.browser()
        log_in(visitor, password=password)
        opens.append(is_logged_in(visitor))
    assert {answer.status_code for answer in answers} <= {200, 422}
    assert sorted(opens) == [False, True]
    assert execute(any_site, "SELECT epoch FROM user_account") == [(1,)]


def test_the_answer_is_a_part_of_the_page_or_a_real_navigation(site: Site, mailbox: Mailbox) -> None:
    browser = logged_in(site, mailbox)

    refused, done = change(browser, WRONG, **HTMX), change(browser, **HTMX)

    assert refused.text.strip().startswith('<section class="panel" id="panel"')
    assert (done.status_code, done.headers["hx-redirect"]) == (204, "/settings")


def test_a_password_manager_finds_the_account_and_both_passwords(visitor: Browser) -> None:
    page = visitor.get("/change_password").text

    fields = re.findall(r'<input (?!type="hidden")[^>]*>', page)

    assert [re.findall(r'autocomplete="([\w-]+)"', field) for field in fields] == [
        ["username"],
        ["current-password"],
        ["new-password"],
    ]
    assert 'value="susan"' in fields[0]
    assert "readonly" in fields[0]
