"""Posts in a real browser, with JavaScript and without."""

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import Visitor, both_ways
from tests.browser.walls import has_posted, in_menu_of, says
from tests.depth import deep, one_in

pytestmark = pytest.mark.browser


@both_ways
@one_in(2)
def test_a_person_posts_deletes_and_brings_back(visitor: Visitor) -> None:
    visitor.is_logged_in()
    post = says(visitor, "<b>Bold</b> words")
    expect(visitor.page.get_by_label("What's new?")).to_have_value("")

    in_menu_of(post, "button", "Delete").click()
    visitor.sees("Post deleted.")
    expect(post).to_have_count(0)
    visitor.press("Undo")

    expect(post).to_be_visible()
    visitor.has_no_foreign_markup()
    visitor.goto("/")
    expect(post).to_be_visible()


@deep
def test_a_mistake_is_said_beside_the_field_and_nothing_typed_is_lost(visitor: Visitor) -> None:
    visitor.is_logged_in()
    box = visitor.page.get_by_label("What's new?")
    box.fill("x" * 281)

    visitor.press("Post")

    visitor.sees("That's 281 characters. Use 280 or fewer.")
    expect(box).to_be_focused()
    expect(box).to_have_value("x" * 281)


@deep
def test_a_button_that_is_pressed_too_often_says_so_and_its_post_stays(scripted: Visitor) -> None:
    """The answer is a whole page, which never takes the place of a part."""
    scripted.is_logged_in()
    post = says(scripted, "Here to stay")
    statuses = iter(lambda: scripted.context.request.post("/edit_profile/picture", max_redirects=0).status, 429)
    assert len(list(statuses)) < 100

    in_menu_of(post, "button", "Delete").click()

    expect(scripted.page.locator("#flash")).to_contain_text("That was a lot at once. You can continue in")
    expect(post).to_contain_text("Here to stay")
    expect(scripted.page.locator("main")).to_have_count(1)


FROM_TOP = """(post) => {
    const range = document.createRange();
    range.selectNodeContents(post.querySelector(".post-author"));
    return range.getClientRects()[0].top - post.querySelector(".post-head").getBoundingClientRect().top;
}"""


@deep
def test_a_name_longer_than_its_line_begins_on_the_first(scripted: Visitor) -> None:
    scripted.name = f"{'W' * (30 - len(scripted.name))}{scripted.name}"
    scripted.page.set_viewport_size({"width": 320, "height": 640})
    scripted.is_logged_in()

    post = says(scripted, "Long names are names, too.")

    assert post.evaluate(FROM_TOP) < 12  # a line has 24 pixels


DRAFTS = "Object.keys(sessionStorage).filter((key) => key.startsWith('draft '))"


@deep
def test_what_somebody_was_writing_is_gone_from_the_browser_when_they_leave(scripted: Visitor) -> None:
    """V14.3.1: it is kept for them, and found by nobody who sits down after them."""
    scripted.is_logged_in()
    scripted.page.get_by_label("What's new?").fill("What I was about to say.")
    kept = scripted.page.evaluate(DRAFTS)
    scripted.page.reload()
    expect(scripted.page.get_by_label("What's new?")).to_have_value("What I was about to say.")

    scripted.logs_out()

    assert len(kept) == 1
    assert scripted.page.evaluate(DRAFTS) == []


@deep
def test_older_posts_are_one_press_away(visitor: Visitor) -> None:
    """With script they come to the end of the page, and reading goes on at the first of them."""
    visitor.is_logged_in()
    has_posted(visitor, 22)
    visitor.goto(f"/user/{visitor.name}")
    expect(visitor.page.locator("article")).to_have_count(20)

    visitor.follow("Older posts")

    expect(visitor.page.locator("article")).to_have_count(22 if visitor.has_javascript else 2)
    if visitor.has_javascript:
        expect(visitor.page.locator("article").nth(20)).to_be_focused()


def test_the_counter_counts_as_people_do(scripted: Visitor) -> None:
    scripted.is_logged_in()
    counter = scripted.page.locator(".composer-left")
    expect(counter).to_have_text("280 left")

    scripted.page.get_by_label("What's new?").fill("\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea")
    expect(counter).to_have_text("277 left")
    scripted.page.get_by_label("What's new?").fill("x" * 283)

    expect(counter).to_have_text("3 too many")


@deep
def test_news_is_asked_for_while_somebody_looks(scripted: Visitor) -> None:
    scripted.page.clock.install()
    scripted.is_logged_in()
    scripted.page.clock.run_for(40_000)
    asked: list[str] = []
    scripted.page.on("request", lambda request: asked.append(request.url) if "/news" in request.url else None)

    scripted.page.clock.run_for(10_000)

    expect(scripted.page.locator("#news")).to_be_empty()
    assert len(asked) == 1


def test_a_post_is_edited_and_answered_and_typing_goes_on_behind_what_is_there(scripted: Visitor) -> None:
    scripted.is_logged_in()
    post = says(scripted, "What I began")
    in_menu_of(post, "link", "Edit").click()
    scripted.sees_heading("Edit a post")

    scripted.page.get_by_label("Your post").press_sequentially(" to say.")
    scripted.press("Save")

    expect(scripted.page.locator(".post-body")).to_have_text("What I began to say.")
    scripted.page.get_by_role("link", name="Reply", exact=True).click()
    scripted.page.get_by_label("Your reply").fill("And more.")
    scripted.press("Reply")
    expect(scripted.page.locator(".replies .post-body")).to_have_text("And more.")
