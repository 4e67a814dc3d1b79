"""Passkeys in a real browser, whose own checks run: an authenticator of its own, driven over CDP."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import CDPSession

from tests.browser.visitor import Visitor

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


def test_a_passkey_is_added_and_logs_in_by_the_button(visitor: Visitor) -> None:
    device = Device(visitor)
    visitor.page.add_init_script("PublicKeyCredential.isConditionalMediationAvailable = async () => false")
    add(visitor)
    visitor.sees("The passkey is added.")
    visitor.sees("Only on this device")
    [credential] = device.credentials()
    visitor.logs_out()

    visitor.press("Log in with a passkey")

    visitor.is_at_home()
    assert credential["rpId"] == "localhost"
    assert visitor.name not in str(credential["userHandle"])


def test_a_second_one_on_the_same_device_is_told_apart_from_one_that_failed(visitor: Visitor) -> None:
    Device(visitor)
    add(visitor)
    visitor.sees("The passkey is added.")

    add(visitor)

    visitor.sees("This device has a passkey for your account already.")


def test_what_was_not_unlocked_is_cancelled_and_nothing_is_sent(visitor: Visitor) -> None:
    Device(visitor).does_not_unlock()
    before = list(visitor.posts)

    add(visitor)

    visitor.sees("the passkey was cancelled, or took too long")
    assert visitor.posts == before


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
