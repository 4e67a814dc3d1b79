"""People with only a phone, with mail on another device, or with nothing left get in; a thief doesn't."""

import asyncio
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import time_machine

from tests.browser.listening import ListeningSite
from tests.browser.states import sets_up_app
from tests.browser.test_passkeys import Device, add
from tests.browser.visitor import PHONE, Visitor
from tests.depth import deep
from tests.stories import NEW_PASSWORD, PASSWORD
from webapp.database import Database
from webapp.factors.upkeep import PendingRemovals

pytestmark = pytest.mark.browser
A_PHONE = {"viewport": {"width": 375, "height": 700}, "user_agent": PHONE, "has_touch": True}
HOUR, DAY = 3600, 86400
BEGINS, WAITS = "Log in to Microblog without", "Your second step on Microblog is about"


@deep
def test_a_person_with_only_a_phone_gets_in_by_the_passkey_that_its_browser_offers(
    new_visitor: Callable[..., Visitor],
) -> None:
    """By autofill (conditional mediation): the page asks for the passkey itself, and nothing is pressed or typed."""
    phone = new_visitor(**A_PHONE)
    phone.is_logged_in()
    Device(phone)
    add(phone)
    phone.sees("The passkey is added.")

    phone.opens_menu()
    with phone.page.expect_response(f"{phone.url}/login/passkey"):
        phone.page.locator(".site-header").get_by_role("button", name="Log out").click()

    phone.is_at_home()


def test_a_person_at_the_computer_types_the_code_of_the_email_that_is_on_the_phone(visitor: Visitor) -> None:
    visitor.has_account()
    visitor.asks_for_reset()
    [code] = re.findall(r"^\s*(\d{4} \d{4})\s*$", visitor.mailbox.last(visitor.address, 2).text, re.MULTILINE)

    visitor.fill(code=code)
    visitor.press("Continue")
    visitor.sees_heading("Choose a new password")
    visitor.fill(password=NEW_PASSWORD)
    visitor.press("Save the new password")

    visitor.sees("password is changed.")
    visitor.logs_in(NEW_PASSWORD)
    visitor.is_at_home()


def begins_to_wait(person: Visitor) -> None:
    """From the page of the second step, by the mailed link."""
    person.press("Email me a link")
    person.sees_that_mail_is_coming()
    person.goto(person.mailbox.link(person.address, subject=BEGINS))
    person.press("Start the wait")
    person.sees_heading("The wait has started")


@deep
def test_a_person_who_lost_everything_but_the_mailbox_waits_and_gets_in(visitor: Visitor, site: ListeningSite) -> None:
    sets_up_app(visitor)
    visitor.logs_out()
    visitor.logs_in()
    visitor.sees_heading("One more step")
    begins_to_wait(visitor)

    visitor.goto("/login")
    with time_machine.travel(time.time() + 3 * DAY - HOUR):
        let_background_work(site)
        visitor.logs_in()
        visitor.sees_heading("One more step")
        visitor.goto("/login")
    with time_machine.travel(time.time() + 3 * DAY + HOUR):
        let_background_work(site)
        visitor.logs_in()
        visitor.is_at_home()


@deep
def test_a_thief_of_the_mailbox_gets_no_further_than_the_wait_which_the_owner_stops(
    visitor: Visitor, new_visitor: Callable[..., Visitor]
) -> None:
    app = sets_up_app(visitor)
    visitor.logs_out()
    thief = new_visitor()
    thief.name, thief.address = visitor.name, visitor.address
    thief.asks_for_reset()
    thief.goto(thief.mailbox.link(visitor.address, subject="Reset your password"))
    thief.fill(password=NEW_PASSWORD, code="123456")
    thief.press("Save the new password")
    thief.sees("That code isn't right, or")
    thief.press("Email me a link")
    thief.sees_that_mail_is_coming()
    thief.goto(thief.mailbox.link(visitor.address, subject=BEGINS))
    thief.press("Start the wait")
    thief.sees_heading("The wait has started")

    visitor.logs_in(PASSWORD)
    visitor.fill(code=app.code())
    visitor.press("Log in")

    visitor.is_at_home()
    thief.goto(thief.mailbox.link(visitor.address, subject=WAITS))
    thief.sees("Nothing is being removed.")


def let_background_work(site: ListeningSite) -> None:
    """What it does every few minutes, by the clock of now."""

    async def work() -> None:
        aside = Database(site.settings.database_url)
        await PendingRemovals(site.settings).run_batch(aside)
        await aside.aclose()

    with ThreadPoolExecutor(1) as thread:  # beside playwright there is an event loop here already
        thread.submit(asyncio.run, work()).result()
