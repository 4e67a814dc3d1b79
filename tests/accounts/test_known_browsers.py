"""Known browsers: an email tells of a new one, and an old one is not locked out by guessers (C12)."""

import hashlib
from datetime import timedelta

import pytest
import time_machine
from sqlmodel import insert, update

from tests.addresses.steps import links
from tests.depth import deep
from tests.mailbox import Mailbox
from tests.sites import Browser, Site
from tests.stories import NEW_PASSWORD, PASSWORD, is_logged_in, log_in, register
from tests.watching import execute, statements, wait_until_posted
from webapp.accounts.models import KnownBrowser
from webapp.database import now
from webapp.mail.kinds import REPEATS_WITHIN

COOKIE = "__Host-browser"
WRONG = "not the right password"
SUSAN = "susan@example.com"
PHONE = "Mozilla/5.0 (Android 15; Mobile; rv:145.0) Gecko/145.0 Firefox/145.0"
NETWORK = "198.51.100.7"


@pytest.fixture
def known(site: Site, mailbox: Mailbox) -> Browser:
    """The browser in which susan has registered, and logged in and out."""
    return registered_at(site.browser(), mailbox)


def registered_at(browser: Browser, mailbox: Mailbox) -> Browser:
    register(browser, mailbox)
    return used_at(browser)


def used_at(browser: Browser, username: str = "susan") -> Browser:
    """A browser in which somebody has logged in and out."""
    log_in(browser, username)
    assert is_logged_in(browser)
    browser.post("/logout")
    return browser


def told(site: Site, mailbox: Mailbox, address: str = SUSAN) -> int:
    """How many emails have told of a new browser."""
    wait_until_posted(site)
    return sum("A new log-in" in email.subject for email in mailbox.all(address))


@pytest.mark.alike
def test_only_a_browser_other_than_that_of_the_registration_is_news(any_site: Site, mailbox: Mailbox) -> None:
    registered_at(any_site.browser(), mailbox)
    after_the_first = told(any_site, mailbox)

    phone = any_site.browser(NETWORK)
    phone.headers["user-agent"] = PHONE
    used_at(phone)

    email = mailbox.last(SUSAN, count=2)
    assert (after_the_first, told(any_site, mailbox)) == (0, 1)
    assert "It was Firefox on Android, from the network 198.51.100.7" in " ".join(email.text.split())
    assert "https://blog.example/sessions\n" in email.text
    assert "https://blog.example/not_me/" in email.text


@pytest.mark.alike
def test_a_browser_is_new_only_once_from_whatever_address(any_site: Site, mailbox: Mailbox) -> None:
    registered_at(any_site.browser(), mailbox)
    phone = used_at(any_site.browser())

    phone.headers["x-forwarded-for"] = NETWORK
    used_at(phone)

    assert told(any_site, mailbox) == 1


def test_the_cookie_is_long_lived_and_out_of_reach(site: Site, known: Browser) -> None:
    """C25"""
    answer = known.post("/login", data={"username": "susan", "password": PASSWORD}, follow_redirects=False)

    [cookie] = [line for line in answer.headers.get_list("set-cookie") if line.startswith(COOKIE)]
    assert set(cookie.split("; ")[1:]) == {"HttpOnly", "Max-Age=34560000", "Path=/", "SameSite=lax", "Secure"}


def test_the_row_holds_only_the_digest_of_the_cookie(site: Site, known: Browser) -> None:
    digest = hashlib.sha256(known.cookies[COOKIE].encode()).hexdigest()

    assert execute(site, "SELECT user_id, secret_hash FROM known_browser") == [(1, digest)]


@deep
def test_two_people_may_share_a_browser(site: Site, mailbox: Mailbox, known: Browser) -> None:
    register(known, mailbox, "david")
    cookie = known.cookies[COOKIE]

    for name in ("david", "susan", "david"):
        used_at(known, name)

    assert known.cookies[COOKIE] == cookie
    assert [told(site, mailbox, f"{name}@example.com") for name in ("susan", "david")] == [0, 0]


@pytest.mark.parametrize("planted", ["x", "a" * 4000])
def test_a_cookie_that_isnt_ours_is_replaced(site: Site, mailbox: Mailbox, known: Browser, planted: str) -> None:
    """C26"""
    browser = site.browser()
    browser.cookies.set(COOKIE, planted, domain="blog.example", path="/")

    log_in(browser)

    values = {cookie.value for cookie in browser.cookies.jar if cookie.name == COOKIE}
    assert is_logged_in(browser)
    assert all(len(value or "") == 43 for value in values - {planted})
    assert planted not in repr(execute(site, "SELECT * FROM known_browser"))
    assert told(site, mailbox) == 1


def test_after_a_long_absence_a_browser_is_new_again(site: Site, mailbox: Mailbox, known: Browser) -> None:
    """Its row was cleared away, and this isn't the account's first log-in."""
    with time_machine.travel(now() + timedelta(minutes=10)):
        log_in(known)
    with time_machine.travel(now() + timedelta(minutes=20)):
        known.get("/")
    execute(site, "DELETE FROM known_browser")

    used_at(site.browser())

    assert told(site, mailbox) == 1


@pytest.mark.alike
@deep
def test_after_a_change_of_password_only_this_browser_is_known(any_site: Site, mailbox: Mailbox) -> None:
    """Whoever had the old password may have made a browser known."""
    here = registered_at(any_site.browser(), mailbox)
    thief = used_at(any_site.browser())
    log_in(here)
    assert told(any_site, mailbox) == 1

    here.post("/change_password", data={"current_password": PASSWORD, "password": NEW_PASSWORD})
    log_in(here, password=NEW_PASSWORD)
    told_of_here = told(any_site, mailbox)
    with time_machine.travel(now() + REPEATS_WITHIN):
        log_in(thief, password=NEW_PASSWORD)
        told_of_both = told(any_site, mailbox)

    assert (told_of_here, told_of_both) == (1, 2)


@deep
def test_after_this_wasnt_me_that_browser_is_new_again(site: Site, mailbox: Mailbox) -> None:
    here, thief = registered_at(site.browser(), mailbox), used_at(site.browser())

    here.post(links(mailbox, SUSAN, "/not_me/")[0])
    log_in(here)  # which sends the link that unlocks the account
    here.post(links(mailbox, SUSAN, "/reset_password/")[0], data={"password": NEW_PASSWORD})
    log_in(here, password=NEW_PASSWORD)
    told_of_here = told(site, mailbox)
    with time_machine.travel(now() + REPEATS_WITHIN):
        log_in(thief, password=NEW_PASSWORD)
        told_of_both = told(site, mailbox)

    assert (told_of_here, told_of_both) == (1, 2)


@pytest.mark.alike
@deep
def test_a_person_has_at_most_fifty_known_browsers(any_site: Site, mailbox: Mailbox) -> None:
    browser = registered_at(any_site.browser(), mailbox)
    know_browsers(any_site, "old", 60, timedelta(days=90))

    used_at(any_site.browser())
    used_at(browser)

    assert execute(any_site, "SELECT count(*) FROM known_browser") == [(50,)]
    assert told(any_site, mailbox) == 1, "those in use are kept"


@pytest.mark.alike
def test_whoever_has_just_got_in_cannot_push_out_the_browsers_known_for_longer(
    any_site: Site, mailbox: Mailbox
) -> None:
    """C12: a thief with the password logs in again and again, each time without a cookie."""
    owner = registered_at(any_site.browser(), mailbox)
    know_browsers(any_site, "hers", 24, timedelta(days=8))
    execute(any_site, update(KnownBrowser).values(known_since=now() - timedelta(days=8)))
    know_browsers(any_site, "thief", 70, -timedelta(seconds=1))

    used_at(any_site.browser())
    told_of_the_thief = told(any_site, mailbox)
    used_at(owner)

    hers = "SELECT count(*) FROM known_browser WHERE secret_hash LIKE 'hers%'"
    assert execute(any_site, hers) == [(24,)]
    assert execute(any_site, "SELECT count(*) FROM known_browser") == [(50,)]
    assert told(any_site, mailbox) == told_of_the_thief == 1


def know_browsers(site: Site, name: str, count: int, ago: timedelta) -> None:
    """So many browsers in which susan was that long ago, for the first and the last time."""
    moment = now() - ago
    rows = [
        {"user_id": 1, "secret_hash": f"{name}-{number}", "epoch": 0, "counted_as": f"{name}-{number}"}
        | {"known_since": moment, "last_seen_at": moment}
        for number in range(count)
    ]
    execute(site, insert(KnownBrowser).values(rows))


def test_an_email_that_is_not_wanted_is_not_sent(site: Site, mailbox: Mailbox, known: Browser) -> None:
    log_in(known)
    known.post("/letters", data={"current_password": PASSWORD})

    used_at(site.browser())

    assert told(site, mailbox) == 0
    assert execute(site, "SELECT count(*) FROM outbox_email WHERE kind = 'new_sign_in'") == [(0,)]


@deep
def test_a_program_that_logs_in_again_and_again_fills_no_mailbox(site: Site, mailbox: Mailbox, known: Browser) -> None:
    """C10"""
    for _time in range(12):
        log_in(site.browser())

    assert told(site, mailbox) == 1
    assert execute(site, "SELECT count(*) FROM outbox_email WHERE kind = 'new_sign_in'") == [(2,)], "one tells the rest"


@pytest.mark.parametrize("names", [["susan"], [f"somebody{number}" for number in range(6)]], ids=["name", "network"])
@deep
def test_guessers_at_the_same_client_ip_do_not_lock_the_owner_out(
    site: Site, mailbox: Mailbox, names: list[str]
) -> None:
    """C12: neither by her name nor by using up the network."""
    register(site.browser(), mailbox)
    owner, stranger = used_at(site.browser(NETWORK)), site.browser(NETWORK)
    for name in names:
        for _try in range(5):
            log_in(site.browser(NETWORK), name, WRONG)

    log_in(stranger)
    log_in(owner)

    assert not is_logged_in(stranger), "the guessers are throttled"
    assert is_logged_in(owner)


def test_a_known_browser_has_five_attempts_too(site: Site, known: Browser) -> None:
    """C12: by name or by address, they are the same five."""
    spelled = ["susan", "SUSAN", SUSAN, "Susan", SUSAN.upper()]

    tries = [log_in(known, typed, WRONG).status_code for typed in spelled]
    sixth = log_in(known)

    assert tries == [422] * 5
    assert sixth.status_code == 429
    assert not is_logged_in(known)


def test_the_right_password_in_a_known_browser_starts_its_count_anew(site: Site, known: Browser) -> None:
    for _round in range(2):
        statuses = [log_in(known, "susan", WRONG).status_code for _try in range(4)]
        used_at(known)

        assert statuses == [422] * 4


@deep
def test_a_browser_known_for_another_account_gains_nothing(site: Site, mailbox: Mailbox, known: Browser) -> None:
    """C12: neither more tries at susan's password, nor more tries in all."""
    register(site.browser(), mailbox, "david")
    davids = used_at(site.browser(NETWORK), "david")

    at_susans = [log_in(davids, "susan", WRONG).status_code for _try in range(6)]
    at_anybodys = [log_in(davids, f"somebody{number}", WRONG).status_code for number in range(25)]

    assert at_susans == [422] * 5 + [429]
    assert at_anybodys == [422] * 24 + [429], "with his own log-in and five at susan's, thirty in a minute"


@pytest.mark.alike
def test_with_a_cookie_too_the_work_is_the_same_for_a_name_that_nobody_has(any_site: Site, mailbox: Mailbox) -> None:
    """C12, C02"""
    for name in ("susan", "david"):
        register(any_site.browser(), mailbox, name)
    davids = used_at(any_site.browser(), "david")
    tables = ("user_account", "known_browser", "limit_window", "session")  # the mailer looks into others
    work: dict[str, list[str]] = {}

    for name in ("warms", "susan", "nobdy", "susan@example.com", "nobdy@example.com"):
        with statements(any_site) as seen:
            log_in(davids, name, WRONG)
        work[name] = [statement for statement in seen if any(table in statement for table in tables)]

    assert work["susan"] == work["nobdy"]
    assert work["susan@example.com"] == work["nobdy@example.com"]
    assert any("known_browser" in statement for statement in work["nobdy"])
