"""Every page in every state: usable by everybody, on a phone and in the dark, and silent on the console."""

import pytest

import tests.browser.corners
import tests.browser.finds
import tests.browser.neighbours
import tests.browser.walls  # noqa: F401
from tests.browser.states import LOOKED_AT, STATES
from tests.browser.visitor import Visitor
from tests.depth import deep
from tests.test_sweeps import PAGES

pytestmark = pytest.mark.browser

# Every macro and each kind of page: a form, a mistake, an email, posts, a list, a table. In depth, all of them.
SHOWN = {
    *("admin_people", "edit_profile_refused", "home_with_posts", "login"),
    *("post_with_reply", "register_sent", "reset_password", "settings"),
}
# The farthest first: who comes there has looked at those on the way.
FARTHEST_FIRST = [pytest.param(name, marks=[deep] * (name not in SHOWN)) for name in reversed(STATES)]


@pytest.mark.parametrize("name", FARTHEST_FIRST)
def test_a_page_is_accessible_and_never_scrolls_sideways(scripted: Visitor, name: str) -> None:
    """Axe finds nothing in light and dark. C45, C37: `Visitor.problems` has no foreign request, and no violation."""
    scripted.looks_about = True

    if name not in LOOKED_AT:
        STATES[name](scripted)

    assert LOOKED_AT[name] == []


# Pages that a state of another name shows.
SHOWN_BY = {
    "authentication/bad_link.html": "expired_link",
    "authentication/check_email.html": "register_sent",
    "error.html": "nothing_here",
    "mail_preview/email.html": "mailbox_email",
    "not_me/report_not_me.html": "not_me",
    "people/neighbours.html": "followers",
    "posts/deleted.html": "post_deleted",
    "subscriptions/unsubscribe.html": "unsubscribed",
}
# Wants a passkey, a site that approves, hours of waiting, or a browser without scripts; or is like `remove_post`.
NOT_LOOKED_AT = {
    "authentication/prove.html",
    "moderation/disable_user.html",
    "passkey_pages/passkey.html",
    "passkey_pages/remove_passkey.html",
    "own_posts/gone.html",
    "posts/news.html",
    "registration/registration_waiting.html",
}


def test_every_page_has_a_state_in_which_it_is_looked_at() -> None:
    """Whoever adds a page brings a person to it in `states.py` or beside it."""
    wanted = {page: SHOWN_BY.get(page, page.rpartition("/")[2].removesuffix(".html")) for page in PAGES}

    missing = {page for page, name in wanted.items() if not any(f"{state}_".startswith(f"{name}_") for state in STATES)}

    assert missing == NOT_LOOKED_AT


def test_what_is_said_of_states_is_said_of_some_that_there_are() -> None:
    assert set(STATES) > SHOWN
