"""Every page of the site in every state that a person can bring it to: its name, and how one gets there."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps

import time_machine
from playwright.sync_api import expect

from tests.addresses.steps import links
from tests.browser.visitor import Visitor
from tests.factors.steps import App, scan
from tests.stories import NEW_PASSWORD, PASSWORD

LONG_NAME = "a_name_that_is_as_long_as_it_is"
CUT_OFF = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJyZXNld"
STATES: dict[str, Callable[[Visitor], None]] = {}
# What is wrong with the looks of each state that somebody came to who looks about: also on the way to another.
LOOKED_AT: dict[str, list[str]] = {}


def state(come: Callable[[Visitor], None]) -> Callable[[Visitor], None]:
    @wraps(come)
    def come_and_look(person: Visitor) -> None:
        come(person)
        if person.looks_about and come.__name__ not in LOOKED_AT:
            LOOKED_AT[come.__name__] = person.wrong_looks()

    STATES[come.__name__] = come_and_look
    return come_and_look


@state
def login(person: Visitor) -> None:
    person.goto("/login?next=/mailbox")


@state
def login_throttled(person: Visitor) -> None:
    person.goto("/login")
    for _try in range(6):
        person.fill(username=person.name, password="not the password")
        with person.page.expect_response(f"{person.url}/login"):
            person.press("Log in")
    person.sees("Too many attempts.")


@state
def logged_out(person: Visitor) -> None:
    person.is_logged_in()
    person.logs_out()
    person.sees("You're logged out.")


@state
def home(person: Visitor) -> None:
    person.is_logged_in()


@state
def register(person: Visitor) -> None:
    person.goto("/register")


@state
def register_refused(person: Visitor) -> None:
    person.goto("/register")
    person.fill(email="nowhere")
    person.press("Email me a link")
    person.sees("doesn't look like an email")


@state
def register_sent(person: Visitor) -> None:
    person.asks_for_account()


@state
def finish_registration(person: Visitor) -> None:
    person.asks_for_account()
    person.goto(person.mailbox.link(to=person.address))


@state
def finish_registration_refused(person: Visitor) -> None:
    finish_registration(person)
    person.fill(username="two words", password="short")
    person.press("Register")
    person.sees("Use 3 to 30 letters")


@state
def finish_registration_measured(person: Visitor) -> None:
    finish_registration(person)
    person.fill(password="we are at home")
    person.sees("Good.")


@state
def reset_password_request(person: Visitor) -> None:
    person.goto("/reset_password_request?email=susan")


@state
def reset_password_request_throttled(person: Visitor) -> None:
    person.asks_for_reset()
    person.goto("/reset_password_request")
    person.fill(email=person.address)
    person.press("Email me a link")
    person.sees("You can ask again in")


@state
def reset_password(person: Visitor) -> None:
    person.goto(person.has_account().has_link())


@state
def reset_password_refused(person: Visitor) -> None:
    reset_password(person)
    person.fill(password="short")
    person.press("Save the new password")
    person.sees("characters")


@state
def expired_link(person: Visitor) -> None:
    link = person.has_account().has_link()
    with time_machine.travel(datetime.now(UTC) + timedelta(minutes=13)):
        person.goto(link)
    person.sees_heading("This link has expired")


@state
def not_me(person: Visitor) -> None:
    person.goto(person.has_account().has_not_me_link())
    person.sees_heading("This wasn't me")


@state
def not_me_said(person: Visitor) -> None:
    person.is_logged_in()
    person.goto(person.has_not_me_link())
    person.press("This wasn't me")
    person.sees_heading("Your account is locked")


@state
def recover(person: Visitor) -> None:
    person.goto("/recover")


@state
def recover_refused(person: Visitor) -> None:
    recover(person)
    person.fill(username=person.name, code="abcd-efgh-2345")
    person.press("Continue")
    person.sees("don't match, or the code has been used")


@state
def recovery_codes(person: Visitor) -> None:
    person.is_logged_in()
    person.goto("/recovery_codes")
    person.sees("You have no codes.")


@state
def recovery_codes_made(person: Visitor) -> None:
    recovery_codes(person)
    person.fill(current_password=PASSWORD)
    person.press("Make ten new codes")
    person.sees_heading("Your recovery codes")


@state
def passkeys(person: Visitor) -> None:
    person.is_logged_in()
    person.goto("/passkeys")
    person.sees_heading("Passkeys")


@state
def sign_in_methods(person: Visitor) -> None:
    person.is_logged_in()
    person.goto("/sign-in_methods")
    person.sees_heading("Ways to log in")


@state
def email_app_link(person: Visitor) -> None:
    person.is_logged_in()
    person.goto("/sign-in_methods/app")
    person.sees_heading("Set up an authenticator app")


@state
def app_link_asked(person: Visitor) -> None:
    email_app_link(person)
    person.press("Email me a link")
    person.sees_that_mail_is_coming()


@state
def authenticator_app(person: Visitor) -> None:
    app_link_asked(person)
    person.goto(person.mailbox.link(person.address, subject="Set up an authenticator app"))
    person.sees("Save these recovery codes")


@state
def authenticator_app_refused(person: Visitor) -> None:
    authenticator_app(person)
    person.fill(code="123456", recovery_code="aaaa-bbbb-cccc")
    person.press("Finish")
    person.sees("That code isn't on the sheet above.")


@state
def remove_authenticator_app(person: Visitor) -> None:
    sets_up_app(person)
    person.goto("/sign-in_methods/app/remove")


@state
def second_step(person: Visitor) -> None:
    sets_up_app(person)
    person.logs_out()
    person.logs_in()
    person.sees_heading("One more step")


@state
def second_step_refused(person: Visitor) -> None:
    second_step(person)
    person.fill(code="123456")
    person.press("Log in")
    person.sees("That code isn't right, or")


@state
def factor_removal(person: Visitor) -> None:
    second_step(person)
    person.press("Email me a link")
    person.sees_that_mail_is_coming()
    person.goto(person.mailbox.link(person.address, subject="Log in to Microblog without"))
    person.sees_heading("Lost your phone and your recovery codes?")


@state
def factor_removal_begun(person: Visitor) -> None:
    factor_removal(person)
    person.press("Start the wait")
    person.sees_heading("The wait has started")


@state
def keep_factors(person: Visitor) -> None:
    factor_removal_begun(person)
    person.goto(person.mailbox.link(person.address, subject="Your second step on Microblog is about"))
    person.sees_heading("Keep the second step")


def sets_up_app(person: Visitor) -> App:
    authenticator_app(person)
    return finishes_app(person)


def finishes_app(person: Visitor) -> App:
    """With the code of the half minute before, so that the next one is unused."""
    app = scan(person.page.content())
    person.fill(code=app.code(-1, seconds=10), recovery_code=app.codes[0])
    person.press("Finish")
    person.sees("Your authenticator app is set up.")
    return app


@state
def change_email(person: Visitor) -> None:
    person.is_logged_in()
    person.goto("/change_email")


@state
def change_email_refused(person: Visitor) -> None:
    change_email(person)
    person.fill(email="nowhere")
    person.press("Email me a link")
    person.sees("doesn't look like an email")


def change_email_sent(person: Visitor) -> None:
    change_email(person)
    person.fill(email=person.new_address, current_password=PASSWORD)
    person.press("Email me a link")
    person.sees_heading("Check your email")


@state
def confirm_email(person: Visitor) -> None:
    change_email_sent(person)
    person.goto(links(person.mailbox, person.new_address, "/confirm_email/")[0])
    person.sees_heading("Use this email?")


@state
def confirm_email_taken(person: Visitor) -> None:
    confirm_email(person)
    person.has_account_at_new_address()
    person.press("Yes, use this email")
    person.sees("Another account uses this email now")


@state
def email_confirmed(person: Visitor) -> None:
    confirm_email(person)
    person.press("Yes, use this email")
    person.sees(f"Your email is now {person.new_address}.")
    person.goto(links(person.mailbox, person.new_address, "/confirm_email/")[0])
    person.sees_heading("This email is confirmed")


@state
def undo_email(person: Visitor) -> None:
    confirm_email(person)
    person.press("Yes, use this email")
    person.sees(f"Your email is now {person.new_address}.")
    person.goto(links(person.mailbox, person.address, "/undo_email/")[0])
    person.sees_heading("Take the account back")


@state
def delete_account(person: Visitor) -> None:
    person.is_logged_in()
    person.goto("/delete_account")


@state
def delete_account_refused(person: Visitor) -> None:
    delete_account(person)
    person.fill(username="somebody_else", current_password=PASSWORD)
    person.press("Delete my account")
    person.sees("That's not your username.")


@state
def account_deleted(person: Visitor) -> None:
    delete_account(person)
    person.fill(username=person.name, current_password=PASSWORD)
    person.press("Delete my account")
    person.sees_heading("Your account is hidden now")


@state
def undo_deletion(person: Visitor) -> None:
    account_deleted(person)
    person.goto(links(person.mailbox, person.address, "/undo_deletion/")[0])
    person.sees_heading("Keep your account?")


@state
def export(person: Visitor) -> None:
    person.is_logged_in()
    person.goto("/export")


@state
def export_ready(person: Visitor) -> None:
    """The page finds out by itself that the file is there."""
    export(person)
    person.fill(current_password=PASSWORD)
    person.press("Make the file")
    person.sees("Your file is ready. We keep it until:")
    expect(person.page.get_by_role("button", name="Download")).to_be_visible()


@state
def settings(person: Visitor) -> None:
    """With a name and an address as long as they may be."""
    person.name = f"{LONG_NAME[: 30 - len(person.name)]}{person.name}"
    person.address = f"{'x' * 30}.{person.name}@{'long-' * 10}example.{'example.' * 8}com"
    person.is_logged_in()
    person.opens_menu()
    person.page.locator(".site-header").get_by_role("link", name="Settings").click()
    person.sees_heading("Settings")


@state
def change_password_refused(person: Visitor) -> None:
    person.is_logged_in()
    person.goto("/change_password")
    person.fill(current_password="not the password", password=NEW_PASSWORD)
    person.press("Save the new password")
    person.sees("That's not your current password.")


@state
def sessions(person: Visitor) -> None:
    person.is_logged_in()
    person.has_phone()
    person.goto("/sessions")
    person.sees("Firefox on Android")


@state
def emails(person: Visitor) -> None:
    person.is_logged_in()
    person.has_phone()
    person.goto("/letters")
    person.sees("A log-in from a new device")


@state
def unsubscribed(person: Visitor) -> None:
    person.is_logged_in()
    person.goto(person.is_mentioned())
    person.press("Turn them off")
    person.sees_heading("These emails are off")


@state
def edit_profile_refused(person: Visitor) -> None:
    person.is_logged_in()
    person.goto("/edit_profile")
    person.fill(username="two words", about_me="x" * 141)
    person.press("Save")
    person.sees("That's too long")


@state
def cut_off_link(person: Visitor) -> None:
    person.goto(f"/reset_password/{CUT_OFF}")


@state
def used_registration_link(person: Visitor) -> None:
    person.has_account()
    person.goto(person.mailbox.link(to=person.address))


@state
def mailbox(person: Visitor) -> None:
    person.has_account().has_link()
    person.goto("/mailbox")


@state
def mailbox_email(person: Visitor) -> None:
    person.has_account().has_link()
    person.goto("/mailbox")
    person.opens_email(count=2)


@state
def gallery(person: Visitor) -> None:
    person.goto("/mailbox/gallery")
    person.sees("Every email this site can send")


@state
def gallery_email(person: Visitor) -> None:
    person.goto("/mailbox/gallery/reset_password.en")
    person.sees("No problems found")


@state
def admin_mail_paused(person: Visitor) -> None:
    person.is_host().is_logged_in()
    person.goto("/admin/mail")
    person.press("Pause")
    person.sees("Paused since")
    person.press("Resume")
    person.sees("Resumed.")


@state
def nothing_here(person: Visitor) -> None:
    person.goto("/nowhere")
    person.sees_heading("Nobody lives at this address")


@state
def not_readable(person: Visitor) -> None:
    """No link of ours leads here; somebody changed the form."""
    person.expected.add(400)
    person.goto("/login")
    person.page.evaluate(
        """() => {
            const form = document.querySelector("#main form");
            form.insertAdjacentElement("beforeend", form.elements.username.cloneNode());
            form.setAttribute("data-hx-disable", "");
            HTMLFormElement.prototype.submit.call(form);
        }"""
    )
    person.sees_heading("That didn't work")
