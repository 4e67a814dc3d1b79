"""A new SECRET_KEY logs nobody out, and begins the counts anew (C22); accounts/test_tokens.py has the links."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.sites import SECRET_KEY, Browser, Site
from tests.stories import ask_for_reset, is_logged_in, log_in, register
from webapp.accounts import tokens
from webapp.accounts.tokens import Purpose, TokenMalformed
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


@pytest.mark.parametrize("keys", [BOTH, NEW], ids=["both", "new"])
def test_a_new_key_logs_nobody_out(with_keys: WithKeys, keys: Keys) -> None:
    """C22: sessions are rows, not signatures."""
    before = with_keys(OLD)
    assert before.mailbox
    browser = before.browser()
    register(browser, before.mailbox)
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
    with pytest.raises(TokenMalformed):
        tokens.verify(make_settings(**NEW), purpose, token)
