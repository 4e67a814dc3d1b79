"""The list of sessions: what it says of each, and how they are ended."""

import re

import pytest

from tests.depth import deep
from tests.mailbox import Mailbox
from tests.sites import Browser, Site
from tests.stories import PASSWORD, is_logged_in, log_in, register
from tests.watching import execute

PHONE = "Mozilla/5.0 (Android 15; Mobile; rv:145.0) Gecko/145.0 Firefox/145.0"


@pytest.fixture
def susan(site: Site, mailbox: Mailbox) -> Browser:
    register(site.browser(), mailbox)
    return logged_in(site)


def logged_in(site: Site, user_agent: str = "a program", username: str = "susan", network: str = "") -> Browser:
    browser = site.browser(network)
    browser.headers["user-agent"] = user_agent
    log_in(browser, username)
    return browser


def listed(browser: Browser) -> list[str]:
    """The sessions that the page shows, each as the words of its row."""
    rows = re.findall(r'<li class="roof-row">(.*?)</li>', browser.get("/sessions").text, re.DOTALL)
    return [" ".join(re.sub(r"<[^>]+>", " ", row).split()) for row in rows]


def test_each_session_says_its_browser_its_network_and_when(site: Site, susan: Browser) -> None:
    """C34"""
    logged_in(site, PHONE, network="198.51.100.7")

    here, phone = listed(susan)

    assert here.startswith("a browser This one Network 203.0.113.")
    assert phone.startswith("Firefox on Android Network 198.51.100.7 Since ")
    assert "Last seen " in phone
    assert [row.endswith(button) for row, button in [(here, "Log out"), (phone, "Log out")]] == [True, True]


def test_each_button_is_heard_with_its_browser_and_since_when(site: Site, susan: Browser) -> None:
    """Two sessions of one browser are told apart by ear, too."""
    logged_in(site, PHONE)
    logged_in(site, PHONE)

    page = susan.get("/sessions").text

    heard = re.findall(r'id="(\S+)" aria-label="Log out of Firefox on Android" aria-labelledby="(\S+) (\S+)"', page)
    assert len(heard) == len({since for _own, _itself, since in heard}) == 2
    assert all(own == itself and f'<div id="{since}"><dt>Since</dt>' in page for own, itself, since in heard)


def test_what_a_browser_says_of_itself_is_never_shown(site: Site, susan: Browser) -> None:
    """C38"""
    logged_in(site, "<script>alert(1)</script> Firefox/1 on <b>Windows</b>")

    page = susan.get("/sessions").text

    assert "Firefox on Windows" in page
    assert "alert(1)" not in page


@deep
def test_who_is_logged_in_nowhere_else_is_not_offered_to_log_out_there(site: Site, susan: Browser) -> None:
    """What the button ends besides, it still ends: a session that is gone may have left links, codes and passkeys."""
    alone = susan.get("/sessions").text
    logged_in(site, PHONE)
    beside = susan.get("/sessions").text

    assert ["Log out everywhere else" in page for page in (alone, beside)] == [False, True]
    assert ["You aren't logged in anywhere else." in page for page in (alone, beside)] == [True, False]
    assert alone.count("/sessions/end_others") == beside.count("/sessions/end_others") == 1


@pytest.mark.alike
@deep
def test_one_session_is_ended_and_the_others_go_on(any_site: Site, mailbox: Mailbox) -> None:
    """C34"""
    register(any_site.browser(), mailbox)
    here, phone, third = logged_in(any_site), logged_in(any_site, PHONE), logged_in(any_site)
    [[phone_id]] = execute(any_site, "SELECT id FROM session WHERE user_agent = :phone", phone=PHONE)

    answer = here.post(f"/sessions/{phone_id}/end")

    assert "Logged out of Firefox on Android." in answer.text
    assert [is_logged_in(browser) for browser in (here, phone, third)] == [True, False, True]
    assert execute(any_site, "SELECT kind FROM security_event ORDER BY id DESC LIMIT 1") == [("session_ended",)]


@deep
def test_a_person_logged_out_of_one_device_is_told_which(site: Site, mailbox: Mailbox, susan: Browser) -> None:
    """C68: else a thief would end the owner's sessions one by one."""
    logged_in(site, PHONE)
    [[phone_id]] = execute(site, "SELECT id FROM session WHERE user_agent = :phone", phone=PHONE)

    susan.post(f"/sessions/{phone_id}/end")

    told = mailbox.last("susan@example.com", subject="You were logged out of a device")
    assert "UTC: Firefox on Android." in " ".join(told.text.split())
    assert "recovery codes" not in told.text
    assert "/not_me/" in told.text


@pytest.mark.alike
@deep
def test_all_other_sessions_are_ended_at_once(any_site: Site, mailbox: Mailbox) -> None:
    """C34"""
    for name in ("susan", "david"):
        register(any_site.browser(), mailbox, name)
    david = logged_in(any_site, username="david")
    here, others = logged_in(any_site), [logged_in(any_site) for _number in range(3)]

    answer = here.post("/sessions/end_others")

    assert "You&#39;re logged out on 3 other devices." in answer.text
    assert [is_logged_in(browser) for browser in (here, *others, david)] == [True, False, False, False, True]
    assert listed(here) == listed(here)[:1]


@pytest.mark.alike
def test_a_person_logged_out_everywhere_else_is_told(any_site: Site, mailbox: Mailbox) -> None:
    """C68: a thief needs only a session for it, and ends the owner's sessions and recovery codes by it."""
    register(any_site.browser(), mailbox)
    owner = logged_in(any_site)
    owner.post("/recovery_codes", data={"current_password": PASSWORD})
    thief = any_site.browser()
    thief.cookies.set("__Host-session", owner.cookies["__Host-session"], domain="blog.example")

    thief.post("/sessions/end_others")

    told = mailbox.last("susan@example.com", subject="You were logged out everywhere else")
    assert "Your recovery codes stopped working, too." in told.text
    assert "/not_me/" in told.text


def test_ending_the_current_session_logs_out(site: Site, susan: Browser) -> None:
    """C27"""
    kept = susan.cookies["__Host-session"]
    [[own_id]] = execute(site, "SELECT id FROM session")

    answer = susan.post(f"/sessions/{own_id}/end")

    replay = site.browser()
    replay.cookies.set("__Host-session", kept, domain="blog.example")
    assert answer.url.path == "/login"
    assert "You&#39;re logged out." in answer.text
    assert "__Host-session" not in susan.cookies
    assert not is_logged_in(replay)


def test_nobody_ends_somebody_elses_session(site: Site, mailbox: Mailbox, susan: Browser) -> None:
    """C36: and the answer is the same as for a session that nobody has."""
    register(site.browser(), mailbox, "david")
    [[susans]] = execute(site, "SELECT id FROM session")
    david = logged_in(site, username="david")

    anothers, nobodys = david.post(f"/sessions/{susans}/end"), david.post("/sessions/99999/end")

    assert is_logged_in(susan)
    assert anothers.text == nobodys.text
    assert "That session has already ended." in anothers.text


@deep
@pytest.mark.parametrize("odd", ["0", "-1", "abc", "9" * 40, "1e0", "٣", "1%00", "1 or 1=1"])
def test_an_impossible_session_ends_nothing(visitor: Browser, odd: str) -> None:
    """C46"""
    answer = visitor.post(f"/sessions/{odd}/end")

    assert answer.status_code == 200
    assert "That session has already ended." in answer.text
    assert is_logged_in(visitor)


@deep
def test_what_has_ended_by_itself_is_not_listed(site: Site, susan: Browser) -> None:
    """C28"""
    for number, change in enumerate(["expires_at = created_at", "epoch = epoch + 1"]):
        logged_in(site, PHONE + str(number))
        execute(site, f"UPDATE session SET {change} WHERE user_agent = :user_agent", user_agent=PHONE + str(number))

    answer = susan.post("/sessions/end_others")

    assert len(listed(susan)) == 1
    assert "You weren&#39;t logged in anywhere else." in answer.text
    assert is_logged_in(susan)
