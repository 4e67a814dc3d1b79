"""What a thief may hold of an account with a second step, and what ends it: the second table of docs/security.md."""

import time
from collections.abc import Awaitable, Callable

import pytest
import time_machine

from tests.addresses.steps import change
from tests.depth import deep, one_in
from tests.factors.steps import log_in_with, set_up_app
from tests.mailbox import Mailbox
from tests.second_step.conftest import with_app
from tests.security.test_endings import table
from tests.sites import Site
from tests.stories import NEW_PASSWORD, PASSWORD, forget_and_find_link, log_in, register
from tests.watching import execute, wait_until_posted
from webapp.accounts import endings, known_browsers, users
from webapp.accounts.models import User
from webapp.audit import events
from webapp.factors import methods, removal
from webapp.factors.upkeep import PendingRemovals

SUSAN = "susan@example.com"
STEP = "/login/second_step"
HEADING = "### Where there is a second step"


class Life:
    """Susan has an app. Somebody who knows the password reads her mailbox, and has had her trusted browser."""

    def __init__(self, site: Site, mailbox: Mailbox) -> None:
        self.site, self.mailbox = site, mailbox
        self.app = with_app(site.browser(), mailbox)
        self.owner, self.trusted, self.thief = site.browser(), site.browser(), site.browser()
        log_in_with(self.owner, self.app)
        log_in_with(self.trusted, self.app, 1, trust="1")
        [[self.mark]] = execute(site, "SELECT secret_hash FROM known_browser WHERE trusted_until IS NOT NULL")
        self.not_me = not_me_link(site, mailbox)
        log_in(self.thief)
        self.thief.post("/login/lost_second_step")
        self.removal = mailbox.link(SUSAN, subject="Log in to Microblog without")
        site.browser().post(self.removal)
        self.keep = mailbox.link(SUSAN, subject="Your second step on Microblog is about")

    def held(self) -> dict[str, bool]:
        waits = "SELECT 1 FROM user_account WHERE factor_removal_due_at IS NOT NULL"
        return {
            "trusted browser": self.is_trusted(),
            "half a log-in": self.thief.get(STEP).url.path == STEP,
            "removal link": self.site.browser().get(self.removal).status_code == 200,
            "waiting removal": bool(execute(self.site, waits)),
            "link that stops it": self.site.browser().get(self.keep).status_code == 200,
            "app": bool(execute(self.site, "SELECT 1 FROM factor")),
        }

    def is_trusted(self) -> bool:
        return bool(self.run(lambda db, user: known_browsers.is_trusted(db, user.id, self.mark, user.epoch)))

    def run(self, work: Callable[..., Awaitable[object]]) -> object:
        async def do() -> object:
            async with self.site.app.state.database.session(is_writing=True) as db:
                user = await users.find(db, "susan")
                assert user
                result = await work(db, user)
                await db.commit()
                return result

        return self.site.run(do)


def a_new_password(life: Life) -> None:
    life.owner.post("/change_password", data={"current_password": PASSWORD, "password": NEW_PASSWORD})


def a_reset(life: Life) -> None:
    link = forget_and_find_link(life.site.browser(), life.mailbox)
    answer = life.site.browser().post(link, data={"password": NEW_PASSWORD, "code": life.app.codes[0]})
    assert answer.url.path == "/login"


def a_new_address(life: Life) -> None:
    change(life.owner, life.mailbox)


def a_change_undone(life: Life) -> None:
    undo = change(life.owner, life.mailbox)
    assert life.site.browser().post(undo).url.path == "/reset_password_request"


def this_was_not_me(life: Life) -> None:
    life.site.browser().post(life.not_me)


def log_out_everywhere_else(life: Life) -> None:
    life.owner.post("/sessions/end_others")


def users_end_sessions(life: Life) -> None:
    life.run(lambda db, user: endings.log_out_everywhere(db, user.id))


def users_disable_and_enable(life: Life) -> None:
    for is_disabled in (True, False):
        life.run(lambda db, user, is_disabled=is_disabled: endings.set_disabled(db, user, is_disabled))


def a_log_in(life: Life) -> None:
    browser = life.site.browser("198.51.100.50")
    log_in(browser)
    assert browser.post(STEP, data={"code": life.app.codes[1]}).url.path == "/"


def the_link_that_stops(life: Life) -> None:
    life.site.browser().post(life.keep)


def a_log_out(life: Life) -> None:
    life.owner.post("/logout")


def the_app_removed(life: Life) -> None:
    answer = life.owner.post("/sign-in_methods/app/remove", data={"code": life.app.codes[2]})
    assert answer.url.path == "/sign-in_methods"


def users_remove_factors(life: Life) -> None:
    async def work(db: object, user: User) -> None:
        await methods.remove(db, life.site.settings, user, events.BY_OPERATOR, how="operator")  # type: ignore[arg-type]
        await removal.clear(db, user.id)  # type: ignore[arg-type]

    life.run(work)


def the_wait_is_over(life: Life) -> None:
    with time_machine.travel(time.time() + 3 * 86400 + 60):
        life.site.run(PendingRemovals(life.site.settings).run_batch, life.site.app.state.database)


EVENTS: dict[str, Callable[[Life], None]] = {
    "a new password, in the settings": a_new_password,
    "a reset, by the mailed link": a_reset,
    "a new address, confirmed": a_new_address,
    "a change of address, undone": a_change_undone,
    '"this wasn\'t me"': this_was_not_me,
    '"log out everywhere else"': log_out_everywhere_else,
    "`users end-sessions`": users_end_sessions,
    "`users disable`, then `enable`": users_disable_and_enable,
    "any log-in": a_log_in,
    "the link in an email about the wait": the_link_that_stops,
    "logging out": a_log_out,
    "the app removed, in the settings": the_app_removed,
    "`users remove-factors`": users_remove_factors,
    "the wait is over": the_wait_is_over,
}


def test_the_table_names_every_event() -> None:
    assert list(table(HEADING)) == list(EVENTS)


@deep
def test_all_that_a_thief_holds_is_worth_something_before(site: Site, mailbox: Mailbox) -> None:
    """Else the table below would say of nothing that it ends."""
    assert all(Life(site, mailbox).held().values())


@pytest.mark.parametrize("event", EVENTS)
@one_in(15)
def test_what_a_thief_holds_ends_as_the_table_says(site: Site, mailbox: Mailbox, event: str) -> None:
    """C68"""
    life = Life(site, mailbox)

    EVENTS[event](life)

    row, held = table(HEADING)[event], life.held()
    assert held == {name: row[name] for name in held}


@deep
def test_the_owner_gets_in_past_the_app_of_a_thief(site: Site, mailbox: Mailbox) -> None:
    """C68: the thief had password and mailbox for a moment, and set up an app, whose code the reset form asks for."""
    app = with_app(site.browser(), mailbox)
    owner, thief = site.browser(), site.browser()
    form = owner.get(forget_and_find_link(owner, mailbox)).text.replace("&#39;", "'")
    assert "First use the link “This wasn't me” in our email about it" in form
    not_me = not_me_link(site, mailbox)

    owner.post(not_me)
    owner.post(f"{not_me}/email")
    owner.post(mailbox.link(SUSAN, count=2, subject="Reset") + "/lost_second_step")
    owner.post(mailbox.link(SUSAN, subject="Log in to Microblog without"))
    assert log_in(thief).status_code == 422, "the app's code is never asked for"
    with time_machine.travel(time.time() + 3 * 86400 + 60):
        site.run(PendingRemovals(site.settings).run_batch, site.app.state.database)
        link = forget_and_find_link(owner, mailbox)
        assert owner.post(link, data={"password": NEW_PASSWORD}).url.path == "/login"
        assert log_in(owner, password=NEW_PASSWORD).url.path == "/"
        assert log_in(thief, password=PASSWORD).status_code == 422
    assert app.codes


@deep
def test_an_app_of_who_changed_the_address_goes_when_that_is_undone(site: Site, mailbox: Mailbox) -> None:
    """C68: its link was mailed to the address that is undone."""
    thief, owner = site.browser(), site.browser()
    register(thief, mailbox)
    log_in(thief)
    undo = change(thief, mailbox)
    set_up_app(thief)

    owner.post(undo)

    assert 'name="code"' not in owner.get(forget_and_find_link(owner, mailbox)).text
    text = mailbox.last(SUSAN, subject="Your second step on Microblog was removed").text
    assert "somebody else was in your account" in text


def not_me_link(site: Site, mailbox: Mailbox) -> str:
    """The path behind "this wasn't me" in the email that tells of the app."""
    text = mailbox.last(SUSAN, subject="An authenticator app was added").text
    [line] = [line for line in text.splitlines() if "/not_me/" in line]
    return line.removeprefix(site.settings.base_url)


@pytest.mark.parametrize("asked_at", ["the second step", "the reset form"])
@deep
def test_a_removal_link_that_was_asked_for_before_an_end_is_not_written_after_it(
    site: Site, mailbox: Mailbox, asked_at: str
) -> None:
    """C68: emails can be late, and the link would be one of the new epoch."""
    with_app(site.browser(), mailbox)
    not_me, thief = not_me_link(site, mailbox), site.browser()
    reset = forget_and_find_link(thief, mailbox)
    log_in(thief)
    execute(site, "UPDATE mail_status SET paused_at = '2026-01-01 00:00:00' WHERE id = 1") or execute(
        site, "INSERT INTO mail_status (id, paused_at) VALUES (1, '2026-01-01 00:00:00') ON CONFLICT DO NOTHING"
    )

    thief.post("/login/lost_second_step" if asked_at == "the second step" else f"{reset}/lost_second_step")
    site.browser().post(not_me)
    asked = execute(site, "SELECT id FROM outbox_email WHERE kind = 'factor_removal_link' AND finished_at IS NULL")
    execute(site, "UPDATE mail_status SET paused_at = NULL")
    execute(site, "UPDATE outbox_email SET due_at = created_at")
    wait_until_posted(site)

    assert len(asked) == 1
    assert mailbox.all(SUSAN, "Log in to Microblog without") == []


@deep
def test_a_trusted_browser_that_says_this_was_not_me_is_asked_for_the_second_step_again(
    site: Site, mailbox: Mailbox
) -> None:
    """It stays known, since its owner may sit there; but whoever only reads the mailbox there gets no further."""
    life = Life(site, mailbox)

    answer = life.trusted.post(life.not_me)

    assert answer.status_code == 200
    life.mark = known_browsers.mark(life.trusted.cookies["__Host-browser"])
    assert execute(site, f"SELECT 1 FROM known_browser WHERE secret_hash = '{life.mark}' AND epoch = 1") == [(1,)]
    assert not life.is_trusted()
