"""Guesses at the second step are few, for the account and for the client_ip; a known browser is counted separately."""

from tests.depth import deep
from tests.factors.steps import App, log_in_with
from tests.sites import Browser, Site
from tests.stories import is_logged_in, log_in
from tests.watching import execute

STEP = "/login/second_step"
WRONG = {"code": "zzzz-zzzz-zzzz"}


def guess(browser: Browser, times: int) -> list[int]:
    return [browser.post(STEP, data=WRONG).status_code for _time in range(times)]


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


def test_guesses_are_counted_for_the_account(site: Site, app: App) -> None:
    browser = site.browser()
    log_in(browser)
    execute(site, "DELETE FROM limit_window")
    guess(browser, 1)

    names = {key.split(":")[1] for (key,) in execute(site, "SELECT key FROM limit_window")}
    assert {"second_step", "second_step_network", "second_step_anywhere"} <= names
