"""ADMIN_TWO_FACTORS: the admin's pages open only for who has a second step."""

from collections.abc import Callable

from tests.factors.steps import set_up_app
from tests.sites import Site
from tests.stories import log_in, register
from webapp.settings import Settings


def test_the_admins_pages_ask_for_a_second_step(
    make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[[Settings], Site]
) -> None:
    admins = {"admins": ("susan@example.com",), "admin_two_factors": True}
    site = start_site(make_settings(database_url=sqlite_url, **admins))
    browser = site.browser()
    assert site.mailbox
    register(browser, site.mailbox)
    log_in(browser)

    sent_on = browser.get("/admin/mail")
    set_up_app(browser)
    opened = browser.get("/admin/mail")

    assert sent_on.url.path == "/sign-in_methods"
    assert "Admin pages open only for people with a second step" in sent_on.text
    assert opened.url.path == "/admin/mail"
