"""Undoing a change of address: it gives the account back to the oldest owner, whatever was changed meanwhile."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import time_machine
from sqlalchemy import insert

from tests.addresses.steps import NEW, OLD, OTHER, ask, ask_and_find_link, change, links, signed_in
from tests.depth import deep
from tests.imported import add_accounts
from tests.mailbox import Mailbox
from tests.moments import START
from tests.sites import Browser, Site
from tests.stories import NEW_PASSWORD, PASSWORD, ask_for_reset, is_logged_in, log_in
from tests.watching import disable, dump, execute, table, wait_until_posted
from webapp.database import now
from webapp.mail.models import RefusedAddress

HTMX = {"hx-request": "true", "hx-request-type": "partial"}
HIJACKED = "a phrase that only the thief knows"


@pytest.fixture
def thief(request: pytest.FixtureRequest, mailbox: Mailbox) -> Browser:
    """The browser of somebody who has found out susan's password, and is logged in as her."""
    site = request.getfixturevalue("any_site" if "any_site" in request.fixturenames else "site")
    return signed_in(site, mailbox)


def account(site: Site) -> str:
    return str(execute(site, "SELECT email FROM user_account WHERE username_key = 'susan'")[0][0])


def emails_about(mailbox: Mailbox, to: str, words: str) -> list[str]:
    return [email.text for email in mailbox.all(to) if words in email.subject]


@deep
@pytest.mark.alike
def test_the_owner_takes_a_hijacked_account_back(any_site: Site, mailbox: Mailbox, thief: Browser) -> None:
    """C34: the story from both sides. The thief knows the password, changes the address, then the password."""
    undo = change(thief, mailbox)
    thief.post("/change_password", data={"current_password": PASSWORD, "password": HIJACKED})
    owner = any_site.browser()
    assert log_in(owner, password=PASSWORD).status_code == 422, "the owner is locked out"

    execute(any_site, insert(RefusedAddress).values(address=OLD, since=now(), source="bounce"))
    page = owner.get(undo)
    answer = owner.post(undo)

    assert table(any_site, "refused_address") == [], "the link has just arrived there"
    assert "Give me my email back" in page.text
    assert OLD in page.text
    assert answer.url.path == "/reset_password_request"
    assert "susan has the email susan@example.com again" in answer.text
    assert not is_logged_in(thief)
    assert table(any_site, "session") == []
    assert [log_in(any_site.browser(), password=word).status_code for word in (PASSWORD, HIJACKED)] == [422, 422]
    ask_for_reset(owner, "susan")
    reset = links(mailbox, OLD, "/reset_password/")[0]
    assert owner.post(reset, data={"password": NEW_PASSWORD}).url.path == "/login"
    assert log_in(owner, OLD, NEW_PASSWORD).url.path == "/"
    assert emails_about(mailbox, NEW, "Reset") == [], "the thief's mailbox gets nothing that opens the account"


@deep
def test_the_owner_is_told_and_the_thief_gets_no_link(site: Site, mailbox: Mailbox, thief: Browser) -> None:
    undo = change(thief, mailbox)

    site.browser().post(undo)
    wait_until_posted(site)

    told, lost = mailbox.last(OLD), mailbox.last(NEW)
    assert told.subject == "Your account on Microblog has this email again"
    assert lost.subject == "A change of email on Microblog was undone"
    assert OLD not in lost.text + lost.html
    assert links(mailbox, NEW, "/not_me/", 0) == []
    assert "https://blog.example/" not in lost.text


def test_looking_at_the_link_changes_nothing(site: Site, mailbox: Mailbox, thief: Browser) -> None:
    """C20, C31"""
    undo = change(thief, mailbox)
    wait_until_posted(site)
    before = dump(site)

    for method in ("GET", "HEAD", "OPTIONS"):
        site.browser().request(method, undo)

    assert dump(site) == before


@deep
def test_undoing_works_under_htmx_and_without_cookies(site: Site, mailbox: Mailbox, thief: Browser) -> None:
    undo = change(thief, mailbox)

    answer = site.browser().post(undo, headers=HTMX)

    assert (answer.status_code, answer.headers["hx-redirect"]) == (204, "/reset_password_request?email=susan")
    assert account(site) == OLD


@deep
def test_the_oldest_owner_wins(site: Site, mailbox: Mailbox, thief: Browser) -> None:
    """The thief moves on to a second mailbox. The first owner's undoing ends every later one."""
    owners = change(thief, mailbox)
    thiefs = change(thief, mailbox, NEW, OTHER)

    first = site.browser().post(owners)
    second = site.browser().post(thiefs)

    assert (first.status_code, second.status_code) == (200, 410)
    assert account(site) == OLD


@deep
def test_the_oldest_owner_wins_even_if_they_press_last(site: Site, mailbox: Mailbox, thief: Browser) -> None:
    owners = change(thief, mailbox)
    thiefs = change(thief, mailbox, NEW, OTHER)

    statuses = [site.browser().post(path).status_code for path in (thiefs, owners, thiefs)]

    assert statuses == [200, 200, 410]
    assert account(site) == OLD


@deep
def test_the_oldest_owner_wins_when_both_press_at_once(any_site: Site, mailbox: Mailbox, thief: Browser) -> None:
    """C17: many presses of both, in any order: no 5xx, and the first owner has the account."""
    owners = change(thief, mailbox)
    thiefs = change(thief, mailbox, NEW, OTHER)

    def press(path: str) -> int:
        return any_site.browser(follow_redirects=False).post(path).status_code

    with ThreadPoolExecutor(20) as crowd:
        statuses = list(crowd.map(press, [thiefs, owners] * 10))

    assert set(statuses) <= {303, 410}
    assert account(any_site) == OLD
    assert execute(any_site, "SELECT count(*) FROM security_event WHERE kind = 'address_restored'")[0][0] in {1, 2}


@deep
def test_an_owner_who_went_back_by_the_form_is_not_undone_by_the_thief(
    any_site: Site, mailbox: Mailbox, thief: Browser
) -> None:
    """The owner still had the password, and changed the address back instead of pressing the link."""
    owners = change(thief, mailbox)
    owner = any_site.browser()
    log_in(owner)

    with time_machine.travel(time.time() + 120):
        back = ask_and_find_link(owner, mailbox, OLD)
        owner.post(back)
        wait_until_posted(any_site)

    assert account(any_site) == OLD
    assert links(mailbox, NEW, "/undo_email/", 0) == []
    assert "There's nothing to undo." in emails_about(mailbox, NEW, "was changed")[0]
    assert any_site.browser().post(owners).status_code == 410, "and there is nothing left to undo for the owner"


@deep
def test_a_new_change_after_an_undone_one_can_be_undone(site: Site, mailbox: Mailbox, thief: Browser) -> None:
    site.browser().post(change(thief, mailbox))
    with time_machine.travel(time.time() + 3700):
        owner = site.browser()
        ask_for_reset(owner)
        owner.post(links(mailbox, OLD, "/reset_password/")[0], data={"password": NEW_PASSWORD})
        log_in(owner, password=NEW_PASSWORD)
        owner.post("/change_email", data={"email": OTHER, "current_password": NEW_PASSWORD})
        owner.post(links(mailbox, OTHER, "/confirm_email/")[0])
        assert account(site) == OTHER

        again = site.browser().post(links(mailbox, OLD, "/undo_email/", 2)[0])

    assert again.status_code == 200
    assert account(site) == OLD


@deep
def test_undoing_ends_what_the_thief_has_prepared(site: Site, mailbox: Mailbox, thief: Browser) -> None:
    """C19: a pending change, recovery codes, and a pause of reset emails."""
    undo = change(thief, mailbox)
    pending = ask_and_find_link(thief, mailbox, OTHER)
    execute(
        site,
        "INSERT INTO recovery_code (user_id, label, code_hash, created_at)"
        " SELECT id, 'ABCD', 'x', created_at FROM user_account",
    )
    execute(site, "UPDATE user_account SET reset_paused_until = '2030-01-01 00:00:00+00:00'")

    site.browser().post(undo)

    assert site.browser().post(pending).status_code == 410
    assert account(site) == OLD
    assert execute(site, "SELECT reset_paused_until FROM user_account") == [(None,)]
    assert execute(site, "SELECT * FROM recovery_code") == []


@deep
def test_the_thief_cannot_say_this_was_not_me_afterwards(site: Site, mailbox: Mailbox, thief: Browser) -> None:
    """It would end the owner's links, and pause the very emails that the owner needs now."""
    undo = change(thief, mailbox)
    with time_machine.travel(time.time() + 5):
        ask(thief, OTHER)
        thiefs = links(mailbox, NEW, "/not_me/")[0]
    with time_machine.travel(time.time() + 10):
        before = len(links(mailbox, OLD, "/not_me/"))
        site.browser().post(undo)
        owners = links(mailbox, OLD, "/not_me/", before + 1)[0]

        statuses = [site.browser().post(path).status_code for path in (thiefs, owners)]

    assert statuses == [410, 200]


def test_a_used_undo_link_is_refused(site: Site, mailbox: Mailbox, thief: Browser) -> None:
    """C16"""
    undo = change(thief, mailbox)
    site.browser().post(undo)

    page, answer = site.browser().get(undo), site.browser().post(undo)

    assert (page.status_code, answer.status_code) == (410, 410)
    assert "This link has been used" in page.text


@deep
def test_a_disabled_account_is_not_opened_and_the_link_waits(site: Site, mailbox: Mailbox, thief: Browser) -> None:
    """C19: the host has locked it; afterwards the link still gives the power back."""
    undo = change(thief, mailbox)
    disable(site, "susan")
    refused = site.browser().post(undo).status_code
    execute(site, "UPDATE user_account SET disabled_at = NULL, epoch = epoch + 1")

    answer = site.browser().post(undo)

    assert (refused, answer.status_code) == (410, 200)
    assert account(site) == OLD


@pytest.mark.parametrize(("second", "status"), [(72 * 3600 - 1, 200), (72 * 3600, 410)])
@deep
def test_a_link_works_for_three_days(site: Site, mailbox: Mailbox, second: int, status: int) -> None:
    """C15"""
    with time_machine.travel(START, tick=False):
        undo = change(signed_in(site, mailbox), mailbox)

    with time_machine.travel(START + second, tick=False):
        assert site.browser().get(undo).status_code == status


@deep
def test_nobody_else_gets_the_old_address_while_it_can_be_undone_to(
    site: Site, mailbox: Mailbox, thief: Browser
) -> None:
    """An accomplice who reads the old mailbox, too, asks for it by both ways; the page tells nothing."""
    change(thief, mailbox)
    with time_machine.travel(time.time() + 86400 * 4):
        accomplice = signed_in(site, mailbox, "mallory")
        before = len(mailbox.all(OLD))
        accomplice.post("/register", data={"email": OLD})
        ask(accomplice, OLD)
        mailbox.last(OLD, count=before + 2)

    subjects = {email.subject for email in mailbox.all(OLD)[:2]}
    assert subjects == {"Your registration on Microblog"}
    assert links(mailbox, OLD, "/confirm_email/", 0) == []


@pytest.mark.alike
def test_the_admin_imports_nobody_with_an_address_that_can_be_restored(
    any_site: Site, mailbox: Mailbox, thief: Browser
) -> None:
    people = f"username,email\njohn,{OLD}"

    async def imported() -> list[str]:
        async with any_site.app.state.database.session(is_writing=True) as db:
            return await add_accounts(db, any_site.settings, people)

    change(thief, mailbox)
    while_it_can = any_site.run(imported)
    execute(any_site, "UPDATE address_change SET undone_at = created_at")
    afterwards = any_site.run(imported)

    assert while_it_can == [f"line 2: {OLD} already has an account, or is reserved for one that may go back to it"]
    assert afterwards == []


@deep
def test_a_link_that_went_out_in_time_does_not_take_the_old_address_either(
    any_site: Site, mailbox: Mailbox, thief: Browser, start_site: Callable[..., Site]
) -> None:
    """The accomplice's link was mailed when the address was free for a moment; its use comes too late."""
    accomplice = signed_in(any_site, mailbox, "mallory")
    undo = change(thief, mailbox)
    execute(any_site, "UPDATE address_change SET undone_at = confirmed_at")
    stolen = ask_and_find_link(accomplice, mailbox, OLD)
    execute(any_site, "UPDATE address_change SET undone_at = NULL")

    answer = accomplice.post(stolen)

    assert answer.status_code == 422
    assert "Another account uses this email now" in answer.text
    assert any_site.browser().post(undo).status_code == 200
    assert account(any_site) == OLD
