"""A page that all strangers see alike is filled in once, and holds nothing of any of them."""

from collections.abc import Callable

import pytest

from tests.conftest import Site
from webapp.settings import Settings


@pytest.mark.parametrize("page", ["/login", "/register", "/reset_password_request"])
def test_a_page_is_filled_in_once_for_all_strangers(site: Site, page: str) -> None:
    first = site.browser().get(page)

    second = site.browser().get(page)

    assert first.text == second.text
    assert len(site.app.state.kept_pages) == 1


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
    site.browser().get("/nowhere")

    assert site.app.state.kept_pages == {}


def test_two_sites_in_one_process_keep_their_own_pages(
    make_settings: Callable[..., Settings], start_site: Callable[[Settings], Site], sqlite_url: str
) -> None:
    is_open = start_site(make_settings(database_url=sqlite_url))
    by_invitation = start_site(make_settings(database_url=sqlite_url, registration="invite"))

    pages = [site.browser().get("/login").text for site in (is_open, by_invitation)]

    assert ["New here?" in page for page in pages] == [True, False]
