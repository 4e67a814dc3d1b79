"""Each kind of email says what holds it back, and repeated notices become one email that counts (C66)."""

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import anyio
import pytest
import time_machine

from tests.depth import deep, one_in
from tests.inspection import query, wait_for_rows
from tests.mailserver import MailServer
from tests.sites import Browser, Site
from tests.stories import PASSWORD, ask_for_reset, log_in
from tests.watching import execute
from webapp.accounts import tokens
from webapp.database import now
from webapp.mail import kinds, mime
from webapp.mail.kinds import KINDS, REPEATS_WITHIN
from webapp.mail.models import Priority
from webapp.mail_preview import samples
from webapp.mail_preview.inbox import Received
from webapp.settings import Settings
from webapp.web.templating import environment

# What is neither waited for nor counted: it gathers by itself, or the operator is its cause.
OF_THEIR_OWN = {"general", "alarm", "post_reported", "post_removed", "account_disabled", "admin_acted"}
# Each of these tells of something else, and their causes are few: changes of one's own, or one an hour, or one a day.
OF_THEIR_OWN |= {"factor_added", "factor_removed", "factor_removal_stopped"}
OF_THEIR_OWN |= {"second_step_unfinished", "factor_removal_waiting"}
OF_THEIR_OWN |= {"passkey_added", "passkey_renamed", "passkey_removed"}
OPTIONAL = {"mention", "new_follower", "digest"}
WAITED_FOR = {"account_deletion", "export_ready", "reset_password", "confirm_email", "factor_removal_link", "app_link"}
WAITED_FOR |= {"checkup", "registration_approved"}
NEWCOMERS = {"register"}  # to any address that a stranger likes
OF_THEIR_OWN |= {"account_enabled", "registration_refused", "registration_waiting", "registrations_waiting"}
BATCHED = sorted(name for name, kind in KINDS.items() if kind.is_batched)


def test_every_kind_of_email_is_waited_for_or_batched() -> None:
    """C66: whoever adds one says which, or stands in the list above with a reason."""
    said = {name: kind.priority for name, kind in KINDS.items()}

    assert {name for name, priority in said.items() if priority is Priority.WAITED_FOR} == WAITED_FOR
    assert {name for name, priority in said.items() if priority is Priority.NEWCOMER} == NEWCOMERS
    assert {name for name, priority in said.items() if priority is Priority.CAN_WAIT} == OPTIONAL
    assert set(KINDS) - WAITED_FOR - NEWCOMERS - OPTIONAL - set(BATCHED) == OF_THEIR_OWN


@pytest.mark.parametrize("kind", BATCHED)
@one_in(3)
def test_every_notice_says_how_often_it_happened(make_settings: Callable[..., Settings], kind: str) -> None:
    """C66: in the subject, the text and the HTML of everything that the kind may write."""
    settings = make_settings()
    told = {"count": 5, "since": "2026-11-26T12:01:00+00:00", "until": "2026-11-26T12:04:00+00:00"}
    email = replace(samples._claimed(settings, kind, "en"), parameters=told)

    for draft in KINDS[kind].samples(settings):
        read = Received.parse("x.en", mime.compose(environment(settings), settings, email, draft))

        assert read.subject.endswith(" (5 times)")
        assert "5 times between 12:01 and 12:04 UTC" in " ".join(read.text.split())
        assert "5 times between 12:01 and 12:04 UTC" in " ".join(read.html.split())


@deep
@pytest.mark.parametrize("kind", BATCHED)
def test_a_notice_leaves_at_once_and_what_follows_becomes_one_email_that_counts(silent: Site, kind: str) -> None:
    """C66"""
    silent.run(_post, silent, kind)
    execute(silent, "UPDATE outbox_email SET state = 'sent', finished_at = created_at")
    for _time in range(4):
        silent.run(_post, silent, kind)

    select = "SELECT due_at > created_at, parameters FROM outbox_email ORDER BY id"
    (_first, at_once), (waits, told) = execute(silent, select)

    assert "count" not in str(at_once)
    assert waits
    assert json.loads(told)["count"] == 5


@pytest.fixture
def silent(make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[[Settings], Site]) -> Site:
    """A site whose emails nobody sends."""
    return start_site(make_settings(database_url=sqlite_url, mailer="process"))


async def _post(site: Site, kind: str, recipient: str = "susan@example.com", user_id: int = 7) -> None:
    async with site.app.state.database.session(is_writing=True) as db:
        await kinds.post(db, site.settings, kind, recipient, user_id=user_id)
        await db.commit()


@pytest.mark.alike
def test_notices_of_one_moment_are_two_emails_at_most(
    make_settings: Callable[..., Settings], database_url: str, start_site: Callable[[Settings], Site]
) -> None:
    """C66: also from many requests at once"""
    site = start_site(make_settings(database_url=database_url, mailer="process"))

    async def post_all() -> None:
        async with anyio.create_task_group() as group:
            for _time in range(20):
                group.start_soon(_post, site, "password_changed")

    site.run(post_all)

    counts = query(database_url, "SELECT parameters FROM outbox_email WHERE kind = 'password_changed'")
    assert len(counts) == 1
    assert "20" in str(counts[0][0])


def test_notices_to_two_addresses_or_of_two_accounts_or_kinds_are_not_one(silent: Site) -> None:
    for recipient, owner, kind in [
        ("susan@example.com", 7, "password_changed"),
        ("susan@example.net", 7, "password_changed"),
        ("susan@example.com", 8, "password_changed"),
        ("susan@example.com", 7, "recovery_code_used"),
    ]:
        silent.run(_post, silent, kind, recipient, owner)

    at_once = execute(silent, "SELECT id FROM outbox_email WHERE due_at = created_at")
    assert len(at_once) == 4


def test_one_email_of_many_still_tells_what_only_the_first_of_them_did(silent: Site) -> None:
    """C66: that recovery codes ended, and what the username was, which the last of them knows nothing of."""

    async def post(kind: str, **told: Any) -> None:
        async with silent.app.state.database.session(is_writing=True) as db:
            await kinds.post(db, silent.settings, kind, "susan@example.com", user_id=7, **told)
            await db.commit()

    silent.run(post, "password_changed", codes=10)
    silent.run(post, "password_changed", codes=0)
    silent.run(post, "sessions_ended", codes=0, browser="", is_everywhere=True)
    silent.run(post, "sessions_ended", codes=0, browser="Firefox", is_everywhere=False)
    silent.run(post, "username_changed", before="susan", username="sue")
    silent.run(post, "username_changed", before="sue", username="susanne")

    rows = execute(silent, "SELECT kind, parameters FROM outbox_email")
    told = {kind: json.loads(parameters) for kind, parameters in rows}
    assert told["password_changed"]["codes"] == 10
    assert told["sessions_ended"]["is_everywhere"]
    assert (told["username_changed"]["before"], told["username_changed"]["username"]) == ("susan", "susanne")


def test_after_a_while_a_notice_leaves_at_once_again(silent: Site) -> None:
    silent.run(_post, silent, "password_changed")
    execute(silent, "DELETE FROM outbox_email")

    with time_machine.travel(now() + REPEATS_WITHIN + timedelta(seconds=1)):
        silent.run(_post, silent, "password_changed")

    ((waits, parameters),) = execute(silent, "SELECT due_at > created_at, parameters FROM outbox_email")
    assert not waits
    assert "count" not in str(parameters)


def come_by_link(site: Site, *names: str) -> None:
    """Registers people whom no email was sent, so that the hour's budget is untouched."""
    for name in names:
        link = tokens.register_link(site.settings, f"{name}@example.com").removeprefix(site.settings.base_url)
        site.browser().post(link, data={"username": name, "password": PASSWORD})


@deep
def test_a_members_loop_of_own_changes_does_not_use_up_anothers_reset(
    make_settings: Callable[..., Settings],
    sqlite_url: str,
    start_site: Callable[[Settings], Site],
    mail_server: MailServer,
) -> None:
    """C66: what was seen: log-ins and four changes of password, again and again, on a budget of 10."""
    settings = make_settings(database_url=sqlite_url, mail_hourly_budget=10, **mail_server.settings)
    site = start_site(settings)
    come_by_link(site, "mallory", "susan")
    password = PASSWORD
    for loop in range(6):
        browser = site.browser()
        log_in(browser, "mallory", password)
        new = f"another quite long staple {loop}"
        browser.post("/change_password", data={"current_password": password, "password": new})
        browser.post("/recovery_codes", data={"current_password": new})
        password = new

    for _person in range(5):
        ask_for_reset(site.browser(), "susan@example.com")
        execute(site, "DELETE FROM limit_window WHERE key NOT LIKE '%notice%'")
    wait_for_rows(sqlite_url, "SELECT id FROM outbox_email WHERE kind = 'reset_password' AND state = 'sent'", 3)

    recipients = Counter(email.recipients[0] for email in mail_server.emails)
    assert recipients["mallory@example.com"] <= 5
    assert recipients["susan@example.com"] >= 3


@deep
def test_what_a_member_waits_for_on_every_page_does_not_use_up_anothers_reset(
    make_settings: Callable[..., Settings],
    sqlite_url: str,
    start_site: Callable[[Settings], Site],
    mail_server: MailServer,
) -> None:
    """C66: what was seen: test links, new addresses and files took half of a small budget from one account."""
    settings = make_settings(database_url=sqlite_url, mail_hourly_budget=20, **mail_server.settings)
    site = start_site(settings)
    come_by_link(site, "mallory", "susan")
    mallory = site.browser()
    log_in(mallory, "mallory")
    for number in range(30):
        mallory.post("/checkup/send")
        if number % 2:
            form = {"current_password": PASSWORD, "email": f"mallory{number}@example.com"}
            mallory.post("/change_email", data=form)
        execute(site, "DELETE FROM limit_window WHERE ends > 0 AND key NOT LIKE '%:waited_for_first:%'")

    ask_for_reset(site.browser(), "susan@example.com")
    wait_for_rows(sqlite_url, "SELECT id FROM outbox_email WHERE kind = 'reset_password' AND state = 'sent'", 1)

    assert [email.recipients for email in mail_server.emails].count(("susan@example.com",)) == 1


@deep
def test_a_thief_who_changes_the_password_again_and_again_sends_two_emails_that_tell_of_all(
    site: Site, browser: Browser
) -> None:
    assert site.mailbox
    link = tokens.register_link(site.settings, "susan@example.com").removeprefix(site.settings.base_url)
    browser.post(link, data={"username": "susan", "password": PASSWORD})
    log_in(browser)
    password = PASSWORD
    for number in range(4):
        new = f"another quite long staple {number}"
        browser.post("/change_password", data={"current_password": password, "password": new})
        password = new

    execute(site, "UPDATE outbox_email SET due_at = created_at WHERE state = 'ready'")
    last = site.mailbox.last(to="susan@example.com", count=2)

    assert last.subject.endswith("(4 times)")
    assert re.search(r"4 times between \d\d:\d\d and \d\d:\d\d UTC", " ".join(last.text.split()))
