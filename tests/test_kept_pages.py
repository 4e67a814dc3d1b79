"""A page that all strangers see alike is made once, and holds nothing of any of them."""

from collections.abc import Callable

import pytest

from tests.conftest import Site
from tests.mailbox import Mailbox
from tests.stories import log_in, register
from tests.watching import fillings
from webapp.settings import Settings

PAGES = ["/login", "/register", "/reset_password_request"]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_made_once_for_all_strangers(site: Site, path: str) -> None:
    with fillings(site) as filled_in:
        first, second = (site.browser().get(path) for _ in range(2))

    assert filled_in.count("base.html") == 1
    assert first.text == second.text
    assert first.headers == second.headers


def test_a_page_is_made_for_each_language_of_the_site(
    make_settings: Callable[..., Settings], start_site: Callable[[Settings], Site], sqlite_url: str
) -> None:
    site = start_site(make_settings(database_url=sqlite_url, languages=("en", "de")))

    pages = [site.browser().get("/login", headers={"accept-language": name}).text for name in ("en", "de", "de, en")]

    assert ['<html lang="de"' in page for page in pages] == [False, True, True]


def test_who_is_logged_in_sees_no_page_that_was_kept_for_strangers(site: Site, mailbox: Mailbox) -> None:
    site.browser().get("/reset_password_request")
    susan = site.browser()
    register(susan, mailbox)
    log_in(susan)

    page = susan.get("/reset_password_request")

    assert "Log out" in page.text
    assert "Log out" not in site.browser().get("/reset_password_request").text


def test_a_cookie_of_a_flash_is_read_and_not_kept(site: Site) -> None:
    site.browser().get("/login")
    visitor = site.browser()

    flashed = visitor.post("/reset_password_request", data={"email": "susan"})
    after = visitor.get("/login")

    assert "If susan belongs" in flashed.text
    assert "If susan belongs" not in after.text
    assert "set-cookie" not in site.browser().get("/login").headers


def test_what_one_visitor_brought_is_not_shown_to_the_next(site: Site) -> None:
    site.browser().get("/reset_password_request?email=susan")
    site.browser().get("/login?next=/user/susan")
    site.browser().post("/login", data={"username": "susan", "password": "not hers"})

    pages = [site.browser().get(page).text for page in ("/login", "/reset_password_request")]

    assert not any("susan" in page for page in pages)


def test_what_one_visitor_is_told_is_not_told_to_the_next(site: Site) -> None:
    told = site.browser().post("/reset_password_request", data={"email": "susan@example.com"})
    next_visitor = site.browser().get("/login")

    assert "susan@example.com" in told.text
    assert "susan@example.com" not in next_visitor.text


def test_a_part_of_a_page_is_not_kept_for_the_whole(site: Site) -> None:
    part = site.browser().get("/login", headers={"hx-request": "true", "hx-request-type": "partial"})
    whole = site.browser().get("/login")

    assert "<html" not in part.text
    assert "<html" in whole.text


def test_errors_are_not_kept(site: Site) -> None:
    with fillings(site) as filled_in:
        answers = [site.browser().get("/nowhere") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert filled_in.count("error.html") == 2


def test_two_sites_in_one_process_keep_their_own_pages(
    make_settings: Callable[..., Settings], start_site: Callable[[Settings], Site], sqlite_url: str
) -> None:
    is_open = start_site(make_settings(database_url=sqlite_url))
    by_invitation = start_site(make_settings(database_url=sqlite_url, registration="invite"))

    pages = [site.browser().get("/login").text for site in (is_open, by_invitation)]

    assert ["New here?" in page for page in pages] == [True, False]
