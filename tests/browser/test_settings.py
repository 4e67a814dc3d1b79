"""The settings in a real browser, with JavaScript and without."""

import pytest

from tests.browser.visitor import Visitor
from tests.depth import deep
from tests.stories import NEW_PASSWORD, PASSWORD

pytestmark = pytest.mark.browser


def test_a_changed_password_leaves_only_this_browser_logged_in(visitor: Visitor) -> None:
    """C26, C34"""
    visitor.is_logged_in()
    visitor.has_phone()
    visitor.goto("/change_password")

    visitor.fill(current_password=PASSWORD, password=NEW_PASSWORD)
    visitor.press("Save the new password")

    visitor.sees("Your password is changed, and you're logged out on 1 other device.")
    visitor.sees_heading("Settings")
    assert not visitor.is_logged_in_on_phone()
    visitor.goto("/")
    visitor.is_at_home()


@deep
def test_a_person_finds_a_session_and_ends_it(visitor: Visitor) -> None:
    """C34"""
    visitor.is_logged_in()
    visitor.has_phone()
    visitor.goto("/sessions")

    # Its name goes on with the time since when, for two sessions of one browser.
    visitor.page.get_by_role("button", name="Log out of Firefox on Android Since").click()

    visitor.sees("Logged out of Firefox on Android.")
    assert not visitor.is_logged_in_on_phone()


@deep
def test_emails_are_turned_off_by_a_link_and_on_again(visitor: Visitor) -> None:
    """In a browser that knows nobody."""
    visitor.has_account()

    visitor.goto(visitor.is_mentioned())
    visitor.press("Turn them off")
    visitor.sees_heading("These emails are off")
    visitor.press("Turn them on again")

    visitor.sees_heading("These emails are on again")


@deep
def test_a_person_chooses_a_name_and_which_emails_come(visitor: Visitor) -> None:
    visitor.is_logged_in()
    visitor.goto("/edit_profile")
    visitor.fill(username=visitor.name.upper(), about_me="I like long walks.", current_password=PASSWORD)
    visitor.press("Save")
    visitor.sees("Profile saved.")
    visitor.follow("Emails What we sent you, and what you want to get.")

    visitor.page.get_by_label("Log-ins from a new device").uncheck()
    visitor.fill(current_password=PASSWORD)
    visitor.press("Save")

    visitor.sees("Saved")
    assert not visitor.page.get_by_label("Log-ins from a new device").is_checked()
