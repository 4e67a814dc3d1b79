"""A changed address in a real browser, from both sides, with JavaScript and without."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.addresses.steps import links
from tests.browser.visitor import Visitor
from tests.depth import deep
from tests.stories import NEW_PASSWORD, PASSWORD

pytestmark = pytest.mark.browser


@deep
def test_an_address_is_changed_and_taken_back_by_its_owner(
    visitor: Visitor, new_visitor: Callable[..., Visitor]
) -> None:
    """C34: somebody else at the open computer moves the account; the owner, elsewhere, has the email."""
    visitor.is_logged_in()
    visitor.goto("/settings")
    visitor.page.locator("#main").get_by_role("link", name=re.compile("^Email address")).click()
    visitor.fill(email=visitor.new_address, current_password="not the password")
    visitor.press("Email me a link")
    visitor.sees("That's not your current password.")
    visitor.fill(email=visitor.new_address, current_password=PASSWORD)
    visitor.press("Email me a link")
    visitor.sees_that_mail_is_coming()
    visitor.goto(links(visitor.mailbox, visitor.new_address, "/confirm_email/")[0])
    visitor.press("Yes, use this email")
    visitor.sees(f"Your email is now {visitor.new_address}.")

    owner = new_visitor(has_javascript=visitor.has_javascript)
    owner.goto(links(visitor.mailbox, visitor.address, "/undo_email/")[0])
    owner.press("Give me my email back")

    owner.sees(f"has the email {visitor.address} again")
    expect(owner.page.get_by_label("Username or email")).to_have_value(visitor.name)
    visitor.is_stranger()
    owner.press("Email me a link")
    owner.sees_that_mail_is_coming()
    owner.goto(links(visitor.mailbox, visitor.address, "/reset_password/")[0])
    owner.fill(password=NEW_PASSWORD)
    owner.press("Save the new password")
    owner.sees("password is changed.")
    visitor.logs_in()
    visitor.sees("That username or email and password don't match.")
