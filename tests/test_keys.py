"""Changing SECRET_KEY: what the old one has signed still works while it is a fallback, and no longer (C22)."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.conftest import SECRET_KEY, Browser, Site
from tests.stories import NEW_PASSWORD, ask_for_reset, forget_and_find_link, is_logged_in, log_in, register
from webapp.accounts import tokens
from webapp.accounts.tokens import Mangled, Purpose
from webapp.settings import Settings

Keys = dict[str, object]
WithKeys = Callable[[Keys], Site]

NEW_KEY = "another key for tests: fedcba9876543210fedcba9876543210"
OLD: Keys = {"secret_key": SECRET_KEY}
BOTH: Keys = {"secret_key": NEW_KEY, "secret_key_fallbacks": (SECRET_KEY,)}
NEW: Keys = {"secret_key": NEW_KEY}


@pytest.fixture
def with_keys(
    make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[[Settings], Site]
) -> WithKeys:
    """The same site started again, with other keys."""
    return lambda keys: start_site(make_settings(database_url=sqlite_url, **keys))


def takes_along(site: Site, browser: Browser) -> Browser:
    """The same browser, now before the site as it was started last."""
    moved = site.browser()
    moved.cookies.update(browser.cookies)
    return moved


@pytest.mark.parametrize(("keys", "status"), [(OLD, 200), (BOTH, 200), (NEW, 404)], ids=["old", "both", "new"])
def test_a_link_of_the_old_key_works_during_the_overlap_only(with_keys: WithKeys, keys: Keys, status: int) -> None:
    """C22"""
    before = with_keys(OLD)
    assert before.mailbox
    register(before.browser(), before.mailbox)
    link = forget_and_find_link(before.browser(), before.mailbox)

    answer = with_keys(keys).browser().post(link, data={"password": NEW_PASSWORD})

    assert answer.status_code == status
    assert ("Log in with the new password." in answer.text) == (status == 200)


def test_during_the_overlap_links_are_signed_with_the_new_key(with_keys: WithKeys) -> None:
    """C22: else they would die with the old one."""
    overlap = with_keys(BOTH)
    assert overlap.mailbox
    register(overlap.browser(), overlap.mailbox)
    link = forget_and_find_link(overlap.browser(), overlap.mailbox)

    answer = with_keys(NEW).browser().post(link, data={"password": NEW_PASSWORD})

    assert answer.url.path == "/login"


@pytest.mark.parametrize(("keys", "is_said"), [(OLD, True), (BOTH, True), (NEW, False)], ids=["old", "both", "new"])
def test_what_was_to_be_said_is_said_during_the_overlap_only(with_keys: WithKeys, keys: Keys, is_said: bool) -> None:
    """C22: flashes are signed, too."""
    browser = with_keys(OLD).browser(follow_redirects=False)
    ask_for_reset(browser, "susan")

    page = takes_along(with_keys(keys), browser).get("/login")

    assert page.status_code == 200
    assert ("an email is on its way" in page.text) == is_said


@pytest.mark.parametrize("keys", [BOTH, NEW], ids=["both", "new"])
def test_a_new_key_logs_nobody_out(with_keys: WithKeys, keys: Keys) -> None:
    """C22: sessions are rows, not signatures."""
    before = with_keys(OLD)
    assert before.mailbox
    register(before.browser(), before.mailbox)
    browser = before.browser()
    log_in(browser)

    assert is_logged_in(takes_along(with_keys(keys), browser))


def test_limits_are_counted_anew_with_a_new_key(with_keys: WithKeys) -> None:
    """C22, C10: the table of limits names nobody, so what the old key counted can't be found again."""
    before, overlap = with_keys(OLD), with_keys(BOTH)
    ask_for_reset(before.browser(), "susan")

    assert ask_for_reset(before.browser(), "susan").status_code == 429
    assert ask_for_reset(overlap.browser(), "susan").status_code == 200


@pytest.mark.parametrize("purpose", Purpose)
def test_links_of_every_kind_follow_the_keys(make_settings: Callable[..., Settings], purpose: Purpose) -> None:
    """C22"""
    subject = "susan@example.com" if purpose is Purpose.REGISTER else 1
    token = tokens.issue(make_settings(**OLD), purpose, subject, timedelta(minutes=5))

    assert tokens.verify(make_settings(**BOTH), purpose, token).subject == subject
    with pytest.raises(Mangled):
        tokens.verify(make_settings(**NEW), purpose, token)
