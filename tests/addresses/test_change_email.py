"""Asking for another address: with the password only, and without telling who is here."""

import html
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import time_machine

from tests.addresses.steps import NEW, OLD, ask, ask_and_find_link, change, links, signed_in
from tests.depth import deep, one_in
from tests.mailbox import Mailbox
from tests.moments import START
from tests.sites import Browser, Site
from tests.stories import PASSWORD, is_logged_in, log_in, register, without_token
from tests.watching import disable, execute, standing_site, statements, table, wait_until_posted
from webapp.accounts.models import AddressChange
from webapp.app import CLEANUP_TASKS
from webapp.settings import Settings

HTMX = {"hx-request": "true", "hx-request-type": "partial"}
# All of one length, because the answer repeats what was typed.
FREE, TAKEN, DISABLED, RESERVED = "nobdy@example.com", "david@example.com", "dizzy@example.com", "moved@example.com"


@pytest.fixture
def susan(request: pytest.FixtureRequest, mailbox: Mailbox) -> Browser:
    """The browser of susan, who has an account on the test's site and is logged in."""
    site = request.getfixturevalue("any_site" if "any_site" in request.fixturenames else "site")
    return signed_in(site, mailbox)


@pytest.fixture(scope="module")
def standing(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site on which susan is logged in and asks for nothing that is given."""
    with standing_site(migrated_sqlite, tmp_path_factory.mktemp("standing")) as site:
        assert site.mailbox
        site.app.state.susan = signed_in(site, site.mailbox)
        wait_until_posted(site)
        yield site


ACCOUNTS = "SELECT id, username, email, epoch, password_hash, password_locked_at FROM user_account"


def test_asking_writes_to_both_addresses_and_changes_nothing(site: Site, mailbox: Mailbox, susan: Browser) -> None:
    """C34: the new address gets a link, the old one is told; the account is as it was."""
    accounts = execute(site, ACCOUNTS)

    answer = ask(susan)

    asked, told = mailbox.last(NEW), mailbox.last(OLD, count=2)
    assert "Check your email" in answer.text
    assert (asked.subject, told.subject) == (
        "Your new email on Microblog",
        "Somebody asked to change your email on Microblog",
    )
    assert OLD not in asked.text + asked.html, "who reads the new mailbox is not told the old one"
    assert "susan" in asked.text
    assert NEW not in told.text + told.html
    assert "s...@example.net" in told.text
    assert links(mailbox, OLD, "/not_me/")
    assert execute(site, ACCOUNTS) == accounts
    assert is_logged_in(susan)


def test_a_stranger_is_sent_to_log_in_first(site: Site) -> None:
    answer = ask(site.browser(follow_redirects=False))

    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/change_email")


@pytest.mark.parametrize(
    ("email", "password", "field", "words"),
    [
        (NEW, "not the password", "current_password", "That&#39;s not your current password."),
        (NEW, "", "current_password", "type your current password, too."),
        ("", PASSWORD, "email", "Fill this in."),
        ("nowhere", PASSWORD, "email", "look like an email"),
        (OLD, PASSWORD, "email", "That&#39;s your email already."),
        (OLD.upper(), PASSWORD, "email", "That&#39;s your email already."),
    ],
)
def test_a_mistake_is_said_beside_its_field(standing: Site, email: str, password: str, field: str, words: str) -> None:
    """C34"""
    answer = ask(standing.app.state.susan, email, password, headers=HTMX)

    assert answer.status_code == 422
    assert words in answer.text
    assert f'id="{field}-error"' in answer.text
    assert table(standing, "address_change") == []
    assert not password or password not in answer.text, "a password is never echoed"


def test_guessing_the_password_is_throttled_like_the_log_in(site: Site, susan: Browser) -> None:
    """C34: five tries in five minutes, counted together with those of the log-in."""
    log_in(site.browser(), password="a guess")
    browser = site.browser(network="198.51.100.9")
    browser.cookies.update(susan.cookies)

    statuses = [ask(browser, password=f"guess number {number}").status_code for number in range(6)]
    right = ask(browser)

    assert statuses == [422] * 5 + [429]
    assert right.status_code == 429
    assert 0 < int(right.headers["retry-after"]) <= 300
    assert table(site, "address_change") == []


def with_people(site: Site, mailbox: Mailbox) -> Site:
    """David is here, dizzy is disabled, and moved has just gone elsewhere."""
    for name in ("david", "dizzy"):
        register(site.browser(), mailbox, name)
    disable(site, "dizzy")
    change(signed_in(site, mailbox, "moved"), mailbox, RESERVED, "moved@example.net")
    return site


def asked(browser: Browser, email: str, headers: dict[str, str]) -> tuple[int, dict[str, str], str]:
    """What can be told from the answer, but for what was typed."""
    answer = ask(browser, email, headers=headers)
    kept = {name: without_token(value) for name, value in answer.headers.items() if name != "set-cookie"}
    return answer.status_code, kept, without_token(answer.text).replace(html.escape(email), "{typed}")


@deep
@pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx part"])
@one_in(2)
def test_the_answer_is_the_same_whoever_has_the_new_address(
    site: Site, mailbox: Mailbox, susan: Browser, headers: dict[str, str]
) -> None:
    """C01"""
    with_people(site, mailbox)
    expected = asked(susan, FREE, headers)

    answers = {}
    for hour, email in enumerate([TAKEN, DISABLED, RESERVED], start=2):
        with time_machine.travel(START + 1800 * hour):
            answers[email] = asked(susan, email, headers)

    assert expected[0] == 200
    assert answers == dict.fromkeys(answers, expected)


@deep
def test_the_work_is_the_same_whoever_has_the_new_address(
    site: Site,
    mailbox: Mailbox,
    susan: Browser,
    start_site: Callable[[Settings], Site],
    make_settings: Callable[..., Settings],
) -> None:
    """C02: seen in a process that sends no emails; only whoever asks is looked up."""
    with_people(site, mailbox)
    silent = start_site(make_settings(database_url=site.settings.database_url, mailer="process"))
    browser = silent.browser()
    browser.cookies.update(susan.cookies)
    work = {}

    for hour, email in enumerate(["warms@up.example", FREE, TAKEN, DISABLED, RESERVED], start=2):
        with time_machine.travel(START + 1800 * hour):
            is_logged_in(browser)
            with statements(silent) as work[email]:
                assert ask(browser, email, headers=HTMX).status_code == 200

    del work["warms@up.example"]
    assert work == dict.fromkeys(work, work[FREE])
    assert any("INSERT INTO address_change" in statement for statement in work[FREE]), "the trace saw the work"


@deep
@one_in(2)
@pytest.mark.parametrize(
    ("email", "subject"),
    [
        (TAKEN, "Your new email on Microblog"),
        (DISABLED, "Your new email on Microblog"),
        (RESERVED, "Your registration on Microblog"),
    ],
)
def test_an_address_that_is_not_free_gets_an_email_that_says_so(
    site: Site, mailbox: Mailbox, susan: Browser, email: str, subject: str
) -> None:
    with_people(site, mailbox)
    before = len(mailbox.all(email))

    ask(susan, email)

    received = mailbox.last(email, count=before + 1)
    assert received.subject == subject
    assert links(mailbox, email, "/confirm_email/", 0) == []
    wait_until_posted(site)
    sent = execute(
        site, "SELECT user_id, state FROM outbox_email WHERE kind = 'confirm_email' ORDER BY id DESC LIMIT 1"
    )
    assert sent == [(1, "sent")], "among the emails that susan sees it looks like any other"


@deep
def test_one_a_minute_for_an_address_and_five_an_hour_for_an_account(site: Site, susan: Browser) -> None:
    """C04, C10: neither the new address nor the old one is flooded."""
    statuses = []
    others = [(second, f"free{second}@example.net") for second in (65, 66, 67, 3700)]
    for second, email in [(0, FREE), (1, FREE), (62, FREE), (63, TAKEN), *others]:
        with time_machine.travel(START + second, tick=False):
            is_logged_in(susan)
            statuses.append(ask(susan, email).status_code)

    assert statuses == [200, 429, 200, 200, 200, 200, 429, 200]


LOOK_ALIKES = [
    "\u017fusan@example.net",  # long s: its upper case is S
    "\uff53usan@example.net",  # full width
    "susan@example.net\u200b",
    "susan@exampl\u0435.net",  # Cyrillic
    "david@example.com,evil@example.net",
    "david@example.com\r\nBcc: evil@example.net",
    '"david@example.com"@example.net',
    "evil@example.net <david@example.com>",
    "=?utf-8?q?david?=@example.com",
    "david@example.com\u0000",
]


@deep
def test_look_alikes_never_mail_another_address(site: Site, mailbox: Mailbox, susan: Browser) -> None:
    """C06, C08: an email goes to exactly one recipient, who is the canonical form of what was typed."""
    register(site.browser(), mailbox, "david")
    statuses = set()

    for hour, typed in enumerate(LOOK_ALIKES):
        with time_machine.travel(START + 1800 * hour):
            is_logged_in(susan)
            statuses.add(ask(susan, typed).status_code)
    wait_until_posted(site)

    to = {email.to for email in mailbox.all() if "Confirm" in email.subject or "already" in email.subject}
    assert statuses <= {200, 422}
    assert to <= {"susan@xn--exampl-8of.net"}


ODD_BODIES: dict[str, dict[str, object]] = {
    "two addresses": {"data": {"email": [NEW, "evil@example.net"], "current_password": PASSWORD}},
    "an array": {"data": {"email[]": [NEW, "evil@example.net"], "current_password": PASSWORD}},
    "JSON": {"json": {"email": [NEW, "evil@example.net"], "current_password": PASSWORD}},
    "multipart": {"files": {"email": (None, NEW), "current_password": (None, PASSWORD)}},
    "query and body": {"data": {"email": NEW, "current_password": PASSWORD}, "params": {"email": "evil@example.net"}},
}


@pytest.mark.parametrize("kind", ODD_BODIES)
def test_what_none_of_our_forms_sends_is_refused(standing: Site, kind: str) -> None:
    """C07: no email is posted either."""
    before = table(standing, "outbox_email")

    answer = standing.app.state.susan.post("/change_email", **ODD_BODIES[kind])

    assert answer.status_code in {400, 415}
    assert table(standing, "outbox_email") == before


@deep
def test_extra_fields_change_nothing(site: Site, mailbox: Mailbox, susan: Browser) -> None:
    """C36: whose address changes is decided by the session."""
    register(site.browser(), mailbox, "david")
    more = {"user_id": "2", "username": "david", "epoch": "0", "old_email": "david@example.com", "confirmed": "1"}

    susan.post("/change_email", data={"email": NEW, "current_password": PASSWORD} | more)

    asked = execute(site, "SELECT user_id, old_email, confirmed_at FROM address_change")
    assert asked == [(1, OLD, None)]


def test_the_emails_are_posted_with_the_request_or_not_at_all(
    site: Site, susan: Browser, start_site: Callable[[Settings], Site], make_settings: Callable[..., Settings]
) -> None:
    silent = start_site(make_settings(database_url=site.settings.database_url, mailer="process"))
    browser = silent.browser()
    browser.cookies.update(susan.cookies)

    execute(silent, "ALTER TABLE outbox_email RENAME TO away")
    failed = ask(browser)
    execute(silent, "ALTER TABLE away RENAME TO outbox_email")
    left = table(silent, "address_change")
    ask(browser)

    kinds = execute(silent, "SELECT kind FROM outbox_email WHERE kind != 'register' ORDER BY id")
    assert (failed.status_code, left) == (503, [])
    assert kinds == [("confirm_email",), ("address_change_asked",)]
    assert len(table(silent, "address_change")) == 1


@deep
def test_a_site_without_mail_says_so(
    make_settings: Callable[..., Settings], site: Site, susan: Browser, start_site: Callable[[Settings], Site]
) -> None:
    silent = start_site(
        make_settings(database_url=site.settings.database_url, mailer="off", admins=("host@blog.example",))
    )
    browser = silent.browser()
    browser.cookies.update(susan.cookies)

    page, answer = browser.get("/change_email"), ask(browser)

    assert "sends no email" in page.text
    assert "mailto:host@blog.example" in page.text
    assert answer.status_code == 422
    assert table(site, "address_change") == []


def test_old_requests_are_cleared_away(site: Site, mailbox: Mailbox, susan: Browser) -> None:
    ask_and_find_link(susan, mailbox)
    chore = next(chore for chore in CLEANUP_TASKS if chore.model is AddressChange)

    left = []
    for days in (29, 31):
        with time_machine.travel(time.time() + 86400 * days):
            site.run(chore.run_batch, site.app.state.database)
        left.append(len(table(site, "address_change")))

    assert left == [1, 0]


def test_the_page_asks_for_what_password_managers_know(susan: Browser) -> None:
    page: str = susan.get("/change_email").text

    assert 'autocomplete="current-password"' in page
    assert 'autocomplete="email"' in page
    assert OLD in page
