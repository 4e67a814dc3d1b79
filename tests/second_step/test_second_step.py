"""The second step of a log-in: what it asks for, what answers it, and what it gives away."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
import time_machine

from tests.depth import deep, one_in
from tests.factors.steps import HALF_MINUTE, App, log_in_with
from tests.mailbox import Mailbox
from tests.second_step.conftest import with_app
from tests.sites import Browser, Site
from tests.stories import NEW_PASSWORD, PASSWORD, is_logged_in, log_in, register
from tests.watching import dump, execute
from webapp.database import now
from webapp.factors import sealing
from webapp.signing import CannotDecrypt

STEP = "/login/second_step"
UNFINISHED = "Somebody knows your password"


def test_a_log_in_asks_for_the_apps_code_after_the_password(site: Site, app: App) -> None:
    browser = site.browser()

    page = log_in(browser)

    assert page.url.path == STEP
    assert not is_logged_in(browser)
    assert browser.post(STEP, data={"code": app.code()}).url.path == "/"
    assert is_logged_in(browser)


@deep
def test_people_reach_the_page_they_wanted_and_stay_logged_in_as_they_asked(site: Site, app: App) -> None:
    browser = site.browser(follow_redirects=False)

    to_step = log_in(browser, next="/settings", remember_me="1")
    page = browser.get(to_step.headers["location"]).text
    [came_for] = re.findall(r'name="next" value="([^"]+)"', page)
    answer = browser.post(STEP, data={"code": app.code(), "next": came_for})

    assert answer.headers["location"] == "/settings"
    assert [bool(kept) for (kept,) in execute(site, "SELECT is_remembered FROM session")] == [True]


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example"])
@deep
def test_the_second_step_leads_to_no_other_site(site: Site, app: App, elsewhere: str) -> None:
    """C43"""
    browser = site.browser(follow_redirects=False)
    log_in(browser)

    assert browser.post(STEP, data={"code": app.code(), "next": elsewhere}).headers["location"] == "/"


def test_a_wrong_password_is_answered_alike_with_and_without_a_second_factor(
    site: Site, app: App, mailbox: Mailbox
) -> None:
    """C12: in its status, headers and bytes; and neither half-way nor told by email."""
    register(site.browser(), mailbox, "david")

    with time_machine.travel(now(), tick=False):
        answers = [
            site.browser().post("/login", data={"username": name, "password": "not the right one"})
            for name in ("susan", "david", "nobody")
        ]

    texts = {re.sub("susan|david|nobody", "NAME", each.text) for each in answers}
    headers = [{name: value for name, value in each.headers.items() if name != "content-length"} for each in answers]
    assert {each.status_code for each in answers} == {422}
    assert len(texts) == 1
    assert headers[0] == headers[1] == headers[2]
    assert execute(site, "SELECT count(*) FROM pending_log_in") == [(0,)]


def test_the_half_way_cookie_opens_nothing(site: Site, app: App) -> None:
    browser = site.browser()
    log_in(browser)

    assert browser.get("/settings").url.path == "/login"
    secret = browser.cookies["__Host-second_step"]
    thief = site.browser()
    thief.cookies.set("__Host-session", secret, domain="blog.example")
    assert not is_logged_in(thief)


@pytest.mark.parametrize(("steps", "is_right"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
@one_in(6)
def test_a_code_is_good_a_step_before_and_after_its_time(site: Site, app: App, steps: int, is_right: bool) -> None:
    browser = site.browser()
    execute(site, "UPDATE factor SET last_step = 0")
    with time_machine.travel(now(), tick=False):
        log_in(browser)
        browser.post(STEP, data={"code": app.code(steps)})

    assert is_logged_in(browser) == is_right


@pytest.mark.parametrize(("steps", "minutes"), [(6, 3), (-9, 4), (20, 10), (2, 1)])
@deep
def test_a_phone_whose_clock_is_far_off_is_told(site: Site, app: App, steps: int, minutes: int) -> None:
    browser = site.browser()
    log_in(browser)

    with time_machine.travel(now(), tick=False):
        answer = browser.post(STEP, data={"code": app.code(steps)})

    assert answer.status_code == 422
    assert f"clock is off by about {minutes} minute" in answer.text


@pytest.mark.alike
def test_words_about_a_clock_tell_a_guesser_nothing_to_wait_for(any_site: Site, mailbox: Mailbox) -> None:
    """Otherwise any of the next twenty codes would do instead of one of three: one merely sends it again in time."""
    app = with_app(any_site.browser(), mailbox)
    log_in(guesser := any_site.browser())
    with time_machine.travel(now(), tick=False):
        code = app.code(10)
        told = guesser.post(STEP, data={"code": code}).text

    meanwhile = log_in_with(any_site.browser(), app)
    with time_machine.travel(now() + timedelta(seconds=10 * HALF_MINUTE)):
        later = guesser.post(STEP, data={"code": code})
        owner = log_in_with(any_site.browser(), app, 1)

    assert "clock is off by about 5 minutes" in told
    assert (later.status_code, is_logged_in(guesser)) == (422, False)
    assert (meanwhile, owner) == ("/", "/")


@deep
def test_a_used_code_is_refused_and_so_is_any_older_one(site: Site, app: App) -> None:
    with time_machine.travel(now(), tick=False):  # or the next half minute, and with it a new code, could begin
        assert log_in_with(site.browser(), app, 0) == "/"

        for steps in (0, -1):
            browser = site.browser()
            log_in(browser)
            answer = browser.post(STEP, data={"code": app.code(steps)})
            assert answer.status_code == 422
            assert "it has been used" in answer.text
            assert not is_logged_in(browser)


@deep
def test_of_fifty_log_ins_with_one_code_one_gets_in(any_site: Site, mailbox: Mailbox) -> None:
    """C17: on both databases. Known browsers, so that no limit decides it."""
    app = with_app(any_site.browser(), mailbox)
    execute(any_site, "UPDATE factor SET last_step = 0")
    browsers = [any_site.browser() for _number in range(50)]
    for browser in browsers:
        log_in(browser)
    code = app.code()
    execute(any_site, "DELETE FROM limit_window")

    def answer(browser: Browser) -> int:
        return browser.post(STEP, data={"code": code}).status_code

    with ThreadPoolExecutor(10) as pool:
        statuses = list(pool.map(answer, browsers))

    assert sum(map(is_logged_in, browsers)) == 1
    assert max(statuses) < 500
    assert execute(any_site, "SELECT count(*) FROM session") == [(1,)]


def test_a_recovery_code_stands_in_for_the_app_once(site: Site, app: App, mailbox: Mailbox) -> None:
    browser = site.browser()
    log_in(browser)
    typed = app.codes[0].upper().replace("-", " ")

    assert browser.post(STEP, data={"code": typed}).url.path == "/"
    again = site.browser()
    log_in(again)
    assert "has been used" in again.post(STEP, data={"code": app.codes[0]}).text
    told = mailbox.last("susan@example.com", subject="A recovery code was used").text
    assert "instead of its second step" in " ".join(told.split())


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "aaaa-bbbb", "٣٣٣٣٣٣", "x" * 101])
@deep
def test_what_cant_be_a_code_is_told_and_counts_for_nothing(site: Site, app: App, code: str) -> None:
    browser = site.browser()
    log_in(browser)
    before = execute(site, "SELECT count(*) FROM limit_window")

    answer = browser.post(STEP, data={"code": code})

    assert answer.status_code == 422
    assert execute(site, "SELECT count(*) FROM limit_window") == before


def test_the_second_step_must_be_taken_within_ten_minutes(site: Site, app: App) -> None:
    browser = site.browser()
    log_in(browser)

    with time_machine.travel(time.time() + 601):
        answer = browser.post(STEP, data={"code": app.code()})

    assert answer.url.path == "/login"
    assert "That took too long" in answer.text


@deep
def test_whatever_raises_the_epoch_ends_it(site: Site, app: App) -> None:
    browser, owner = site.browser(), site.browser()
    log_in(browser)
    log_in_with(owner, app)
    owner.post("/change_password", data={"current_password": PASSWORD, "password": NEW_PASSWORD})

    assert browser.post(STEP, data={"code": app.code(1)}).url.path == "/login"
    assert not is_logged_in(browser)


@deep
def test_a_trusted_browser_is_not_asked_again_for_thirty_days(site: Site, app: App) -> None:
    browser = site.browser()
    log_in_with(browser, app, trust="1")
    browser.post("/logout")

    assert log_in(browser).url.path == "/"
    assert "Trusted until" in browser.get("/sessions").text
    browser.post("/logout")
    with time_machine.travel(time.time() + 31 * 86400):
        assert log_in(browser).url.path == STEP


@deep
def test_the_trust_ends_with_its_session(site: Site, app: App) -> None:
    trusted, owner = site.browser(), site.browser()
    log_in_with(trusted, app, trust="1")
    [[session]] = execute(site, "SELECT max(id) FROM session")
    log_in_with(owner, app, 1)

    owner.post(f"/sessions/{session}/end")

    assert log_in(trusted).url.path == STEP


@deep
def test_the_owner_is_told_of_a_password_that_got_no_further(site: Site, app: App, mailbox: Mailbox) -> None:
    thief = site.browser("198.51.100.7")
    log_in(thief)
    log_in(thief)

    execute(site, "UPDATE outbox_email SET due_at = created_at WHERE state = 'ready'")
    told = mailbox.last("susan@example.com", subject=UNFINISHED).text

    assert "from the network 198.51.100.7" in " ".join(told.split())
    time.sleep(0.2)
    assert len(mailbox.all("susan@example.com", UNFINISHED)) == 1


@deep
def test_nobody_is_told_of_a_log_in_that_was_finished(site: Site, app: App, mailbox: Mailbox) -> None:
    browser = site.browser()
    log_in(browser)
    log_in_with(browser, app)
    execute(site, "UPDATE outbox_email SET due_at = created_at WHERE state = 'ready'")

    with time_machine.travel(time.time() + 1):
        log_in(site.browser("198.51.100.9"))
    execute(site, "UPDATE outbox_email SET due_at = created_at WHERE state = 'ready'")

    told = mailbox.last("susan@example.com", subject=UNFINISHED).text
    assert "198.51.100.9" in told
    assert len(mailbox.all("susan@example.com", UNFINISHED)) == 1


def test_a_copy_of_the_database_opens_nothing(site: Site, app: App, mailbox: Mailbox) -> None:
    """Neither the secret nor anything from which it could be had stands there in clear."""
    stored = repr(dump(site))

    assert app.secret not in stored
    assert [code for code in app.codes if code.replace("-", "")[4:] in stored] == []


@deep
def test_a_secret_sealed_with_the_old_key_works_and_is_sealed_again(site: Site, app: App) -> None:
    """C22"""
    [(sealed,)] = execute(site, "SELECT secret FROM factor")
    old, about = site.settings, "app of 1"
    new = replace(old, secret_key="another key: 0123456789abcdef0123456789", secret_key_fallbacks=(old.secret_key,))

    assert sealing.unseal(new, sealed, about) == app.secret
    with pytest.raises(CannotDecrypt):
        sealing.unseal(replace(new, secret_key_fallbacks=()), sealed, about)
    with pytest.raises(CannotDecrypt):
        sealing.unseal(old, sealed, "app of 2")
