"""The second step in a real browser, from both sides; with JavaScript and without."""

from collections.abc import Callable

import pytest

from tests.browser.states import sets_up_app
from tests.browser.visitor import Visitor
from tests.depth import deep
from tests.stories import NEW_PASSWORD, PASSWORD

pytestmark = pytest.mark.browser


@deep
def test_a_person_sets_up_an_app_and_a_thief_with_the_password_stays_outside(
    visitor: Visitor, new_visitor: Callable[..., Visitor]
) -> None:
    app = sets_up_app(visitor)
    thief = new_visitor(has_javascript=visitor.has_javascript)
    thief.goto("/login")
    thief.fill(username=visitor.name, password=PASSWORD)
    thief.press("Log in")
    thief.sees_heading("One more step")
    thief.fill(code="123456")
    thief.press("Log in")
    thief.sees("That code isn't right, or")
    thief.goto("/settings")
    thief.sees_heading("Log in")

    visitor.logs_out()
    visitor.logs_in()
    visitor.sees_heading("One more step")
    visitor.fill(code=app.code())
    visitor.press("Log in")

    visitor.is_at_home()


@deep
def test_a_person_who_lost_the_phone_and_the_password_gets_in_with_mailbox_and_sheet(visitor: Visitor) -> None:
    app = sets_up_app(visitor)
    visitor.logs_out()
    visitor.goto("/reset_password_request")
    visitor.fill(email=visitor.address)
    visitor.press("Email me a link")
    visitor.sees_that_mail_is_coming()
    visitor.goto(visitor.mailbox.link(visitor.address, subject="Reset your password"))
    visitor.fill(password=NEW_PASSWORD)
    visitor.press("Save the new password")
    visitor.sees("Type the six digits")

    visitor.fill(password=NEW_PASSWORD, code=app.codes[4])
    visitor.press("Save the new password")
    visitor.sees("password is changed.")
    visitor.logs_in(NEW_PASSWORD)
    visitor.sees_heading("One more step")
    visitor.fill(code=app.codes[5])
    visitor.press("Log in")

    visitor.is_at_home()
