"""The other ways back in, in a real browser: "this wasn't me", and recovery codes; with JavaScript and without."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from playwright.sync_api import expect

from tests.browser import states
from tests.browser.visitor import Visitor
from tests.depth import deep
from tests.stories import NEW_PASSWORD, PASSWORD

pytestmark = pytest.mark.browser


def codes_on(person: Visitor) -> list[str]:
    person.sees_heading("Your recovery codes")
    return person.page.locator("#codes code").all_inner_texts()


@deep
def test_a_person_says_that_it_was_not_them_and_chooses_a_new_password(
    visitor: Visitor, new_visitor: Callable[..., Visitor]
) -> None:
    visitor.is_logged_in()
    stranger = new_visitor(has_javascript=visitor.has_javascript)
    stranger.goto("/reset_password_request")
    stranger.fill(email=visitor.address)
    stranger.press("Email me a link")
    stranger.sees_that_mail_is_coming()
    visitor.goto("/mailbox")
    visitor.opens_email(count=2)
    visitor.follows_in_email("This wasn't me")
    visitor.sees("A link to choose a new password")

    visitor.press("This wasn't me")
    visitor.sees_heading("Your account is locked")
    visitor.press("Email me a link")
    visitor.sees_that_mail_is_coming()
    visitor.goto(visitor.mailbox.link(to=visitor.address, count=3))
    visitor.fill(password=NEW_PASSWORD)
    visitor.press("Save the new password")

    visitor.sees("password is changed.")
    visitor.logs_in(NEW_PASSWORD)
    visitor.is_at_home()


@deep
def test_a_person_with_neither_password_nor_mail_gets_back_in_with_a_code(visitor: Visitor) -> None:
    visitor.is_logged_in()
    visitor.goto("/settings")
    visitor.page.locator("#main").get_by_role("link", name=re.compile("^Recovery codes")).first.click()
    visitor.fill(current_password=PASSWORD)
    visitor.press("Make ten new codes")
    code = codes_on(visitor)[7]
    visitor.logs_out()
    visitor.follow("Forgot your password?")
    visitor.follow("Use a recovery code")

    visitor.fill(username=visitor.name, code=code.upper().replace("-", " "))
    visitor.press("Continue")
    visitor.sees_heading("Choose a new password")
    visitor.fill(password=NEW_PASSWORD)
    visitor.press("Save the new password")

    visitor.sees("password is changed.")
    visitor.logs_in(NEW_PASSWORD)
    visitor.is_at_home()
    visitor.goto("/recovery_codes")
    visitor.sees("You have no codes.")


@deep
def test_codes_can_be_copied(scripted: Visitor) -> None:
    scripted.context.grant_permissions(["clipboard-read", "clipboard-write"])
    scripted.is_logged_in()
    scripted.goto("/recovery_codes")
    scripted.fill(current_password=PASSWORD)
    scripted.press("Make ten new codes")
    codes = codes_on(scripted)

    scripted.press("Copy the codes")

    scripted.sees("The codes are copied.")
    assert scripted.page.evaluate("navigator.clipboard.readText()").split() == codes


@pytest.mark.parametrize("come", [states.recovery_codes_made, states.authenticator_app])
@deep
def test_on_paper_stand_the_codes_and_what_they_are_for(scripted: Visitor, come: Callable[[Visitor], None]) -> None:
    come(scripted)
    codes = scripted.page.locator("#codes code").all_inner_texts()

    scripted.page.emulate_media(media="print")

    seen = scripted.page.locator("body").inner_text()
    assert codes
    assert [code for code in codes if code not in seen] == []
    assert f"{scripted.url}/recover" in seen
    assert scripted.name in seen
    expect(scripted.page.get_by_role("heading")).to_have_text(["Your recovery codes"])
    expect(scripted.page.locator(".site-header")).to_be_hidden()
    expect(scripted.page.locator(".qr-frame")).to_be_visible(visible=False)
    expect(scripted.page.get_by_role("button")).to_have_count(0)


@deep
def test_with_forced_colours_the_code_to_scan_stays_dark_on_white(scripted: Visitor) -> None:
    states.authenticator_app(scripted)

    scripted.page.emulate_media(forced_colors="active")

    expect(scripted.page.locator(".qr-frame")).to_have_css("background-color", "rgb(255, 255, 255)")


def test_the_time_left_counts_on(scripted: Visitor) -> None:
    """C15: and the form says when it is too late for it, too, and what to do then."""
    link = scripted.has_account().has_link()
    scripted.page.clock.install()
    scripted.goto(link)
    line = scripted.page.locator(".panel-note").first
    way_on = scripted.page.get_by_role("link", name="Ask for a fresh link")

    for passes, words in (
        ("00", r"This link works for another (9|10) minutes\."),
        ("05:00", r"This link works for another (4|5) minutes\."),
        ("05:01", r"This link has just expired\. You can still save within a few minutes\."),
        ("05:00", r"This link has expired\."),
    ):
        expect(way_on).to_have_count(0)
        scripted.page.clock.fast_forward(passes)
        expect(line).to_have_text(re.compile(words))
    with time_machine.travel(datetime.now(UTC) + timedelta(minutes=16)):
        way_on.click()
        scripted.press("Email me a fresh link")
        scripted.sees_heading("Check your email")
