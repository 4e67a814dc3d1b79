"""Susan, who is logged in: on both databases if the test asks for them."""

import pytest

from tests.mailbox import Mailbox
from tests.sites import Browser, Site
from tests.stories import log_in, register


@pytest.fixture
def the_site(request: pytest.FixtureRequest) -> Site:
    site: Site = request.getfixturevalue("any_site" if "any_site" in request.fixturenames else "site")
    return site


@pytest.fixture
def susan(the_site: Site, mailbox: Mailbox) -> Browser:
    """The browser of susan, who has an account and is logged in."""
    browser = the_site.browser()
    register(browser, mailbox)
    log_in(browser)
    return browser
