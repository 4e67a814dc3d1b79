"""Guesses at the second step are few, for the account and for the client_ip; a known browser is counted separately."""

from tests.depth import deep
from tests.factors.steps import App, log_in_with
from tests.mailbox import Mailbox
from tests.sites import Browser, Site
from tests.stories import NEW_PASSWORD, forget_and_find_link, is_logged_in, log_in
from tests.watching import execute

STEP = "/login/second_step"
WRONG = {"code": "zzzz-zzzz-zzzz"}


def guess(browser: Browser, times: int) -> list[int]:
    return [browser.post(STEP, data=WRONG).status_code for _time in range(times)]


@deep
def test_the_sixth_guess_within_five_minutes_is_not_looked_at(site: Site, app: App) -> None:
    browser = site.browser()
    log_in(browser)

    assert guess(browser, 6) == [422] * 5 + [429]
    assert browser.post(STEP, data={"code": app.code()}).status_code == 429
    assert not is_logged_in(browser)


@deep
def test_another_log_in_with_the_password_does_not_start_the_count_anew(site: Site, app: App) -> None:
    browser = site.browser()
    for _time in range(5):
        log_in(browser)
        assert guess(browser, 1) == [422]
    log_in(browser)

    assert guess(browser, 1) == [429]


@deep
def test_many_client_ips_share_twenty_guesses(site: Site, app: App) -> None:
    for number in range(4):
        browser = site.browser(f"198.51.100.{number}")
        log_in(browser)
        assert guess(browser, 5) == [422] * 5
    last = site.browser("198.51.100.99")
    log_in(last)

    assert guess(last, 1) == [429]


@deep
def test_a_known_browser_is_counted_by_itself(site: Site, app: App) -> None:
    own = site.browser()
    log_in_with(own, app)
    own.post("/logout")
    for number in range(5):
        thief = site.browser(f"198.51.100.{number}")
        log_in(thief)
        guess(thief, 5)
    log_in(own)

    assert own.post(STEP, data={"code": app.code(1)}).url.path == "/"


@deep
def test_guesses_are_counted_for_the_account(site: Site, app: App) -> None:
    browser = site.browser()
    log_in(browser)
    execute(site, "DELETE FROM limit_window")
    guess(browser, 1)

    names = {key.split(":")[1] for (key,) in execute(site, "SELECT key FROM limit_window")}
    assert {"second_step", "second_step_network", "second_step_anywhere"} <= names


def flood(site: Site) -> None:
    """Uses up all guesses of an account at its second step."""
    for number in range(5):
        log_in(thief := site.browser(f"198.51.100.{number}"))
        guess(thief, 4)
    log_in(last := site.browser("198.51.100.99"))
    assert guess(last, 1) == [429]


@deep
def test_whoever_knows_the_password_keeps_nobody_from_a_reset(site: Site, app: App, mailbox: Mailbox) -> None:
    """In a new browser, whose guesses at a log-in are those of all others."""
    flood(site)
    owner = site.browser()

    answer = owner.post(forget_and_find_link(owner, mailbox), data={"password": NEW_PASSWORD, "code": app.code()})

    assert answer.url.path == "/login"
    assert log_in(owner, password=NEW_PASSWORD).url.path == "/login/second_step"
    assert owner.post(STEP, data={"code": app.code(1)}).url.path == "/"


@deep
def test_whoever_reads_the_mailbox_has_no_more_guesses_behind_a_link(site: Site, app: App, mailbox: Mailbox) -> None:
    """But they keep nobody from logging in."""
    link = forget_and_find_link(site.browser(), mailbox)
    form = WRONG | {"password": NEW_PASSWORD}
    thieves = [site.browser(f"198.51.100.{number}") for number in range(6)]
    statuses = [thief.post(link, data=form).status_code for thief in thieves for _time in range(4)]
    log_in(owner := site.browser())

    assert statuses == [422] * 20 + [429] * 4
    assert owner.post(STEP, data={"code": app.code()}).url.path == "/"
