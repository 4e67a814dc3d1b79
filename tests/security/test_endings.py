"""What ends everything that was signed or opened for an account: one table of the events, one of what they end."""

from collections.abc import Callable

import pytest

from tests.addresses.steps import ask_and_find_link, change, links
from tests.conftest import Browser, Site
from tests.mailbox import Mailbox
from tests.stories import NEW_PASSWORD, PASSWORD, ask_for_reset, is_logged_in, log_in, register
from tests.watching import disable, execute, wait_until_posted
from webapp.accounts import tokens, users

SUSAN = "susan@example.com"


class Life:
    """Susan's account in full use: two browsers, and a live link of each kind that an epoch ends."""

    def __init__(self, site: Site, mailbox: Mailbox) -> None:
        self.site, self.mailbox = site, mailbox
        register(site.browser(), mailbox)
        self.here, self.remembered = site.browser(), site.browser()
        log_in(self.here)
        log_in(self.remembered, remember_me="1")
        self.confirmation = ask_and_find_link(self.here, mailbox, "susan@example.org")
        ask_for_reset(site.browser(), SUSAN)
        self.reset = links(mailbox, SUSAN, "/reset_password/")[0]

    def fresh_reset_link(self) -> str:
        """Another live reset link, as `python -m webapp reset-link` prints it."""

        async def make() -> str:
            async with self.site.app.state.database.session() as db:
                user = await users.find(db, "susan")
                assert user
                return tokens.reset_link(self.site.settings, user)

        return str(self.site.run(make)).partition(".example")[2]


def reset(life: Life) -> None:
    life.site.browser().post(life.fresh_reset_link(), data={"password": NEW_PASSWORD})


def change_password(life: Life) -> None:
    browser = life.site.browser()
    log_in(browser)
    fields = {"current_password": PASSWORD, "password": NEW_PASSWORD}
    assert browser.post("/change_password", data=fields).status_code == 200


def change_email(life: Life) -> None:
    browser = life.site.browser()
    log_in(browser)
    change(browser, life.mailbox)


def undo_email(life: Life) -> None:
    browser = life.site.browser()
    log_in(browser)
    link = change(browser, life.mailbox)
    life.site.browser().post(link)


def report(life: Life) -> None:
    wait_until_posted(life.site)
    link = links(life.mailbox, SUSAN, "/not_me/")[0]
    life.site.browser().post(link)


def disable_account(life: Life) -> None:
    disable(life.site, "susan")


def delete_account(life: Life) -> None:
    execute(life.site, "DELETE FROM user_account")


EVENTS: list[Callable[[Life], None]] = [
    reset,
    change_password,
    change_email,
    undo_email,
    report,
    disable_account,
    delete_account,
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_it_ends_every_session_and_every_link(site: Site, mailbox: Mailbox, event: Callable[[Life], None]) -> None:
    """C19"""
    life = Life(site, mailbox)
    before = states(life)

    event(life)

    assert before == {"here": True, "remembered": True, "reset": 200, "confirmation": 200}
    assert states(life).items() <= {
        ("here", False),
        ("remembered", False),
        *(("reset", status) for status in (404, 410)),
        *(("confirmation", status) for status in (404, 410)),
    }
    assert life.site.browser().post(life.reset, data={"password": "the hijackers own words"}).status_code in {404, 410}
    assert life.site.browser().post(life.confirmation).status_code in {404, 410}


def states(life: Life) -> dict[str, object]:
    stranger: Browser = life.site.browser()
    return {
        "here": is_logged_in(life.here),
        "remembered": is_logged_in(life.remembered),
        "reset": stranger.get(life.reset).status_code,
        "confirmation": stranger.get(life.confirmation).status_code,
    }
