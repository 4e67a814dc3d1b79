"""A new SECRET_KEY logs nobody out, and begins the counts anew (C22); accounts/test_tokens.py has the links."""

import re
from collections.abc import Callable
from datetime import timedelta

import jwt
import pytest

from tests.addresses.steps import links, signed_in
from tests.deletion.test_delete_account import TYPED
from tests.depth import deep, one_in
from tests.registration.test_invites import invite
from tests.sites import SECRET_KEY, Browser, Site
from tests.stories import ask_for_reset, is_logged_in, log_in, register
from tests.watching import execute
from webapp.accounts import tokens
from webapp.accounts.tokens import Purpose, TokenMalformed
from webapp.doctor import doctor
from webapp.mail_preview import samples
from webapp.settings import Settings

Keys = dict[str, object]
WithKeys = Callable[[Keys], Site]

A_DAY = 24 * 3600  # seconds
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


@deep
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


@one_in(3)
@pytest.mark.parametrize("change", [{}, {"account_deletion_days": 90}, {"factor_removal_days": 30}], ids=str)
@deep
def test_the_old_key_is_kept_until_the_longest_link_has_run_out(
    make_settings: Callable[..., Settings],
    sqlite_url: str,
    start_site: Callable[[Settings], Site],
    change: dict[str, int],
) -> None:
    """C22: as `doctor` counts it, for every link in an email or on a page but those that turn off an email."""
    site = start_site(make_settings(database_url=sqlite_url, member_invites=1, **change))
    assert site.mailbox
    susan = signed_in(site, site.mailbox)
    pages = [invite(susan, days="30")]
    susan.post("/delete_account", data=TYPED)
    pages += links(site.mailbox, "susan@example.com", "/undo_deletion/")
    pages += [sample.email.text for sample in samples.samples(site.settings, site.app.state.templates)]

    said = [
        jwt.decode(token, options={"verify_signature": False})
        for page in pages
        for token in re.findall(tokens.SHAPE, page)
    ]
    longest = max(claims["exp"] - claims["iat"] for claims in said if claims["aud"] != Purpose.UNSUBSCRIBE)

    assert {claims["aud"] for claims in said} == set(Purpose)
    assert round(longest / A_DAY) == doctor.links_work_for(site.settings)


def test_what_was_typed_when_the_session_ended_is_still_there_with_a_new_key(with_keys: WithKeys) -> None:
    """C22: the cookie that says whose it is was marked with the old key."""
    before = with_keys(OLD)
    assert before.mailbox
    browser = before.browser()
    register(browser, before.mailbox)
    log_in(browser)
    execute(before, "DELETE FROM session")

    overlap = takes_along(with_keys(BOTH), browser)
    overlap.post("/", data={"body": "What I was about to say."})

    assert "What I was about to say." in log_in(overlap).text
