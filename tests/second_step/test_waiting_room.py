"""The waiting room: somebody who has lost every factor gets in after days, and anybody who is there meanwhile stops
it.
"""

import time

import pytest
import time_machine

from tests.depth import deep
from tests.factors.steps import App, log_in_with, set_up_app
from tests.mailbox import Mailbox
from tests.passkeys.authenticator import Authenticator
from tests.passkeys.test_passkeys import add, enter
from tests.sites import Browser, Site
from tests.stories import forget_and_find_link, is_logged_in, log_in
from tests.watching import execute
from webapp.accounts import users
from webapp.factors import removal
from webapp.factors.upkeep import PendingRemovals

SUSAN, LINK, WAITS = "susan@example.com", "Log in to Microblog without", "Your second step on Microblog is about"
DAY = 86400


def ask(site: Site, mailbox: Mailbox) -> Browser:
    """Somebody who knows the password and reads the mailbox begins the wait."""
    browser = site.browser()
    log_in(browser)
    panel = browser.post("/login/lost_second_step").text
    assert "Check your email" in panel
    assert 'name="code"' not in panel, "its email carries none"
    page = site.browser().post(mailbox.link(SUSAN, subject=LINK))
    assert "The wait has started" in page.text
    mailbox.last(SUSAN, subject=WAITS)  # a day later it would be too late for it
    return browser


def let_work(site: Site) -> None:
    """What the background does every few minutes."""
    site.run(PendingRemovals(site.settings).run_batch, site.app.state.database)


def due(site: Site) -> object:
    [[due]] = execute(site, "SELECT factor_removal_due_at FROM user_account")
    return due


@deep
def test_after_three_days_the_password_alone_logs_in(site: Site, app: App, mailbox: Mailbox) -> None:
    ask(site, mailbox)

    with time_machine.travel(time.time() + 3 * DAY - 60):
        let_work(site)
        assert log_in(site.browser()).url.path == "/login/second_step"
    with time_machine.travel(time.time() + 3 * DAY + 60):
        let_work(site)
        browser = site.browser()
        log_in(browser)
        assert is_logged_in(browser)
    assert "The wait is over" in mailbox.last(SUSAN, subject="Your second step on Microblog was removed").text


@deep
def test_an_email_a_day_says_so(site: Site, app: App, mailbox: Mailbox) -> None:
    ask(site, mailbox)

    for day in (1, 2):
        with time_machine.travel(time.time() + day * DAY + 60 * day):
            let_work(site)
            let_work(site)
            assert len(mailbox.all(SUSAN, WAITS)) == day + 1 or mailbox.last(SUSAN, day + 1, WAITS)

    assert len(mailbox.all(SUSAN, WAITS)) == 3


@deep
def test_any_log_in_stops_it(site: Site, app: App, mailbox: Mailbox) -> None:
    ask(site, mailbox)

    assert log_in_with(site.browser(), app) == "/"

    assert due(site) is None
    mailbox.last(SUSAN, subject="Your second step on Microblog stays")
    with time_machine.travel(time.time() + 4 * DAY):
        let_work(site)
    assert execute(site, "SELECT count(*) FROM factor") == [(1,)]


@deep
def test_the_link_in_the_emails_stops_it_with_a_button(site: Site, app: App, mailbox: Mailbox) -> None:
    ask(site, mailbox)
    link = mailbox.link(SUSAN, subject=WAITS)

    assert "Keep the second step" in site.browser().get(link).text
    assert due(site) is not None, "a look changes nothing"
    assert "Nothing is being removed" in site.browser().post(link).text
    assert due(site) is None


@deep
def test_under_htmx_the_top_of_the_page_no_longer_says_what_was_to_come(site: Site, app: App, mailbox: Mailbox) -> None:
    """It stands above the part that htmx would put in."""
    ask(site, mailbox)
    link = mailbox.link(SUSAN, subject=WAITS)

    answer = site.browser().post(link, headers={"hx-request": "true", "hx-request-type": "partial"})

    assert answer.headers["hx-redirect"] == link


@pytest.mark.parametrize("gone", ["waited", "removed"])
@deep
def test_the_link_in_the_emails_says_so_once_it_is_too_late(site: Site, app: App, mailbox: Mailbox, gone: str) -> None:
    """It works for a day after the wait, and must not promise what is gone: neither before nor after the button."""
    browser = ask(site, mailbox)
    link = mailbox.link(SUSAN, subject=WAITS)
    after = 3 * DAY + 60 if gone == "waited" else 60

    with time_machine.travel(time.time() + after):
        if gone == "waited":
            let_work(site)
        else:
            log_in_with(browser, app)
            browser.post("/sign-in_methods/app/remove", data={"code": app.code(1)})
        assert execute(site, "SELECT count(*) FROM factor") == [(0,)]
        for page in (site.browser().get(link).text, site.browser().post(link).text):
            assert "The second step of <strong>susan</strong> is gone" in page
            assert "Nothing is being removed" not in page
            assert "Stopped" not in page


@deep
def test_a_second_press_of_the_link_stops_nothing_and_does_not_say_so(site: Site, app: App, mailbox: Mailbox) -> None:
    ask(site, mailbox)
    link = mailbox.link(SUSAN, subject=WAITS)

    assert "Stopped." in site.browser().post(link).text
    assert "Stopped." not in site.browser().post(link).text


@deep
def test_the_link_in_the_last_email_works_too(site: Site, app: App, mailbox: Mailbox) -> None:
    """Two hours before it is due, and whoever follows it is logged in nowhere."""
    ask(site, mailbox)
    for number, days in enumerate((1, 2), 2):
        with time_machine.travel(time.time() + days * DAY + 60 * days):
            let_work(site)
            link = mailbox.link(SUSAN, number, WAITS)

    with time_machine.travel(time.time() + 3 * DAY - 7200):
        assert "Nothing is being removed" in site.browser().post(link).text
    with time_machine.travel(time.time() + 4 * DAY):
        let_work(site)
        assert log_in(site.browser()).url.path == "/login/second_step"


@deep
def test_a_log_in_by_passkey_or_in_a_trusted_browser_stops_it(site: Site, app: App, mailbox: Mailbox) -> None:
    phone, trusted = Authenticator(), site.browser()
    log_in_with(trusted, app, trust="1")
    add(trusted, phone)
    trusted.post("/logout")

    site.run(begin_to_wait, site)
    assert due(site) is not None
    assert enter(site.browser(), phone).url.path == "/"
    assert due(site) is None
    site.run(begin_to_wait, site)
    assert due(site) is not None
    assert log_in(trusted).url.path == "/"
    assert due(site) is None


async def begin_to_wait(site: Site) -> None:
    """As the button behind the mailed link does; that may be pressed only so often."""
    async with site.app.state.database.session(is_writing=True) as db:
        user = await users.find(db, "susan")
        assert user
        assert await removal.ask(db, site.settings, user, removal.BY_CLOCK)
        await db.commit()


@deep
def test_somebody_who_is_logged_in_sees_the_wait_and_stops_it(site: Site, app: App, mailbox: Mailbox) -> None:
    owner = site.browser()
    log_in_with(owner, app)
    ask(site, mailbox)

    assert "asked to remove your second step" in owner.get("/sign-in_methods").text
    assert "asked to remove your second step" in owner.get("/").text
    assert "Stopped." in owner.post("/sign-in_methods/keep").text
    assert due(site) is None


@deep
def test_the_password_alone_neither_begins_nor_stops_it(site: Site, app: App, mailbox: Mailbox) -> None:
    thief = site.browser()
    log_in(thief)
    thief.post("/login/lost_second_step")
    assert due(site) is None
    ask_again = mailbox.link(SUSAN, subject=LINK)
    assert site.browser().get(ask_again).status_code == 200
    assert due(site) is None, "a look changes nothing"

    site.browser().post(ask_again)
    log_in(thief)
    assert due(site) is not None


@deep
def test_the_form_behind_a_reset_link_leads_there_by_another_email(site: Site, app: App, mailbox: Mailbox) -> None:
    link = forget_and_find_link(site.browser(), mailbox)

    answer = site.browser().post(f"{link}/lost_second_step")

    assert "Check your email" in answer.text
    assert "The wait has started" in site.browser().post(mailbox.link(SUSAN, subject=LINK)).text


@pytest.mark.parametrize("statement", ["UPDATE user_account SET epoch = epoch + 1", "DELETE FROM factor"])
@deep
def test_a_link_from_before_begins_nothing(site: Site, app: App, mailbox: Mailbox, statement: str) -> None:
    browser = site.browser()
    log_in(browser)
    browser.post("/login/lost_second_step")
    link = mailbox.link(SUSAN, subject=LINK)
    execute(site, statement)

    assert site.browser().post(link).status_code == 410
    assert due(site) is None


@deep
def test_an_app_that_was_set_up_anew_is_not_removed_by_an_old_wait(site: Site, app: App, mailbox: Mailbox) -> None:
    owner = site.browser()
    log_in_with(owner, app)
    ask(site, mailbox)

    owner.post("/sign-in_methods/app/remove", data={"code": app.codes[1]})
    set_up_app(owner)
    with time_machine.travel(time.time() + 4 * DAY):
        let_work(site)

    assert execute(site, "SELECT count(*) FROM factor") == [(1,)]
