"""Logging in: by name or address, remembered or not, and no faster for guessers than for people."""

from collections.abc import Callable

import argon2
import pytest
import time_machine

from tests.depth import deep, one_in
from tests.mailbox import Mailbox
from tests.moments import START
from tests.sites import Browser, Site
from tests.stories import NEW_PASSWORD, PASSWORD, ask_for_reset, forget_and_find_link, is_logged_in, log_in, register
from tests.watching import disable, execute, statements
from webapp.passwords.hasher import Hasher
from webapp.settings import Settings

WRONG = "not the right password"
HTMX = {"hx-request": "true", "hx-request-type": "partial"}


@pytest.fixture
def susan(site: Site, mailbox: Mailbox) -> str:
    """The address of susan, who has an account under the name of Susan."""
    return register(site.browser(), mailbox, "Susan")


@pytest.mark.parametrize(
    "typed", ["Susan", "susan", "SUSAN", " susan ", "susan@example.com", "Susan@Example.COM", " susan@example.com\t"]
)
@one_in(6)
def test_a_person_logs_in_by_name_or_address_however_it_is_spelled(site: Site, susan: str, typed: str) -> None:
    browser = site.browser()

    answer = log_in(browser, typed)

    assert answer.url.path == "/"
    assert 'aria-label="Your account, Susan"' in answer.text


@deep
@pytest.mark.parametrize(
    ("typed", "password"),
    [
        ("susan", WRONG),
        ("susan", PASSWORD.upper()),
        ("susan", PASSWORD + " "),
        ("susan", " " + PASSWORD),
        ("susan", "!"),
        ("nobody", PASSWORD),
        ("nobody@example.com", PASSWORD),
        ("not a name at all", PASSWORD),
        ("@", PASSWORD),
        ("\u017fusan", PASSWORD),
    ],
)
@one_in(6)
def test_every_mismatch_gets_the_same_words(site: Site, susan: str, typed: str, password: str) -> None:
    """C12"""
    browser = site.browser()

    answer = log_in(browser, typed, password)

    assert answer.status_code == 422
    assert "That username or email and password don&#39;t match." in answer.text
    assert f'value="{password}"' not in answer.text, "a password is never echoed"
    assert not is_logged_in(browser)


@pytest.mark.alike
def test_the_answer_and_the_work_are_the_same_for_a_name_that_nobody_has(any_site: Site, mailbox: Mailbox) -> None:
    """C12, C01, C02: one look-up and one hash, and the same bytes but for what was typed."""
    for name in ("susan", "dizzy"):
        register(any_site.browser(), mailbox, name)
    disable(any_site, "dizzy")
    hashes = any_site.argon2.runs
    seen: dict[str, tuple[str, list[str], list[str]]] = {}

    for name in ("warms", "susan", "nobdy", "dizzy"):
        hashes.clear()
        with statements(any_site) as work:
            answer = log_in(any_site.browser(), name, WRONG)
        own = [statement for statement in work if "email" not in statement and not statement.startswith("BEGIN")]
        seen[name] = (answer.text.replace(name, "{typed}"), own, list(hashes))

    assert seen["susan"] == seen["nobdy"] == seen["dizzy"]
    assert seen["susan"][2] == ["verify"]
    assert any("user_account" in statement for statement in seen["nobdy"][1])


def test_a_disabled_account_cant_be_logged_in_to(site: Site, susan: str) -> None:
    disable(site, "Susan")
    browser = site.browser()

    answer = log_in(browser)

    assert answer.status_code == 422
    assert not is_logged_in(browser)


def test_a_person_who_came_for_a_page_gets_there(site: Site, susan: str) -> None:
    browser = site.browser(follow_redirects=False)
    form = browser.get("/login", params={"next": "/explore?page=2"}).text

    answer = log_in(browser, next="/explore?page=2")

    assert '<input type="hidden" name="next" value="/explore?page=2">' in form
    assert (answer.status_code, answer.headers["location"]) == (303, "/explore?page=2")


@deep
def test_a_mistake_does_not_lose_the_page_that_a_person_came_for(site: Site, susan: str) -> None:
    answer = log_in(site.browser(), "susan", WRONG, next="/explore")

    assert '<input type="hidden" name="next" value="/explore">' in answer.text


def test_somebody_who_is_logged_in_is_sent_on_from_the_log_in_page(site: Site, susan: str) -> None:
    browser = site.browser(follow_redirects=False)
    log_in(browser)

    answer = browser.get("/login", params={"next": "/explore"})

    assert (answer.status_code, answer.headers["location"]) == (303, "/explore")


def test_under_htmx_a_log_in_ends_in_a_real_navigation(site: Site, susan: str) -> None:
    answer = site.browser().post("/login", data={"username": "susan", "password": PASSWORD}, headers=HTMX)

    assert (answer.status_code, answer.headers["hx-redirect"]) == (204, "/")
    assert "__Host-session=" in answer.headers["set-cookie"]


def test_what_was_typed_is_carried_to_the_reset_form(site: Site) -> None:
    answer = log_in(site.browser(), "susan&co@example.com", WRONG)

    assert 'href="/reset_password_request?email=susan%26co%40example.com"' in answer.text


@deep
def test_five_attempts_in_five_minutes_for_a_name_and_a_client_ip(site: Site, susan: str) -> None:
    """C12"""
    browser = site.browser()

    statuses = [log_in(browser, "susan", WRONG).status_code for _try in range(5)]
    sixth = log_in(browser, "SUSAN", PASSWORD)

    assert statuses == [422] * 5
    assert sixth.status_code == 429
    assert 240 < int(sixth.headers["retry-after"]) <= 300
    assert "Too many attempts." in sixth.text
    assert not is_logged_in(browser)


@deep
def test_the_account_is_never_locked_for_another_client_ip(site: Site, susan: str) -> None:
    """C12: during an attack its owner gets in."""
    attacker = site.browser()
    for _try in range(7):
        log_in(attacker, "susan", WRONG)

    owner = site.browser()
    log_in(owner)

    assert is_logged_in(owner)


def test_new_attempts_are_allowed_after_five_minutes(site: Site, susan: str) -> None:
    browser = site.browser()
    with time_machine.travel(START, tick=False):
        for _try in range(6):
            log_in(browser, "susan", WRONG)

    with time_machine.travel(START + 299, tick=False):
        too_early = log_in(browser)
    with time_machine.travel(START + 300, tick=False):
        in_time = log_in(browser)

    assert too_early.status_code == 429
    assert in_time.url.path == "/"


@deep
def test_a_successful_log_in_forgets_earlier_attempts(site: Site, susan: str) -> None:
    browser = site.browser()
    for _round in range(3):
        for _try in range(4):
            assert log_in(browser, "susan", WRONG).status_code == 422
        assert log_in(browser).url.path == "/"


def test_thirty_attempts_a_minute_for_a_client_ip_whatever_the_names(site: Site) -> None:
    """C12"""
    browser = site.browser()

    statuses = [log_in(browser, f"somebody{number}", WRONG).status_code for number in range(31)]

    assert statuses == [422] * 30 + [429]


@deep
def test_refused_attempts_use_up_nothing_of_the_client_ip(site: Site, susan: str) -> None:
    """C12: whoever hammers one name does not shut out the others of the network."""
    network = "198.51.100.7"
    statuses = [log_in(site.browser(network), "nobody", WRONG).status_code for _try in range(35)]

    neighbour = site.browser(network)
    log_in(neighbour)

    assert statuses == [422] * 5 + [429] * 30
    assert is_logged_in(neighbour)


def test_an_attempt_over_the_limit_costs_no_hash(site: Site, susan: str) -> None:
    browser = site.browser()
    for _try in range(5):
        log_in(browser, "susan", WRONG)
    site.argon2.runs.clear()

    log_in(browser, "susan", WRONG)

    assert site.argon2.runs == []


def log_in_often(site: Site, times: int) -> list[int]:
    """From as many networks, in browsers that susan isn't known by."""
    return [log_in(site.browser(f"198.51.{number // 250}.{number % 250}")).status_code for number in range(times)]


@deep
def test_log_ins_of_an_account_are_limited_over_all_networks_and_browsers(site: Site, susan: str) -> None:
    """Each leaves a line in the history for 180 days. Neither a wrong password nor another person is counted."""
    statuses = log_in_often(site, 201)
    noted = execute(site, "SELECT count(*) FROM security_event")
    refused = log_in(site.browser())

    assert statuses == [200] * 200 + [429]
    assert "You can continue in" in refused.text
    assert execute(site, "SELECT count(*) FROM security_event") == noted
    assert log_in(site.browser(), "susan", WRONG).status_code == 422


@deep
def test_a_reset_begins_the_count_of_log_ins_anew(site: Site, susan: str, mailbox: Mailbox) -> None:
    """Somebody with the password may have used it up."""
    log_in_often(site, 201)
    link = forget_and_find_link(site.browser(), mailbox)

    site.browser().post(link, data={"password": NEW_PASSWORD})

    assert is_logged_in_after(site, NEW_PASSWORD)


def is_logged_in_after(site: Site, password: str) -> bool:
    browser = site.browser()
    log_in(browser, password=password)
    return is_logged_in(browser)


@pytest.mark.dear_passwords
@deep
def test_a_hash_of_other_costs_is_renewed_at_log_in(any_site: Site, mailbox: Mailbox) -> None:
    register(any_site.browser(), mailbox)
    cheap = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
    execute(any_site, "UPDATE user_account SET password_hash = :cheap", cheap=cheap)

    log_in(any_site.browser(), "susan", WRONG)
    after_mistake = execute(any_site, "SELECT password_hash FROM user_account")
    first = log_in(any_site.browser())
    renewed = execute(any_site, "SELECT password_hash, epoch FROM user_account")
    second = log_in(any_site.browser())

    assert after_mistake == [(cheap,)]
    assert renewed[0][0].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert renewed[0][1] == 0, "renewing a hash ends no link and no session"
    assert first.url.path == second.url.path == "/"
    assert execute(any_site, "SELECT password_hash FROM user_account")[0][0] == renewed[0][0]


@pytest.mark.parametrize("stored", ["!", "", "plain text", "$argon2id$v=19$broken", "$2b$12$abcdefghijklmnopqrstuv"])
@one_in(6)
def test_an_account_without_a_sound_hash_opens_by_a_link_only(
    site: Site, mailbox: Mailbox, susan: str, stored: str
) -> None:
    execute(site, "UPDATE user_account SET password_hash = :stored", stored=stored)

    statuses = {
        log_in(site.browser(), "susan", password).status_code for password in ("!", "x", stored or "x", PASSWORD)
    }
    ask_for_reset(site.browser(), "susan")

    assert statuses == {422}
    assert site.browser().get(mailbox.link(susan, count=2)).status_code == 200


def test_a_log_in_opens_a_session_of_its_own_and_ends_the_one_before(site: Site, susan: str) -> None:
    """C26"""
    browser = site.browser()
    log_in(browser)
    first = browser.cookies["__Host-session"]

    log_in(browser)

    old = site.browser()
    old.cookies.set("__Host-session", first, domain="blog.example")
    assert browser.cookies["__Host-session"] != first
    assert is_logged_in(browser)
    assert not is_logged_in(old)


@pytest.mark.parametrize("planted", ["planted", "a" * 43, ""])
@deep
def test_a_planted_session_is_ignored(site: Site, susan: str, planted: str) -> None:
    """C26: what an attacker put into the browser is never what opens."""
    browser = site.browser()
    browser.cookies.set("__Host-session", planted, domain="blog.example", path="/")

    answer = log_in(site.browser(follow_redirects=False))
    browser.post("/login", data={"username": "susan", "password": PASSWORD})

    attacker = site.browser()
    attacker.cookies.set("__Host-session", planted, domain="blog.example", path="/")
    assert planted == "" or planted not in answer.headers["set-cookie"]
    assert not is_logged_in(attacker)
    stored = execute(site, "SELECT token_hash FROM session")
    assert all(len(row[0]) == 64 for row in stored)


def test_a_failed_log_in_leaves_an_open_session_open(site: Site, susan: str) -> None:
    browser = site.browser()
    log_in(browser)

    log_in(browser, "susan", WRONG)

    assert is_logged_in(browser)


def test_more_log_ins_than_the_site_can_hash_get_503(site: Site, susan: str) -> None:
    """C49: the excess is told to come back, and the rest of the site answers."""
    site.app.state.hasher = Hasher(site.argon2, most_waiting=0)

    answer = log_in(site.browser())
    other: Browser = site.browser()

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "busy" in answer.text
    assert other.get("/login").status_code == 200


def test_logging_in_does_not_need_mail(
    sqlite_url: str, make_settings: Callable[..., Settings], start_site: Callable[[Settings], Site]
) -> None:
    site = start_site(make_settings(database_url=sqlite_url))
    assert site.mailbox
    register(site.browser(), site.mailbox)

    without = start_site(make_settings(database_url=sqlite_url, mailer="off"))
    browser = without.browser()
    log_in(browser)

    assert is_logged_in(browser)
