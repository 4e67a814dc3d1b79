"""The emails that a person was sent, as the page lists them, and the switches of those that can be turned off."""

import re
from collections.abc import Callable

import pytest
from httpx2 import Response

from tests.depth import deep, one_in
from tests.mailbox import Mailbox, paths_in
from tests.sites import Browser, Site
from tests.stories import NEW_PASSWORD, PASSWORD, ask_for_reset, log_in, register
from tests.watching import execute, wait_until_posted
from webapp.accounts import tokens
from webapp.mail.kinds import KINDS
from webapp.notifications import history
from webapp.settings import Settings

OPTIONAL = sorted(name for name, kind in KINDS.items() if kind.is_optional)
USUAL = sorted(name for name in OPTIONAL if KINDS[name].default_on)


@pytest.fixture
def susan(site: Site, mailbox: Mailbox) -> Browser:
    """Susan, to whom a reset email was sent."""
    return written_to(site, mailbox)


def written_to(site: Site, mailbox: Mailbox) -> Browser:
    browser = site.browser()
    register(browser, mailbox)
    ask_for_reset(site.browser(), "susan")
    log_in(browser)
    wait_until_posted(site)
    return browser


def listed(browser: Browser) -> list[str]:
    """The emails that the page shows, each as the words of its row."""
    rows = re.findall(r'<li class="roof-row">(.*?)</li>', browser.get("/letters").text, re.DOTALL)
    return [" ".join(re.sub(r"<[^>]+>", " ", row).split()) for row in rows]


def checked(browser: Browser) -> list[str]:
    return sorted(re.findall(r'<input name="(\w+)" type="checkbox" value="1" checked', browser.get("/letters").text))


@pytest.mark.alike
def test_an_email_that_was_sent_is_listed(any_site: Site, mailbox: Mailbox) -> None:
    browser = written_to(any_site, mailbox)

    [row] = listed(browser)

    assert row.startswith("A link to choose a new password ")
    assert " Delivered to your mail provider " in row
    assert "example.com" not in row, "it is known no more"


def test_an_email_on_its_way_shows_its_address_masked(
    make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[[Settings], Site]
) -> None:
    site = start_site(make_settings(database_url=sqlite_url))
    assert site.mailbox
    register(site.browser(), site.mailbox)
    site.__exit__(None, None, None)  # and its mailer with it
    browser = start_site(make_settings(database_url=sqlite_url, mailer="process")).browser()

    log_in(browser)
    [row] = listed(browser)

    assert row.startswith("A log-in from a new device ")
    assert " On its way · to s…@example.com " in row


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            "state = 'dead', code = 550, reason = 'no mailbox for susan@example.com'",
            "Refused by your mail provider: 550 no mailbox for [cut]",
        ),
        ("state = 'dead', reason = 'given up: its mailer died of it'", "Not sent"),
        ("state = 'expired'", "Not sent in time"),
        ("state = 'suppressed'", "Not sent: your mail provider refused an earlier one"),
        ("state = 'ready', attempts = 3", "Not delivered yet; we keep trying"),
    ],
)
@one_in(3)
def test_what_became_of_an_email_is_said_in_words(site: Site, susan: Browser, change: str, words: str) -> None:
    execute(site, f"UPDATE outbox_email SET {change} WHERE kind = 'reset_password'")

    assert listed(susan)[0].startswith(f"A link to choose a new password {words} ")


def test_nobody_sees_the_emails_of_another(site: Site, mailbox: Mailbox, susan: Browser) -> None:
    """C36"""
    david = site.browser()
    register(david, mailbox, "david")
    log_in(david, "david")

    assert len(listed(susan)) == 1
    assert listed(david) == []


@deep
@pytest.mark.alike
def test_the_last_ten_of_each_kind_are_listed_newest_first(any_site: Site, mailbox: Mailbox) -> None:
    """C8: so whoever has one kind sent again and again pushes no other off the page."""
    susan = written_to(any_site, mailbox)
    columns = (
        "recipient, parameters, language, user_id, message_id, state, due_at, expires_at, attempts, fence, crashes"
    )
    [[sent_at]] = execute(any_site, "SELECT created_at FROM outbox_email WHERE kind = 'reset_password'")
    later = str(sent_at).replace("20", "21", 1)
    for _number in range(25):
        execute(
            any_site,
            f"INSERT INTO outbox_email (kind, priority, created_at, {columns})"
            f" SELECT 'checkup', 1, '{later}', {columns} FROM outbox_email"
            " WHERE kind = 'reset_password' ORDER BY id LIMIT 1",
        )

    *rows, last = listed(susan)

    assert len(rows) == 10
    assert all(row.startswith("A test link") for row in rows)
    assert last.startswith("A link to choose a new password")


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"general", "alarm"}))
def test_every_kind_of_email_has_a_name(kind: str) -> None:
    assert history.named(kind) != history.named("of no kind")


def test_the_switches_have_their_defaults_until_somebody_changes_them(susan: Browser) -> None:
    page = susan.get("/letters").text

    assert sorted(re.findall(r'<input name="(\w+)" type="checkbox"', page)) == OPTIONAL
    assert checked(susan) == USUAL


@pytest.mark.alike
def test_the_switches_stay_as_they_were_set(any_site: Site, mailbox: Mailbox) -> None:
    browser = written_to(any_site, mailbox)
    seen = []

    for wanted in ([], OPTIONAL, OPTIONAL[:1]):
        answer = browser.post("/letters", data=dict.fromkeys(wanted, "1") | {"current_password": PASSWORD})
        seen.append(checked(browser))

    assert "Saved" in answer.text
    assert seen == [[], OPTIONAL, OPTIONAL[:1]]


def test_no_other_email_has_a_switch(site: Site, susan: Browser) -> None:
    """C36"""
    fields = {"password_changed": "", "reset_password": "", "user_id": "2", "current_password": PASSWORD}
    susan.post("/letters", data=fields)

    kinds = {kind for (kind,) in execute(site, "SELECT kind FROM email_switch WHERE user_id = 1")}
    assert kinds == set(OPTIONAL)
    assert execute(site, "SELECT count(*) FROM email_switch WHERE user_id <> 1") == [(0,)]


def off(browser: Browser, **more: str) -> Response:
    """Turns off all emails that one may turn off."""
    return browser.post("/letters", data=more)


def test_turning_off_emails_about_ones_safety_takes_the_password_and_is_told(
    site: Site, mailbox: Mailbox, susan: Browser
) -> None:
    """C67"""
    without, wrong = off(susan), off(susan, current_password="not the right password")
    still_on = "new_sign_in" in checked(susan)
    right = off(susan, current_password=PASSWORD)

    told = mailbox.last("susan@example.com", subject="Emails about your account")
    assert (without.status_code, wrong.status_code, right.status_code) == (422, 422, 200)
    assert 'id="current_password-error"' in without.text
    assert still_on
    assert checked(susan) == []
    assert "Log-ins from a new device" in told.text
    assert any(path.startswith("/not_me/") for path in paths_in(told.text))
    assert execute(site, "SELECT details FROM security_event WHERE kind = 'letters_turned_off'") != []


def test_other_emails_are_turned_off_and_on_without_a_password(susan: Browser) -> None:
    statuses = [susan.post("/letters", data=data).status_code for data in ({"new_sign_in": "1", "mention": "1"}, {})]

    assert statuses == [200, 422]


def thief_of_susan(site: Site) -> Browser:
    """Who has logged in after her, on a site where no mailer has come to any email yet."""
    invitation = tokens.register_link(site.settings, "susan@example.com").removeprefix("https://blog.example")
    site.browser().post(invitation, data={"username": "susan", "password": PASSWORD})
    log_in(site.browser())
    thief = site.browser()
    log_in(thief)
    return thief


def test_a_log_in_cannot_silence_the_email_about_itself(
    make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[[Settings], Site]
) -> None:
    """C67: it was decided when it happened, though no mailer had come to it yet."""
    silent = start_site(make_settings(database_url=sqlite_url, mailer="process"))
    thief = thief_of_susan(silent)
    off(thief, current_password=PASSWORD)
    log_in(silent.browser())

    site = start_site(make_settings(database_url=sqlite_url))
    wait_until_posted(site)

    assert site.mailbox
    assert "new_sign_in" not in checked(thief)
    [about_both] = site.mailbox.all("susan@example.com", "A new log-in")
    assert about_both.subject.endswith(" (2 times)"), "hers and the thief's, and nothing of what came after"
    assert len(site.mailbox.all("susan@example.com", "Emails about your account")) == 1


EVENTS: list[tuple[str, dict[str, str]]] = [
    ("/change_email", {"email": "thief@example.org"}),
    ("/recovery_codes", {}),
    ("/edit_profile", {"username": "susan_b", "about_me": ""}),
    ("/sessions/end_others", {}),
    ("/change_password", {"password": NEW_PASSWORD}),
]


@pytest.mark.parametrize("is_silenced", [False, True])
@deep
def test_no_switch_silences_what_had_already_happened(
    make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[[Settings], Site], is_silenced: bool
) -> None:
    """C67: a thief logs in, does all of it, and turns every email off before a mailer comes to any."""
    silent = start_site(make_settings(database_url=sqlite_url, mailer="process"))
    thief = thief_of_susan(silent)
    for path, fields in EVENTS:
        assert thief.post(path, data=fields | {"current_password": PASSWORD}).status_code == 200
    if is_silenced:
        off(thief, current_password=NEW_PASSWORD)
        assert checked(thief) == []

    wait_until_posted(start_site(make_settings(database_url=sqlite_url)))

    sent = {kind for (kind,) in execute(silent, "SELECT kind FROM outbox_email WHERE state = 'sent'")}
    told = {"new_sign_in", "address_change_asked", "recovery_codes_made", "username_changed", "sessions_ended"}
    assert sent >= told | {"password_changed"} | ({"emails_turned_off"} if is_silenced else set())
