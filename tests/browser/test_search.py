"""Searching in a real browser, with JavaScript and without."""

import re
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from tests.browser.test_hostile import HOSTILE
from tests.browser.visitor import Visitor
from tests.browser.walls import has_posted, says
from tests.depth import deep

pytestmark = pytest.mark.browser


@deep
def test_a_stranger_finds_a_post_and_its_author_from_explore(visitor: Visitor) -> None:
    visitor.is_logged_in()
    says(visitor, f"A quince tree in {visitor.name}'s garden.")
    visitor.logs_out()
    visitor.goto("/explore")

    visitor.fill(q=f"{visitor.name.upper()} quin*")
    visitor.press("Search")

    expect(visitor.page.locator(".post-body")).to_have_text(f"A quince tree in {visitor.name}'s garden.")
    visitor.fill(q=visitor.name)
    visitor.press("Search")
    expect(visitor.page.locator(".person-name")).to_have_text(visitor.name)


def test_the_results_follow_what_is_typed_and_reading_goes_on_in_the_box(scripted: Visitor) -> None:
    scripted.is_logged_in()
    has_posted(scripted, 22)
    scripted.goto("/search")
    box = scripted.page.get_by_role("searchbox")

    box.press_sequentially("post number")
    expect(scripted.page.locator("article")).to_have_count(20)
    expect(box).to_be_focused()
    expect(scripted.page).to_have_url(re.compile(r"/search\?q=post[+%20]+number$"))
    scripted.follow("Older posts")
    expect(scripted.page.locator("article").nth(20)).to_be_visible()

    box.fill("?!")
    expect(scripted.page.get_by_role("alert")).to_have_text("Only letters and digits can be found. Type a word.")
    box.fill("")
    scripted.sees("Search posts and people.")


@pytest.mark.parametrize("text", [HOSTILE[0], *(pytest.param(text, marks=deep) for text in HOSTILE[1:])])
@deep
def test_what_is_typed_and_found_stays_text(scripted: Visitor, text: str) -> None:
    """C38"""
    typed = " ".join(text[:100].split()[:-1])  # whole words of it
    scripted.is_logged_in()
    says(scripted, text)

    scripted.goto(f"/search?q={quote(typed)}")

    expect(scripted.page.get_by_role("searchbox")).to_have_value(typed)
    expect(scripted.page.locator("article").first).to_be_visible()
    scripted.has_no_foreign_markup()
