"""Everything by the keyboard: where the focus is, and what can be seen of it all when colours are forced."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.visitor import Visitor
from tests.browser.walls import has_posted, in_menu_of, says
from tests.depth import deep
from tests.stories import NEW_PASSWORD, PASSWORD

pytestmark = pytest.mark.browser

FOCUSED = """() => {
    const it = document.activeElement;
    if (it === document.body) return "";
    return (it.labels?.[0]?.innerText || it.getAttribute("aria-label") || it.innerText).trim();
}"""
# What is added to the status once the page is there. It stays in the browser for the tests that come after.
TELLS = """addEventListener("load", () => {
    const tell = ([it]) => { document.documentElement.dataset.told = it.addedNodes[0]?.textContent ?? ""; };
    new MutationObserver(tell).observe(document.getElementById("flash"), { childList: true });
});"""
BARE = """() => [...document.querySelectorAll("#main button, #main .button, #main .field-box, #main .composer")]
    .filter((it) => it.offsetParent && !it.matches(".field-show, .menu-item, .post-button"))
    .filter((it) => { const style = getComputedStyle(it); return !parseFloat(style.borderTopWidth); })
    .map((it) => it.outerHTML.slice(0, 100))"""
# Lines in the colour of the ground: they would cover others that happen to lie there.
UNSEEN = """() => [...document.querySelectorAll("body *")].filter((it) => it.offsetParent).filter((it) => {
    const style = getComputedStyle(it), ground = getComputedStyle(document.documentElement).backgroundColor;
    const isUnseen = (side) => style[`border${side}Color`] === ground && style[`border${side}Width`] !== "0px";
    return isUnseen("Top") || isUnseen("Bottom");
}).map((it) => it.outerHTML.slice(0, 100))"""


def tab_to(page: Page, label: str) -> None:
    """Goes on by the Tab key, forwards, until something of that name has the focus."""
    page.wait_for_load_state()  # before, there may be nothing to go to yet
    passed: list[str] = []
    while label not in (focused := page.evaluate(FOCUSED)):
        assert len(passed) < 30, passed
        passed.append(focused)
        page.keyboard.press("Tab")


def type_into(person: Visitor, label: str, text: str) -> None:
    tab_to(person.page, label)
    person.page.keyboard.press("Control+A")
    person.page.keyboard.type(text)


def press(person: Visitor, label: str) -> None:
    tab_to(person.page, label)
    person.page.keyboard.press("Enter")


def sees_focus(person: Visitor) -> None:
    """It is somewhere, from where the keyboard goes on; not on the page as a whole."""
    expect(person.page.locator(":focus")).to_have_count(1)


def test_a_person_gets_back_in_and_posts_without_a_mouse(scripted: Visitor) -> None:
    person = scripted.has_account()
    person.goto("/login")
    press(person, "Forgot your password?")
    expect(person.page).to_have_url(re.compile("/reset_password_request"))
    type_into(person, "Username or email", person.name)
    person.page.keyboard.press("Enter")
    person.sees_that_mail_is_coming()
    sees_focus(person)

    person.goto(person.mailbox.link(to=person.address, count=2))
    type_into(person, "New password", NEW_PASSWORD)
    person.page.keyboard.press("Enter")
    person.sees("password is changed.")
    expect(person.page.get_by_role("textbox", name="Password", exact=True)).to_be_focused()
    person.page.keyboard.type(NEW_PASSWORD)
    person.page.keyboard.press("Enter")
    person.is_at_home()

    type_into(person, "What's new?", "No mouse.")
    person.page.keyboard.press("Control+Enter")
    expect(person.page.locator("article", has_text="No mouse.")).to_be_visible()
    sees_focus(person)
    press(person, f"More about {person.name}'s post")
    press(person, "Delete")
    person.sees("Post deleted.")
    sees_focus(person)
    press(person, "Undo")
    expect(person.page.locator("article", has_text="No mouse.")).to_be_visible()
    sees_focus(person)


def test_what_a_button_swaps_never_takes_the_focus_away(scripted: Visitor) -> None:
    scripted.is_logged_in()
    says(scripted, "Still here.")
    post = scripted.page.locator("article", has_text="Still here.")
    in_menu_of(post, "button", "Delete").click()
    scripted.sees("Post deleted.")
    sees_focus(scripted)
    expect(scripted.page.get_by_role("button", name="Undo")).to_have_accessible_description("Post deleted.")
    scripted.press("Undo")
    expect(post).to_be_visible()
    sees_focus(scripted)
    has_posted(scripted, 22)
    scripted.goto(f"/user/{scripted.name}")
    scripted.follow("Older posts")
    expect(scripted.page.locator("article")).to_have_count(23)
    sees_focus(scripted)
    scripted.goto("/recovery_codes")
    scripted.fill(current_password=PASSWORD)
    scripted.press("Make ten new codes")
    scripted.sees_heading("Your recovery codes")
    sees_focus(scripted)


@deep
def test_a_button_whose_answer_is_the_same_page_has_the_focus_again(scripted: Visitor) -> None:
    """Also when it is gone: then the keyboard goes on in the content, and not at the top of the page."""
    scripted.is_logged_in()
    scripted.has_phone()
    scripted.goto("/edit_profile")
    press(scripted, "Another picture")
    scripted.sees("Here's your new picture.")
    expect(scripted.page.get_by_role("button", name="Another picture")).to_be_focused()

    tab_to(scripted.page, "Русский")
    scripted.page.keyboard.press("Enter")
    expect(scripted.page.get_by_role("button", name="Русский")).to_be_focused()
    expect(scripted.page.get_by_role("button", name="Русский")).to_be_in_viewport()
    scripted.page.get_by_role("button", name="English").click()

    scripted.goto("/sessions")
    press(scripted, "Log out of")
    scripted.sees("You aren't logged in anywhere else.")
    expect(scripted.page.get_by_role("main")).to_be_focused()


@deep
def test_what_a_page_says_as_it_comes_is_said_to_screen_readers(scripted: Visitor) -> None:
    """They read out a status when it changes, and not one that is there from the start."""
    scripted.is_logged_in()
    scripted.page.add_init_script(TELLS)

    scripted.logs_out()

    expect(scripted.page.locator("html")).to_have_attribute("data-told", "You're logged out.")
    expect(scripted.page.locator("#flash p")).to_have_count(1)


@deep
def test_with_forced_colours_what_is_pressed_or_filled_keeps_its_edge(scripted: Visitor) -> None:
    scripted.is_logged_in()
    scripted.page.emulate_media(forced_colors="active")
    bare: dict[str, list[str]] = {}

    for path in ("/", "/explore", "/sessions", "/edit_profile", f"/user/{scripted.name}/followers"):
        scripted.goto(path)
        bare[path] = [*scripted.page.evaluate(BARE), *scripted.page.evaluate(UNSEEN)]

    assert {path: found for path, found in bare.items() if found} == {}


MARKED = """() => [...document.querySelectorAll("[aria-current=page]")]
    .map((it) => (it.getAttribute("aria-label") ?? it.textContent).trim())"""


@deep
def test_the_page_that_one_is_on_is_marked(scripted: Visitor) -> None:
    pages = {"/": "Home", "/explore": "Explore", "/search": "Search", "/settings": "Settings", "/sessions": "Sessions"}
    scripted.is_logged_in()
    marked: dict[str, list[str]] = {}

    for path in pages:
        scripted.goto(path)
        marked[path] = scripted.page.evaluate(MARKED)

    assert {path: found for path, found in marked.items() if pages[path] not in found} == {}
