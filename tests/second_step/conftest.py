"""Susan, who has an authenticator app."""

import pytest

from tests.factors.steps import App, set_up_app
from tests.mailbox import Mailbox
from tests.sites import Browser, Site
from tests.stories import log_in, register


def with_app(browser: Browser, mailbox: Mailbox) -> App:
    """Makes susan's account, sets up her app, and logs out again."""
    register(browser, mailbox)
    log_in(browser)
    app = set_up_app(browser)
    browser.post("/logout")
    return app


@pytest.fixture
def app(site: Site, mailbox: Mailbox) -> App:
    """Susan's, who is logged in nowhere."""
    return with_app(site.browser(), mailbox)
