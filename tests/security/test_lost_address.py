"""What a thief holds after changing the address and having the account deleted: a table of docs/security.md (C68)."""

import time
from collections.abc import Awaitable, Callable

import pytest
import time_machine

from tests.addresses.steps import OLD, OTHER, change, links
from tests.depth import deep
from tests.mailbox import Mailbox
from tests.security.test_endings import by_hand, table
from tests.sites import Site
from tests.stories import PASSWORD, log_in, register
from tests.watching import execute
from webapp.accounts import endings, tokens
from webapp.accounts.models import User

HEADING = "### Where the address was changed, or the account is being deleted"
FIRST, SECOND = "thief@example.org", OTHER


class Life:
    """Susan's account, whose address is the second one of somebody else's; it will be deleted in two weeks."""

    def __init__(self, site: Site, mailbox: Mailbox) -> None:
        self.site, self.mailbox = site, mailbox
        register(site.browser(), mailbox)
        thief = site.browser()
        log_in(site.browser())
        log_in(thief)
        self.not_me = links(mailbox, OLD, "/not_me/")[0]
        self.undo = change(thief, mailbox, OLD, FIRST)
        self.thiefs_undo = change(thief, mailbox, FIRST, SECOND)
        self.thiefs_not_me = links(mailbox, FIRST, "/not_me/")[0]
        thief.post("/delete_account", data={"username": "susan", "current_password": PASSWORD})
        self.undo_deletion = links(mailbox, SECOND, "/undo_deletion/")[0]

    def held(self) -> dict[str, bool]:
        stranger = self.site.browser()
        return {
            'their "undo"': stranger.get(self.thiefs_undo).status_code == 200,
            'their "this wasn\'t me"': stranger.get(self.thiefs_not_me).status_code == 200,
            "their deletion": bool(execute(self.site, "SELECT 1 FROM account_deletion")),
        }

    def press(self, link: str) -> None:
        assert self.site.browser().post(link).status_code == 200

    def run(self, work: Callable[..., Awaitable[object]]) -> object:
        return by_hand(self.site, work)


def the_admins_reset_link(life: Life) -> None:
    async def link(_db: object, user: User) -> str:
        return tokens.reset_link(life.site.settings, user)

    assert life.site.browser().get(str(life.run(link))).status_code == 410


def a_log_in(life: Life) -> None:
    assert log_in(life.site.browser()).status_code == 422


EVENTS: dict[str, Callable[[Life], object]] = {
    "the owner's \"this wasn't me\"": lambda life: life.press(life.not_me),
    'the owner\'s "undo"': lambda life: life.press(life.undo),
    "the link in the email about the deletion": lambda life: life.press(life.undo_deletion),
    "the admin's reset link, opened": the_admins_reset_link,
    "a log-in": a_log_in,
    "`users end-sessions`": lambda life: life.run(lambda db, user: endings.log_out_everywhere(db, user.id)),
    "`users disable`": lambda life: life.run(lambda db, user: endings.set_disabled(db, user, True)),
    "`users enable`": lambda life: life.run(lambda db, user: endings.set_disabled(db, user, False)),
    "72 hours": lambda life: None,
}


def test_the_table_names_every_event() -> None:
    assert list(table(HEADING)) == list(EVENTS)


@pytest.mark.parametrize("event", EVENTS)
@deep
def test_what_a_thief_of_the_address_holds_ends_as_the_table_says(site: Site, mailbox: Mailbox, event: str) -> None:
    life = Life(site, mailbox)
    assert all(life.held().values())

    EVENTS[event](life)
    with time_machine.travel(time.time() + (72 * 3600 + 60 if event == "72 hours" else 0)):
        assert life.held() == table(HEADING)[event]
