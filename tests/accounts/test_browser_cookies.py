"""A browser's cookie is exchanged: that begins no count anew, and whoever copied it before has nothing (C12, C68)."""

from collections.abc import Callable

import pytest

from tests.depth import one_in
from tests.factors.steps import App, log_in_with, set_up_app
from tests.mailbox import Mailbox
from tests.sites import Browser, Site
from tests.stories import PASSWORD, is_logged_in, log_in, register
from tests.watching import execute
from webapp import rate_limits

COOKIE = "__Host-browser"
NO_CODE = "zzzz-zzzz-zzzz"
WRONG_PASSWORD = {"current_password": "not the right password", "code": NO_CODE}
# What is counted for a browser that the account is known by, and how somebody in its session tries it.
TRIES: dict[str, tuple[str, dict[str, str]]] = {
    "LOG_IN_KNOWN_BROWSER": ("/recovery_codes", WRONG_PASSWORD),
    "SECOND_STEP_KNOWN_BROWSER": ("/recovery_codes", {"current_password": PASSWORD, "code": NO_CODE}),
    "RECOVER_KNOWN_BROWSER": ("/recover", {"username": "susan", "code": NO_CODE}),
    "EMAILS": ("/reset_password_request", {"email": "susan"}),
}
NOT_GUESSES = {"LOGS_INS", "LOG_INS_KNOWN_BROWSER"}  # with the right password


def everywhere_else(thief: Browser) -> None:
    assert thief.post("/sessions/end_others").status_code == 200


def one_session(thief: Browser) -> None:
    last = thief.get("/sessions").text.rpartition('/end"')[0].rpartition("/sessions/")[2]
    assert "Logged out of" in thief.post(f"/sessions/{last}/end").text


def copied(site: Site, browser: Browser) -> Browser:
    """Somebody else's browser, with the cookie by which this one is known."""
    thief = site.browser()
    thief.cookies.set(COOKIE, browser.cookies[COOKIE], domain="blog.example", path="/")
    return thief


@pytest.fixture
def app(site: Site, mailbox: Mailbox) -> App:
    browser = site.browser()
    register(browser, mailbox)
    log_in(browser)
    return set_up_app(browser)


@pytest.fixture
def thief(site: Site, app: App) -> Browser:
    """Has copied the cookies of a browser that is logged in, and that the account trusts."""
    owner, thief = site.browser(), site.browser()
    assert log_in_with(owner, app, trust="1") == "/"
    thief.cookies.update(owner.cookies)
    assert log_in(copied(site, owner)).url.path == "/", "a session that may be ended"
    return thief


def test_every_limit_of_a_known_browser_is_tried() -> None:
    named = {name for name in vars(rate_limits) if name.endswith("KNOWN_BROWSER")}

    assert named - NOT_GUESSES == TRIES.keys() - {"EMAILS"}


@pytest.mark.parametrize("exchange", [everywhere_else, one_session])
@pytest.mark.parametrize("limit", TRIES)
@one_in(12)
def test_a_cookie_that_is_exchanged_begins_no_count_anew(
    thief: Browser, limit: str, exchange: Callable[[Browser], None]
) -> None:
    path, form = TRIES[limit]
    before, tried = thief.cookies[COOKIE], 0
    while (status := thief.post(path, data=form).status_code) != 429:
        tried += 1
        assert (status in {200, 422}, tried < 10) == (True, True)

    exchange(thief)

    assert thief.cookies[COOKIE] != before
    assert is_logged_in(thief)
    assert thief.post(path, data=form).status_code == 429


def test_a_cookie_copied_before_somebody_logged_in_is_not_theirs(site: Site, mailbox: Mailbox) -> None:
    """At a computer that several people use, somebody may have been logged in before."""
    register(site.browser(), mailbox)
    register(shared := site.browser(), mailbox, "mallory")
    log_in(shared, "mallory")
    shared.post("/logout")
    thief = copied(site, shared)

    log_in(shared)
    log_in(thief)

    assert is_logged_in(thief)
    assert execute(site, "SELECT count(*) FROM known_browser WHERE user_id = 1") == [(3,)], "each is one of its own"


def test_nor_is_a_cookie_trusted_that_was_copied_before(site: Site, app: App) -> None:
    known = site.browser()
    assert log_in_with(known, app) == "/"
    known.post("/logout")
    thief = copied(site, known)

    assert log_in_with(known, app, 1, trust="1") == "/"
    known.post("/logout")

    assert log_in(thief).url.path == "/login/second_step"
    assert log_in(known).url.path == "/"
