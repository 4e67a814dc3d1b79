"""What people do on the site, step by step and through the front door."""

from httpx2 import Response

from tests.conftest import Browser
from tests.mailbox import Mailbox

PASSWORD = "correct horse battery"
NEW_PASSWORD = "a quite different staple"
RESET_SUBJECT = "Reset your password"


def register(browser: Browser, mailbox: Mailbox, username: str = "susan", password: str = PASSWORD) -> str:
    """Makes an account by the mailed link; returns its address."""
    address = f"{username.lower()}@example.com"
    assert browser.post("/register", data={"email": address}).status_code == 200
    answer = browser.post(mailbox.link(to=address), data={"username": username, "password": password})
    assert answer.url.path == "/login", answer.text
    return address


def log_in(browser: Browser, username: str = "susan", password: str = PASSWORD, **more: str) -> Response:
    return browser.post("/login", data={"username": username, "password": password, **more})


def is_logged_in(browser: Browser) -> bool:
    return browser.get("/", follow_redirects=False).status_code == 200


def ask_for_reset(browser: Browser, identity: str = "susan@example.com") -> Response:
    return browser.post("/reset_password_request", data={"email": identity})


def forget_and_find_link(browser: Browser, mailbox: Mailbox, username: str = "susan") -> str:
    """Asks for a reset email and returns the path behind its link."""
    address = f"{username.lower()}@example.com"
    before = len(mailbox.all(address, RESET_SUBJECT))
    ask_for_reset(browser, address)
    return mailbox.link(address, before + 1, RESET_SUBJECT)
