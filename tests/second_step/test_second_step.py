"""The second step of a log-in: what it asks for, what answers it, and what it gives away."""

import pytest

from tests.factors.steps import App, set_up_app
from tests.mailbox import Mailbox
from tests.sites import Site
from tests.stories import is_logged_in, log_in, register


@pytest.fixture
def app(site: Site, mailbox: Mailbox) -> App:
    """Susan's, who is logged in nowhere."""
    browser = site.browser()
    register(browser, mailbox)
    log_in(browser)
    app = set_up_app(browser)
    browser.post("/logout")
    return app


def test_a_log_in_asks_for_the_apps_code_after_the_password(site: Site, app: App) -> None:
    browser = site.browser()

    page = log_in(browser)

    assert page.url.path == "/login/second_step"
    assert "One more step" in page.text
    assert not is_logged_in(browser)
    assert browser.post("/login/second_step", data={"code": app.code()}).url.path == "/"
    assert is_logged_in(browser)
