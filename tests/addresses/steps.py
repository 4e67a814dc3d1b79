"""What people do when they change an address, step by step and through the front door."""

import time

from httpx2 import Response

from tests.mailbox import PATIENCE, Mailbox, paths_in
from tests.sites import Browser, Site
from tests.stories import PASSWORD, log_in, register

OLD, NEW, OTHER = "susan@example.com", "susan@example.net", "susan@example.org"


def signed_in(site: Site, mailbox: Mailbox, username: str = "susan") -> Browser:
    """The browser of somebody who has an account and is logged in."""
    browser = site.browser()
    register(browser, mailbox, username)
    log_in(browser, username)
    return browser


def ask(browser: Browser, email: str = NEW, password: str = PASSWORD, **how: dict[str, str]) -> Response:
    return browser.post("/change_email", data={"current_password": password, "email": email}, **how)  # type: ignore[arg-type]


def links(mailbox: Mailbox, to: str, start: str, count: int = 1) -> list[str]:
    """The paths that begin so in the emails to an address, newest first, once there are so many."""
    deadline = time.monotonic() + PATIENCE
    while True:
        paths = [path for email in mailbox.all(to) for path in paths_in(email.text)]
        if len(found := [path for path in paths if path.startswith(start)]) >= count:
            return found
        assert time.monotonic() < deadline, f"{len(found)} of {count} links {start} came to {to}"
        time.sleep(0.01)


def ask_and_find_link(browser: Browser, mailbox: Mailbox, email: str = NEW) -> str:
    """Asks for another address; returns the path behind the link that confirms it."""
    before = len(links(mailbox, email, "/confirm_email/", 0))
    assert ask(browser, email).status_code == 200
    return links(mailbox, email, "/confirm_email/", before + 1)[0]


def change(browser: Browser, mailbox: Mailbox, old: str = OLD, new: str = NEW) -> str:
    """Changes the address and confirms the new one; returns the path behind the link that undoes it."""
    before = len(links(mailbox, old, "/undo_email/", 0))
    link = ask_and_find_link(browser, mailbox, new)
    assert browser.post(link).status_code == 200
    return links(mailbox, old, "/undo_email/", before + 1)[0]
