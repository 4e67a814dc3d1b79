"""Passkeys in a real browser, whose own checks run: an authenticator of its own, driven over CDP."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import CDPSession, expect

from tests.addresses.steps import links
from tests.browser.listening import ListeningSite
from tests.browser.states import finishes_app
from tests.browser.visitor import Visitor
from tests.depth import deep, one_in
from tests.stories import NEW_PASSWORD, PASSWORD

pytestmark = pytest.mark.browser
DEVICE = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


class Device:
    """The authenticator of a visitor's browser."""

    def __init__(self, visitor: Visitor, **changed: Any) -> None:
        self.cdp: CDPSession = visitor.context.new_cdp_session(visitor.page)
        self.cdp.send("WebAuthn.enable", {"enableUI": False})
        options = {"options": DEVICE | changed}
        self.id = self.cdp.send("WebAuthn.addVirtualAuthenticator", options)["authenticatorId"]

    def credentials(self) -> list[dict[str, Any]]:
        found = self.cdp.send("WebAuthn.getCredentials", {"authenticatorId": self.id})
        return list(found["credentials"])

    def does_not_unlock(self) -> None:
        self.cdp.send("WebAuthn.setUserVerified", {"authenticatorId": self.id, "isUserVerified": False})


@pytest.fixture
def visitor(scripted: Visitor) -> Iterator[Visitor]:
    scripted.is_logged_in()
    yield scripted
    for session in (scripted.context.new_cdp_session(scripted.page),):
        session.send("WebAuthn.disable")


def add(visitor: Visitor) -> None:
    visitor.goto("/passkeys")
    visitor.fill(name="My laptop")
    visitor.press("Add a passkey")


@pytest.mark.parametrize("path", ["/", "/checkup", "/sign-in_methods"])
@one_in(3)
@deep
def test_a_passkey_is_offered_only_where_scripts_run(new_visitor: Callable[..., Visitor], path: str) -> None:
    other = new_visitor().is_logged_in()
    other.fill(body="Hello.")
    other.press("Post")
    other.sees("Posted.")
    for has_javascript in (True, False):
        person = new_visitor(has_javascript=has_javascript)
        person.is_logged_in()
        person.goto(f"/user/{other.name}")  # a home page without others' posts shows people first
        person.press(f"Follow {other.name}")
        person.sees("1 follower" if has_javascript else "2 followers")
        person.goto(path)
        offer = person.page.locator("#main").get_by_role("link", name="Add a passkey")
        expect(offer).to_be_visible(visible=has_javascript)


def test_a_passkey_is_added_and_logs_in_by_the_button(visitor: Visitor) -> None:
    device = Device(visitor)
    visitor.page.add_init_script("PublicKeyCredential.isConditionalMediationAvailable = async () => false")
    add(visitor)
    visitor.sees("The passkey is added.")
    visitor.sees("Only on one device")
    [credential] = device.credentials()
    visitor.logs_out()

    visitor.press("Log in with a passkey")

    visitor.is_at_home()
    assert credential["rpId"] == "localhost"
    assert visitor.name not in str(credential["userHandle"])


@deep
def test_a_second_one_on_the_same_device_is_told_apart_from_one_that_failed(visitor: Visitor) -> None:
    Device(visitor)
    add(visitor)
    visitor.sees("The passkey is added.")

    add(visitor)

    visitor.sees("This device has a passkey for your account already.")


@pytest.mark.parametrize("way", ["everywhere else", "password", "not me"])
@one_in(3)
@deep
def test_a_thiefs_passkey_opens_nothing_once_the_owner_has_ended_it(
    new_visitor: Callable[..., Visitor], visitor: Visitor, way: str
) -> None:
    """C68: in the thief's browser, which still offers it, from a page that was open before."""
    owner = new_visitor()
    owner.name, owner.address = visitor.name, visitor.address
    owner.logs_in()
    Device(visitor)
    visitor.page.add_init_script("PublicKeyCredential.isConditionalMediationAvailable = async () => false")
    add(visitor)
    visitor.sees("The passkey is added.")
    visitor.context.clear_cookies()
    visitor.goto("/login")
    visitor.press("Log in with a passkey")
    visitor.is_at_home()
    visitor.context.clear_cookies()
    visitor.goto("/login")

    if way == "everywhere else":
        owner.goto("/sessions")
        owner.press("Log out everywhere else")
        expect(owner.page.locator("#flash")).not_to_be_empty()
    elif way == "password":
        owner.goto("/change_password")
        owner.fill(current_password=PASSWORD, password=NEW_PASSWORD)
        owner.press("Save the new password")
        owner.sees("Your password is changed")
    else:
        owner.goto(links(owner.mailbox, owner.address, "/not_me/")[0])
        owner.press("This wasn't me")
        owner.sees_heading("Your account is locked")

    for _page in ("open before", "opened again"):
        visitor.press("Log in with a passkey")
        visitor.sees("That passkey didn't open an account here.")
        visitor.goto("/login")


@deep
def test_what_was_not_unlocked_is_cancelled_and_nothing_is_sent(visitor: Visitor) -> None:
    Device(visitor).does_not_unlock()
    before = list(visitor.posts)

    add(visitor)

    visitor.sees("the passkey was cancelled, or took too long")
    assert visitor.posts == before


@deep
def test_the_browser_itself_refuses_an_address(visitor: Visitor) -> None:
    """Why the development site is at localhost: the same page by its number gets no passkey."""
    Device(visitor)
    visitor.goto("/passkeys")
    refused = """async () => {
        const options = JSON.parse(document.querySelector("form[data-passkey]").dataset.options);
        const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
        publicKey.rp.id = "127.0.0.1";
        return await navigator.credentials.create({ publicKey }).then(() => "made", (error) => error.name);
    }"""

    assert visitor.page.evaluate(refused) == "SecurityError"


@deep
def test_a_passkey_proves_who_is_asking_and_the_page_keeps_what_was_typed(visitor: Visitor) -> None:
    Device(visitor)
    add(visitor)
    visitor.sees("The passkey is added.")
    visitor.goto("/change_email")
    visitor.fill(email=visitor.new_address)

    visitor.press("Use a passkey instead")

    visitor.sees_heading("Check your email")
    visitor.sees(visitor.new_address)


@deep
def test_a_passkey_answers_for_password_and_code_where_the_app_is_removed(
    visitor: Visitor, site: ListeningSite
) -> None:
    Device(visitor)
    add(visitor)
    visitor.sees("The passkey is added.")
    visitor.goto("/sign-in_methods/app")
    visitor.press("Email me a link")
    visitor.sees_that_mail_is_coming()
    visitor.goto(visitor.mailbox.link(visitor.address, subject="Set up an authenticator app"))
    finishes_app(visitor)
    is_old(visitor, site)

    visitor.goto("/sign-in_methods/app/remove")
    visitor.press("Use a passkey instead")

    visitor.sees("The authenticator app is removed.")


@deep
def test_a_proof_that_is_cancelled_says_so_and_a_password_still_does(visitor: Visitor) -> None:
    device = Device(visitor)
    add(visitor)
    visitor.sees("The passkey is added.")
    device.does_not_unlock()
    visitor.goto("/change_password")
    visitor.fill(password=NEW_PASSWORD)

    visitor.press("Use a passkey instead")
    visitor.sees("the passkey was cancelled, or took too long")
    visitor.fill(current_password=PASSWORD)
    visitor.press("Save the new password")

    visitor.sees("Your password is changed")


@deep
def test_the_form_that_makes_a_passkey_takes_another_as_proof_and_then_goes_on(
    visitor: Visitor, site: ListeningSite
) -> None:
    """It asks for two answers in a row; the one device here has its passkey already, and says so at the second."""
    Device(visitor)
    add(visitor)
    visitor.sees("The passkey is added.")
    is_old(visitor, site)
    visitor.goto("/passkeys")
    visitor.fill(name="My key")

    visitor.press("Use a passkey instead")

    visitor.sees("This device has a passkey for your account already.")


def is_old(visitor: Visitor, site: ListeningSite) -> None:
    """The last proof of whoever is there was long ago."""
    database = sqlite3.connect(site.settings.database_url.partition("///")[2])
    with contextlib.closing(database), database:
        database.execute(
            "UPDATE session SET proved_at = '2026-01-01 00:00:00.000000' WHERE user_id ="
            " (SELECT id FROM user_account WHERE username = ?)",
            (visitor.name,),
        )
