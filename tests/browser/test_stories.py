"""The main job in a real browser, with JavaScript and without."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from playwright.sync_api import Browser, expect

from tests.browser.visitor import Visitor, both_ways
from tests.depth import deep, one_in
from tests.stories import NEW_PASSWORD, PASSWORD

pytestmark = pytest.mark.browser

# What is deep here holds for any client, so `TestClient` proves it too: tests/authentication, registration, recovery.


@both_ways
@one_in(2)
def test_a_person_registers_by_the_link_in_the_email(visitor: Visitor) -> None:
    visitor.asks_for_account()
    visitor.opens_mailbox()
    visitor.opens_email()
    visitor.follows_in_email("Register")
    visitor.sees(visitor.address)

    visitor.fill(username=visitor.name, password=PASSWORD)
    visitor.press("Register")

    visitor.sees(f"Welcome, {visitor.name}!")
    visitor.is_at_home()


@both_ways
def test_a_person_forgets_the_password_and_gets_back_in(visitor: Visitor) -> None:
    visitor.has_account()
    visitor.asks_for_reset()
    visitor.opens_mailbox()
    visitor.opens_email(count=2)
    visitor.follows_in_email("Choose a new password")
    visitor.sees_heading("Choose a new password")

    visitor.fill(password=NEW_PASSWORD)
    visitor.press("Save the new password")

    visitor.sees("password is changed.")
    visitor.logs_in(PASSWORD)
    visitor.sees("That username or email and password don't match.")
    visitor.logs_in(NEW_PASSWORD)
    visitor.is_at_home()


@deep
def test_logging_in_leads_to_where_one_was_going(visitor: Visitor) -> None:
    visitor.has_account()

    visitor.goto("/login?next=/mailbox")
    visitor.logs_in()

    expect(visitor.page).to_have_url(f"{visitor.url}/mailbox")


@deep
def test_next_never_leads_to_another_site(visitor: Visitor) -> None:
    """C43"""
    visitor.has_account()

    visitor.goto("/login?next=//example.com/")
    visitor.logs_in()

    visitor.is_at_home()
    expect(visitor.page).to_have_url(f"{visitor.url}/")


@deep
def test_stay_logged_in_outlives_the_browser(visitor: Visitor) -> None:
    visitor.has_account()
    visitor.goto("/login")

    visitor.page.get_by_label("Stay logged in").check()
    visitor.logs_in()
    visitor.is_at_home()

    session = next(cookie for cookie in visitor.context.cookies() if cookie["name"] == "session")
    assert session["expires"] > datetime.now(UTC).timestamp() + timedelta(days=14).total_seconds() - 60


@deep
def test_without_stay_logged_in_the_session_ends_with_the_browser(visitor: Visitor) -> None:
    visitor.has_account()

    visitor.logs_in()
    visitor.is_at_home()

    session = next(cookie for cookie in visitor.context.cookies() if cookie["name"] == "session")
    assert session["expires"] == -1


@deep
def test_a_wrong_password_is_refused_and_the_name_stays(visitor: Visitor) -> None:
    visitor.has_account()

    visitor.logs_in("not the password")

    visitor.sees("That username or email and password don't match.")
    expect(visitor.page.get_by_label("Username or email")).to_have_value(visitor.name)
    expect(visitor.page.get_by_label("Password", exact=True)).to_have_value("")
    visitor.is_stranger()


@deep
def test_forgot_your_password_carries_what_was_typed(visitor: Visitor) -> None:
    """Without JavaScript once the form has been sent; with it, at once."""
    visitor.goto("/login")
    visitor.fill(username=visitor.address)
    if not visitor.has_javascript:
        visitor.fill(password="no idea")
        visitor.press("Log in")
        visitor.sees("don't match")

    visitor.follow("Forgot your password?")

    expect(visitor.page.get_by_label("Username or email")).to_have_value(visitor.address)


@deep
def test_logging_out_leaves_a_stranger(visitor: Visitor) -> None:
    visitor.is_logged_in()

    visitor.logs_out()

    visitor.sees("You're logged out.")
    visitor.is_stranger()


def test_back_after_logging_out_shows_nothing_private(
    new_visitor: Callable[..., Visitor], has_javascript: bool, remembering_browser: Browser
) -> None:
    """C27"""
    visitor = new_visitor(has_javascript=has_javascript, before=remembering_browser)
    visitor.is_logged_in()
    visitor.logs_out()

    visitor.page.go_back(wait_until="commit")

    expect(visitor.page).to_have_url(f"{visitor.url}/")
    visitor.sees("Newest posts")
    expect(visitor.page.locator(".site-header")).not_to_contain_text(visitor.name)


@deep
def test_an_expired_link_is_renewed_by_one_button(visitor: Visitor) -> None:
    link = visitor.has_account().has_link()
    with time_machine.travel(datetime.now(UTC) + timedelta(minutes=13)):
        visitor.goto(link)
        visitor.sees_heading("This link has expired")
        visitor.sees("It expired 3 minutes ago.")
        expect(visitor.page.locator("#main input:not([type=hidden])")).to_have_count(0)
        expect(visitor.page.locator("body")).not_to_contain_text(visitor.address)

        visitor.press("Email me a fresh link")

        visitor.sees_that_mail_is_coming()
        visitor.goto(visitor.mailbox.link(to=visitor.address, count=3))
        visitor.sees_heading("Choose a new password")
        visitor.fill(password=NEW_PASSWORD)
        visitor.press("Save the new password")
        visitor.sees("password is changed.")


@deep
def test_a_used_link_says_so_and_offers_a_fresh_one(visitor: Visitor) -> None:
    """C16"""
    link = visitor.has_account().has_link()
    visitor.goto(link)
    visitor.fill(password=NEW_PASSWORD)
    visitor.press("Save the new password")
    visitor.sees("password is changed.")

    visitor.goto(link)

    visitor.sees_heading("This link has been used")
    expect(visitor.page.get_by_role("button", name="Email me a fresh link")).to_be_visible()


@deep
def test_a_link_that_is_used_while_its_form_is_open_says_so(visitor: Visitor) -> None:
    """C16, C18: the form was opened twice; the second sending finds the link used."""
    link = visitor.has_account().has_link()
    other = visitor.context.new_page()
    other.goto(link)
    visitor.goto(link)
    visitor.fill(password=NEW_PASSWORD)
    visitor.press("Save the new password")
    visitor.sees("password is changed.")

    visitor.page = other
    visitor.fill(password="yet another long phrase")
    visitor.press("Save the new password")

    visitor.sees_heading("This link has been used")


@deep
def test_a_used_registration_link_leads_to_the_log_in(visitor: Visitor) -> None:
    visitor.has_account()

    visitor.goto(visitor.mailbox.link(to=visitor.address))

    visitor.sees_heading("This link has been used")
    visitor.follow("Log in")
    visitor.logs_in()
    visitor.is_at_home()


@deep
@pytest.mark.parametrize("start", ["register", "reset_password"])
def test_a_link_cut_off_by_the_mail_program_says_so(visitor: Visitor, start: str) -> None:
    visitor.goto(f"/{start}/eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJyZXNld")

    visitor.sees_heading("This link is incomplete")
    visitor.follow("Register again" if start == "register" else "Ask for a fresh link")
    expect(visitor.page.locator("input[name=email]")).to_be_visible()


@deep
def test_a_person_who_is_logged_in_resets_the_password_of_another_account(
    visitor: Visitor, new_visitor: Callable[..., Visitor]
) -> None:
    other = new_visitor(has_javascript=visitor.has_javascript)
    visitor.is_logged_in()

    visitor.goto(other.has_account().has_link())

    visitor.sees(f"This changes the password of {other.name}.")
    expect(visitor.page.get_by_role("textbox", name="Account")).to_have_value(other.name)
    visitor.fill(password=NEW_PASSWORD)
    visitor.press("Save the new password")
    visitor.page.wait_for_load_state()
    other.logs_in(NEW_PASSWORD)
    other.is_at_home()


@deep
def test_a_person_with_an_account_who_registers_again_is_told_by_email(visitor: Visitor) -> None:
    visitor.has_account()
    with time_machine.travel(datetime.now(UTC) + timedelta(minutes=2)):
        visitor.asks_for_account()

        email = visitor.mailbox.last(visitor.address, count=2)

    assert "You already have an account here" in " ".join(email.text.split())
