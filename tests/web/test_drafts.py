"""What stays in a browser when the person in front of it changes: a draft, and a flash not yet shown (C27, V14.3.1)."""

import re
from datetime import timedelta

import pytest
import time_machine
from httpx2 import Response

from tests.depth import deep, one_in
from tests.mailbox import Mailbox
from tests.sites import Browser, Site
from tests.stories import PASSWORD, log_in, register
from tests.watching import execute
from webapp.database import now

TYPED = "What I was about to say."


@pytest.fixture
def shared(site: Site, mailbox: Mailbox) -> Browser:
    """A browser in which susan is logged in, and david has an account, too."""
    for name in ("susan", "david"):
        register(site.browser(), mailbox, name)
    shared = site.browser()
    log_in(shared)
    return shared


def box(page: Response) -> str:
    """What stands in the box for a new post."""
    found = re.search(r"<textarea[^>]*>([^<]*)", page.text)
    assert found
    return found[1].strip()


@deep
def test_what_was_typed_when_the_session_had_ended_is_there_after_the_next_log_in(site: Site, shared: Browser) -> None:
    execute(site, "DELETE FROM session")

    page = shared.post("/", data={"body": TYPED})
    back = log_in(shared)

    assert "what you typed is still here" in page.text
    assert box(back) == TYPED
    assert box(shared.get("/")) == "", "once"


@deep
def test_it_is_there_for_who_has_logged_out_in_another_tab(shared: Browser) -> None:
    shared.post("/logout")

    shared.post("/", data={"body": TYPED})

    assert box(log_in(shared)) == TYPED


@deep
def test_somebody_else_who_logs_in_does_not_see_the_draft(site: Site, shared: Browser) -> None:
    execute(site, "DELETE FROM session")

    shared.post("/", data={"body": TYPED})

    assert TYPED not in log_in(shared, "david").text
    assert box(log_in(shared)) == TYPED, "but who typed it has it still"


@deep
def test_it_is_kept_for_a_quarter_of_an_hour(site: Site, shared: Browser) -> None:
    execute(site, "DELETE FROM session")
    shared.post("/", data={"body": TYPED})

    with time_machine.travel(now() + timedelta(minutes=16)):
        assert box(log_in(shared)) == ""


@deep
def test_of_a_browser_in_which_nobody_has_logged_in_nothing_is_kept(site: Site, shared: Browser) -> None:
    stranger = site.browser()

    page = stranger.post("/", data={"body": TYPED})

    assert "what you typed" not in page.text
    assert box(log_in(stranger, "david")) == ""


@deep
@pytest.mark.parametrize("field", ["current_password", "password"])
@one_in(2)
def test_no_password_is_kept(site: Site, shared: Browser, field: str) -> None:
    execute(site, "DELETE FROM session")

    shared.post("/change_email", data={field: PASSWORD, "email": "new@example.org"})
    log_in(shared)
    page = shared.get("/change_email").text

    assert "new@example.org" in page
    assert PASSWORD not in page


@deep
def test_what_is_still_to_be_said_is_not_said_to_somebody_else(site: Site, shared: Browser) -> None:
    """The first one's browser was closed before the page came."""
    shared.follow_redirects = False
    shared.post("/edit_profile", data={"username": "susan", "about_me": ""})
    execute(site, "DELETE FROM session")
    shared.post("/login", data={"username": "david", "password": PASSWORD})

    assert "Profile saved." not in shared.get("/").text


@deep
def test_who_registers_while_somebody_else_is_logged_in_is_welcomed(
    site: Site, shared: Browser, mailbox: Mailbox
) -> None:
    shared.post("/register", data={"email": "fay@example.com"})

    page = shared.post(mailbox.link(to="fay@example.com"), data={"username": "fay", "password": PASSWORD})

    assert "Welcome, fay!" in page.text
