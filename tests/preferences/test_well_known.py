"""Where password managers look for the page that changes a password."""

from tests.mailbox import Mailbox
from tests.sites import Site
from tests.stories import log_in, register


def test_a_password_manager_finds_the_page_that_changes_the_password(site: Site) -> None:
    browser = site.browser(follow_redirects=False)

    answer = browser.get("/.well-known/change-password")

    assert (answer.status_code, answer.headers["location"]) == (303, "/change_password")


def test_it_leads_there_by_way_of_the_log_in(site: Site, mailbox: Mailbox) -> None:
    browser = site.browser()
    register(browser, mailbox)

    as_stranger = browser.get("/.well-known/change-password").url
    log_in(browser)
    as_susan = browser.get("/.well-known/change-password").url

    assert (as_stranger.path, as_stranger.query) == ("/login", b"next=/change_password")
    assert as_susan.path == "/change_password"
