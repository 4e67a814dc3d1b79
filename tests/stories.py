"""What people do on the site, step by step and through the front door."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from httpx2 import Response

from tests.mailbox import Mailbox
from tests.sites import Browser, Site
from tests.watching import standing_site

PASSWORD = "correct horse battery"
NEW_PASSWORD = "a quite different staple"
RESET_SUBJECT = "Reset your password"


CHECK_EMAIL = re.compile(r"(?<=/check_email/)[\w.-]+|(?<=\?again=)[\w.-]+|(?<=__Host-asked=)\w+")
OPENED = re.compile(r'(?<=name="opened" value=")[\w.-]+|(?<=data-expires=")\d+')
JUST_ASKED = re.compile(r'(?<=data-wait=")5[5-9](?=")')  # seconds; some pass between two looks on a busy machine
CHALLENGE = re.compile(r'(?<="challenge":")[\w-]+|(?<=&#34;challenge&#34;: &#34;)[\w-]+')


def without_token(text: str) -> str:
    """A page or a header, but for what is signed or random in it, and the seconds that pass between two looks."""
    for signed_or_random in (CHECK_EMAIL, OPENED, CHALLENGE):
        text = signed_or_random.sub("{token}", text)
    return JUST_ASKED.sub("60", text)


def register(browser: Browser, mailbox: Mailbox, username: str = "susan", password: str = PASSWORD) -> str:
    """Makes an account by the mailed link, and logs out again; returns its address."""
    address = f"{username.lower()}@example.com"
    asked = browser.post("/register", data={"email": address}, follow_redirects=False)
    assert asked.headers.get("location", "").startswith("/check_email/"), asked.text
    form = {"username": username, "password": password}
    answer = browser.post(mailbox.link(to=address), data=form, follow_redirects=False)
    assert answer.headers.get("location") == "/", answer.text
    assert browser.post("/logout", follow_redirects=False).headers["location"] == "/login"
    return address


def log_in(browser: Browser, username: str = "susan", password: str = PASSWORD, **more: str) -> Response:
    return browser.post("/login", data={"username": username, "password": password, **more})


def is_logged_in(browser: Browser) -> bool:
    return 'action="/logout"' in browser.get("/").text


def ask_for_reset(browser: Browser, identity: str = "susan@example.com") -> Response:
    return browser.post("/reset_password_request", data={"email": identity})


def forget_and_find_link(browser: Browser, mailbox: Mailbox, username: str = "susan") -> str:
    """Asks for a reset email and returns the path behind its link."""
    address = f"{username.lower()}@example.com"
    before = len(mailbox.all(address, RESET_SUBJECT))
    ask_for_reset(browser, address)
    return mailbox.link(address, before + 1, RESET_SUBJECT)


@contextmanager
def standing_village(migrated_sqlite: Path, folder: Path, **changes: Any) -> Iterator[Site]:
    """A site for the tests of a whole module that susan looks after, on which david has posted five times."""
    admins = ("susan@example.com",)
    with standing_site(migrated_sqlite, folder, admins=admins, member_invites=100, **changes) as site:
        assert site.mailbox
        for name in ("susan", "david"):
            register(site.browser(), site.mailbox, name)
        log_in(david := site.browser(), "david")
        for _post in range(5):
            david.post("/", data={"body": "Hello."})
        yield site
