"""A clock that was a day ahead and is set back: nobody stays shut out by it, and nothing stays open.

And one that is ahead of another machine's by less than a minute: what the two sign is as good as if they were one.

Rate limits are in tests/test_rate_limits.py, emails that wait in tests/mail/test_outbox.py.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from sqlmodel import SQLModel

from tests.archives.test_export import wait_until_ready, wake
from tests.depth import deep
from tests.factors.steps import App, log_in_with, set_up_app
from tests.inspection import wait_for_rows
from tests.mailbox import Mailbox, link_in
from tests.posts.wall import say
from tests.sites import Browser, Site
from tests.stories import PASSWORD, RESET_SUBJECT, ask_for_reset, forget_and_find_link, is_logged_in, log_in, register
from tests.watching import execute
from webapp.archive_imports import importer, uploads
from webapp.archives import exports
from webapp.database import now
from webapp.mail import refusals, status
from webapp.mail.models import Outcome, Verdict
from webapp.settings import Settings

# Each time that a table keeps, and how a clock that was ahead is borne: only shown or used to sort and to clean up,
# ended as much later as the clock was ahead, which harms nobody, or put right, as the named test proves.
SHOWN = """
    block.created_at invite.created_at invite.revoked_at invite_use.created_at mute.created_at
    account_deletion.asked_at account_export.asked_at archive_import.asked_at decided_report.decided_at
    factor.last_used_at follow.created_at known_browser.last_seen_at mail_status.paused_at mail_status.trouble_since
    mention.created_at mention.ended_at passkey.created_at passkey.last_used_at pending_log_in.finished_at
    post.edited_at post.removed_at recovery_code.created_at recovery_code.used_at registration_request.created_at
    registration_request.refused_at report.created_at report.settled_at security_event.created_at session.created_at
    user_account.checkup_at user_account.checkup_opened_at user_account.checkup_sent_at user_account.codes_checked_at
    user_account.created_at user_account.disabled_at
    user_account.email_checked_at user_account.last_seen_at user_account.passkey_declined_at
    user_account.password_locked_at user_account.password_used_at
"""
LATER = """
    invite.expires_at
    known_browser.known_since
    account_deletion.due_at account_export.expires_at archive_import.expires_at address_change.confirmed_at
    address_change.created_at
    address_change.undone_at factor.created_at kept_username.kept_until known_browser.trusted_until
    registration_request.expires_at retired_username.kept_until session.expires_at user_account.factor_removal_due_at
    user_account.factor_removal_told_at user_account.former_language_until user_account.mentions_seen_at
    user_account.reset_paused_until
"""
PUT_RIGHT = {
    "account_export.leased_until": "test_what_a_dead_process_had_in_hand_is_made_by_another",
    "archive_import.leased_until": "test_an_upload_that_a_dead_process_had_in_hand_is_read_by_another",
    "factor.last_step": "test_a_code_opens_the_account_as_ever",
    "limit_window.ends": "tests/test_rate_limits.py",
    "mail_status.trouble_seen_at": "test_trouble_with_the_mail_server_is_over",
    "outbox_email.created_at": "tests/mail/test_outbox.py",
    "outbox_email.due_at": "tests/mail/test_outbox.py",
    "outbox_email.expires_at": "tests/mail/test_outbox.py",
    "outbox_email.finished_at": "test_what_was_sent_then_is_not_charged_to_this_hour",
    "pending_log_in.created_at": "test_a_log_in_that_waits_is_over",
    "post.created_at": "test_a_post_is_edited_no_longer_than_others",
    "post.deleted_at": "test_a_post_that_was_deleted_stays_so",
    "refused_address.since": "test_a_refused_address_is_tried_again",
    "session.last_seen_at": "test_who_was_here_then_is_seen_again",
    "session.proved_at": "test_a_proof_is_asked_for_again",
    "session.second_proved_at": "test_a_second_step_is_asked_for_again",
}
A_DAY = timedelta(days=1)
SENT = "SELECT id FROM outbox_email WHERE state = 'sent'"


@contextmanager
def a_day_ahead() -> Iterator[None]:
    with time_machine.travel(now() + A_DAY, tick=True):
        yield


@pytest.fixture
def susan(site: Site, mailbox: Mailbox) -> Browser:
    """Registered by the right clock, and logged in by the wrong one."""
    browser = site.browser()
    register(browser, mailbox)
    with a_day_ahead():
        log_in(browser)
    return browser


@pytest.fixture
def app(site: Site, mailbox: Mailbox) -> App:
    browser = site.browser()
    register(browser, mailbox)
    log_in(browser)
    with a_day_ahead():
        log_in(browser)
        app = set_up_app(browser)
    return app


def test_it_is_decided_for_every_time_that_is_kept() -> None:
    """Of one that isn't: try what happens a day ahead and back, and name it above."""
    kept = {
        f"{table.name}.{column.name}"
        for table in SQLModel.metadata.sorted_tables
        for column in table.columns
        if getattr(column.type, "impl_instance", column.type).python_type is datetime
    }
    decided = [*SHOWN.split(), *LATER.split(), *PUT_RIGHT]

    assert set(decided) - {"factor.last_step", "limit_window.ends"} == kept
    assert len(decided) == len(set(decided))
    assert [test for test in PUT_RIGHT.values() if "/" not in test and test not in globals()] == []


def test_a_proof_is_asked_for_again(susan: Browser) -> None:
    refused = susan.post("/change_email", data={"email": "new@example.com"})

    assert refused.status_code == 422
    assert 'name="current_password"' in refused.text


@deep
def test_a_second_step_is_asked_for_again(site: Site, app: App) -> None:
    browser = site.browser()
    with a_day_ahead():
        assert log_in_with(browser, app) == "/"
    execute(site, "UPDATE session SET proved_at = created_at WHERE id = (SELECT min(id) FROM session)")

    asked = browser.post("/change_email", data={"email": "new@example.com", "current_password": PASSWORD})

    assert asked.status_code == 422
    assert 'id="code-error"' in asked.text


@deep
def test_who_was_here_then_is_seen_again(site: Site, susan: Browser) -> None:
    susan.get("/")

    [(seen,)] = execute(site, "SELECT last_seen_at FROM session")
    assert datetime.fromisoformat(seen).replace(tzinfo=UTC) < now() + timedelta(minutes=1)


@deep
def test_a_code_opens_the_account_as_ever(site: Site, app: App) -> None:
    """The step that was spent then is of tomorrow. Today's are spent once each."""
    with a_day_ahead():
        assert log_in_with(site.browser(), app) == "/"

    assert log_in_with(site.browser(), app) == "/"
    assert log_in_with(site.browser(), app) == "/login/second_step"


@deep
def test_a_log_in_that_waits_is_over(site: Site, app: App) -> None:
    browser = site.browser()
    with a_day_ahead():
        log_in(browser)

    browser.post("/login/second_step", data={"code": app.code()})

    assert not is_logged_in(browser)
    assert log_in_with(browser, app) == "/"


@deep
def test_a_reset_link_is_good_no_longer_than_it_says(susan: Browser, mailbox: Mailbox) -> None:
    with a_day_ahead():
        link = forget_and_find_link(susan, mailbox)

    late = susan.get(link)

    assert late.status_code == 410
    assert "Email me a fresh link" in late.text
    forget_and_find_link(susan, mailbox)
    links = {link_in(email.text) for email in mailbox.all("susan@example.com", RESET_SUBJECT)}
    assert [susan.get(fresh).status_code for fresh in links - {link}] == [200]


@deep
@pytest.mark.usefixtures("susan")
def test_another_reset_is_asked_for_at_once(site: Site) -> None:
    browser = site.browser()
    with a_day_ahead():
        for _press in range(5):
            ask_for_reset(browser)

    answer = ask_for_reset(browser)

    assert answer.status_code == 200
    assert "You can ask again in" not in answer.text


@deep
def test_a_post_is_edited_no_longer_than_others(susan: Browser) -> None:
    with a_day_ahead():
        number = say(susan)
    susan.get("/")

    assert susan.get(f"/posts/{number}/edit").status_code == 410
    assert f"/posts/{number}/edit" not in susan.get("/").text


@deep
def test_a_post_that_was_deleted_stays_so(susan: Browser) -> None:
    with a_day_ahead():
        number = say(susan)
        susan.post(f"/posts/{number}/delete")

    susan.post(f"/posts/{number}/restore")

    assert f'id="post-{number}"' not in susan.get("/").text


@deep
def test_what_a_dead_process_had_in_hand_is_made_by_another(site: Site, susan: Browser) -> None:
    async def ask_and_die() -> None:
        async with site.app.state.database.session(is_writing=True) as db:
            await exports.ask(db, 1)
            assert await exports.queue.claim(db)
            await db.commit()

    with a_day_ahead():
        site.run(ask_and_die)

    site.run(wake, site)
    wait_until_ready(site)
    assert susan.post("/export/download", data={"current_password": PASSWORD}).status_code == 200


def test_an_upload_that_a_dead_process_had_in_hand_is_read_by_another(site: Site, susan: Browser) -> None:
    async def keep_and_die() -> None:
        async with site.app.state.database.session(is_writing=True) as db:
            import_id = await uploads.begin(db, 1, 0)
            await uploads.add_piece(db, import_id, 0, b"not a zip")
            await uploads.keep(db, 1, import_id)
            assert await uploads.queue.claim(db)
            await db.commit()

    with a_day_ahead():
        site.run(keep_and_die)

    site.run(importer.Importer(site.settings, site.app.state.database).do_one)
    assert execute(site, "SELECT state FROM archive_import") == [("done",)]


def test_trouble_with_the_mail_server_is_over(site: Site) -> None:
    async def meet_trouble() -> None:
        async with site.app.state.database.session(is_writing=True) as db:
            await status.note_trouble(db, now(), Outcome(Verdict.UNAVAILABLE, code=421, reason="busy"))
            await db.commit()

    async def is_in_trouble() -> tuple[bool, bool]:
        async with site.app.state.database.session() as db:
            return await status.is_delayed(db), (await status.read(db)).trouble is not None

    with a_day_ahead():
        site.run(meet_trouble)
        assert site.run(is_in_trouble) == (True, True)

    assert site.run(is_in_trouble) == (False, False)


def test_a_refused_address_is_tried_again(site: Site) -> None:
    async def refuse() -> None:
        async with site.app.state.database.session(is_writing=True) as db:
            await refusals.note(db, [Outcome(Verdict.NEVER, refused="susan@example.com", code=550, reason="no")])
            await db.commit()

    async def refused() -> set[str]:
        async with site.app.state.database.session() as db:
            return await refusals.among(db, ["susan@example.com"])

    with a_day_ahead():
        site.run(refuse)
        assert site.run(refused) == {"susan@example.com"}

    assert site.run(refused) == set()


@pytest.mark.usefixtures("susan")
def test_what_was_sent_then_is_not_charged_to_this_hour(site: Site, mailbox: Mailbox) -> None:
    async def spent() -> int:
        async with site.app.state.database.session() as db:
            return sum((await status.spent(db, timedelta(hours=1))).values())

    before = site.run(spent)
    with a_day_ahead():
        forget_and_find_link(site.browser(), mailbox)
        wait_for_rows(site.settings.database_url, SENT, 2)

    assert (before, site.run(spent)) == (1, 1)


# Two machines, of which one is ahead


def test_a_machine_goes_by_the_databases_clock(
    postgres_url: str, start_site: Callable[..., Site], make_settings: Callable[..., Settings]
) -> None:
    """Two such processes are tried in tests/reliability/test_attacks.py."""
    with on_the_other_machine(3600):
        start_site(make_settings(database_url=postgres_url))
        ahead = datetime.now(UTC) - now()

    assert abs(ahead.total_seconds() - 3600) < 10


@contextmanager
def on_the_other_machine(seconds: float = 30) -> Iterator[None]:
    with time_machine.travel(now() + timedelta(seconds=seconds), tick=True):
        yield


@pytest.mark.parametrize(("seconds", "status_code"), [(2, 200), (30, 200), (120, 404)])
def test_the_page_that_says_check_your_email_may_be_another_machines(
    site: Site, seconds: float, status_code: int
) -> None:
    browser = site.browser(follow_redirects=False)
    with on_the_other_machine(seconds):
        asked = ask_for_reset(browser)

    page = browser.get(asked.headers["location"])

    assert (page.status_code, "susan@example.com" in page.text) == (status_code, status_code == 200)


@deep
@pytest.mark.usefixtures("susan")
def test_what_one_machine_says_the_other_shows(site: Site) -> None:
    browser = site.browser()
    log_in(browser)
    with on_the_other_machine():
        browser.post("/logout", follow_redirects=False)

    assert 'class="flash-success"' in browser.get("/login").text


@deep
@pytest.mark.usefixtures("susan")
def test_a_draft_that_one_machine_keeps_the_other_gives_back(site: Site) -> None:
    browser = site.browser()
    log_in(browser)
    execute(site, "DELETE FROM session")
    with on_the_other_machine():
        browser.post("/", data={"body": "What I was about to say."})

    assert "What I was about to say." in log_in(browser).text


def test_whoever_opens_the_form_on_one_machine_and_sends_it_to_the_other_is_no_robot(
    site: Site, mailbox: Mailbox
) -> None:
    browser = site.browser()
    with on_the_other_machine():
        seen = re.search(r'name="seen" value="([^"]+)"', browser.get("/register").text)
    assert seen

    browser.post("/register", data={"email": "newcomer@example.com", "homepage": "", "seen": seen[1]})

    assert mailbox.link("newcomer@example.com").startswith("/register/")


@deep
@pytest.mark.usefixtures("susan")
def test_an_archive_is_uploaded_to_another_machine_than_the_proof(site: Site) -> None:
    browser = site.browser()
    with on_the_other_machine():
        log_in(browser)
        browser.post("/import", data={"current_password": PASSWORD})

    assert browser.post("/import/upload", files={"archive": ("a.zip", b"no zip file")}).status_code == 422
