"""Somebody with a copy of the database, and even the password, doesn't get in with anything in it."""

import re
from collections.abc import Iterator

import pytest

from tests.depth import deep
from tests.factors.steps import App, log_in_with
from tests.mailbox import Mailbox
from tests.passkeys.authenticator import Authenticator
from tests.passkeys.test_passkeys import add
from tests.sites import Browser, Site
from tests.stories import ask_for_reset, is_logged_in, log_in
from tests.watching import dump, execute

STEP = "/login/second_step"
OPENING = ["session", "known_browser", "pending_log_in", "factor", "recovery_code", "passkey", "outbox_email"]


@pytest.fixture
def stored(site: Site, app: App, mailbox: Mailbox) -> list[str]:
    """What stands in the rows of an account that is logged in, trusted, half logged in, and has asked for a reset."""
    owner = site.browser()
    log_in_with(owner, app, trust="1")
    add(owner, Authenticator())
    log_in(site.browser())
    ask_for_reset(site.browser())
    mailbox.link("susan@example.com", subject="Reset your password")
    rows = dump(site)
    assert [name for name in OPENING if not rows[name]] == []
    return sorted({text for name in OPENING for row in rows[name] for text in _texts(row)})


def _texts(row: tuple[object, ...]) -> Iterator[str]:
    for value in map(str, row):
        yield from (word for word in re.split(r"[\s\"',{}:]+", value) if 4 <= len(word) <= 300)


def thief(site: Site, **cookies: str) -> Browser:
    browser = site.browser()
    for name, value in cookies.items():
        browser.cookies.set(f"__Host-{name}", value)
    return browser


@deep
def test_none_of_it_is_a_session_half_of_one_or_a_trusted_browser(site: Site, stored: list[str]) -> None:
    sendable = [text for text in stored if text.isascii()]
    assert len(sendable) > 30

    opened = [text for text in sendable if is_logged_in(thief(site, session=text))]
    half = [text for text in sendable if thief(site, second_step=text).get(STEP).url.path == STEP]
    execute(site, "DELETE FROM limit_window")
    [mark] = [value for (value,) in execute(site, "SELECT secret_hash FROM known_browser WHERE trusted_until > ''")]
    trusted = log_in(thief(site, browser=mark)).url.path == "/"

    assert (opened, half, trusted) == ([], [], False)


@deep
def test_none_of_it_answers_the_second_step(site: Site, app: App, stored: list[str]) -> None:
    browser = thief(site)
    log_in(browser)

    for text in stored:
        if len(text) <= 100:
            execute(site, "DELETE FROM limit_window")
            browser.post(STEP, data={"code": text})
    assert not is_logged_in(browser)
    execute(site, "DELETE FROM limit_window")
    assert browser.post(STEP, data={"code": app.codes[1]}).url.path == "/", "the door is still the one that was tried"
