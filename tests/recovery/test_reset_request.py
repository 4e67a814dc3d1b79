"""Asking for a reset email: the same answer, work and limits whoever is asked for, and nothing changed by it."""

import html
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
import time_machine
from httpx2 import Response

from tests.depth import deep, one_in
from tests.mailbox import Mailbox
from tests.moments import START
from tests.sites import Browser, Site
from tests.stories import PASSWORD, RESET_SUBJECT, ask_for_reset, is_logged_in, log_in, register, without_token
from tests.watching import disable, dump, statements, table, wait_until_posted
from webapp.settings import Settings

HTMX = {"hx-request": "true", "hx-request-type": "partial"}
# All of one length, because the answer repeats what was typed.
KNOWN, UNKNOWN, DISABLED = "susan@example.com", "nobdy@example.com", "dizzy@example.com"
STRANGERS = {
    "unknown": UNKNOWN,
    "disabled": DISABLED,
    "valid but odd": "o.-_+@example.com",
    "valid but nowhere": "susan@no.such.dom",
}
# Names, and of one length too.
STRANGE_NAMES = {"unknown": "nobdy", "disabled": "dizzy", "valid but odd": "_____"}


@pytest.fixture
def peopled_site(site: Site, mailbox: Mailbox) -> Site:
    """A site where susan has an account, and dizzy's is disabled."""
    return with_people(site, mailbox)


def with_people(site: Site, mailbox: Mailbox) -> Site:
    browser = site.browser()
    register(browser, mailbox, "susan")
    register(browser, mailbox, "dizzy")
    disable(site, "dizzy")
    return site


@pytest.fixture
def silent_site(
    peopled_site: Site, start_site: Callable[[Settings], Site], make_settings: Callable[..., Settings]
) -> Site:
    """Another process of the same site, one without a mailer: what it does, it does for its visitors."""
    return start_site(make_settings(database_url=peopled_site.settings.database_url, mailer="process"))


def without_typed(answer: Response, typed: str) -> tuple[int, dict[str, str], str]:
    """What can be told from an answer, but for what was typed, and for the value of the signed cookie."""
    headers = {name: without_token(value) for name, value in answer.headers.items() if name != "set-cookie"}
    cookies = [cookie.partition("=")[2].partition(";")[2] for cookie in answer.headers.get_list("set-cookie")]
    headers["set-cookie attributes"] = repr(cookies)
    body = without_token(answer.text).replace(html.escape(typed), "{typed}").replace(quote(typed), "{typed}")
    return answer.status_code, headers, body


def asked(site: Site, typed: str, headers: dict[str, str]) -> list[tuple[int, dict[str, str], str]]:
    """The answer to a request, and the page that it leads to."""
    browser = site.browser(follow_redirects=False)
    answer = browser.post("/reset_password_request", data={"email": typed}, headers=headers)
    page = next(answer.headers[name] for name in ("location", "hx-redirect", "hx-push-url") if name in answer.headers)
    assert page.startswith("/check_email/")
    return [without_typed(answer, typed), without_typed(browser.get(page), typed)]


@one_in(2)
@pytest.mark.parametrize("headers", [{}, {"hx-request": "true"}, HTMX], ids=["plain", "htmx page", "htmx part"])
def test_the_answer_is_the_same_whoever_is_asked_for(peopled_site: Site, headers: dict[str, str]) -> None:
    """C01: status, headers and bytes of the answer, and of the page that follows it."""
    with time_machine.travel(START, tick=False):  # pages count the seconds
        expected = asked(peopled_site, KNOWN, headers)
        answers = {kind: asked(peopled_site, typed, headers) for kind, typed in STRANGERS.items()}

    assert answers == dict.fromkeys(answers, expected)
    assert any("{typed}" in body for _status, _headers, body in expected), "the comparison saw what was typed"


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx part"])
@one_in(2)
def test_the_answer_to_a_name_is_the_same_whoever_has_it(peopled_site: Site, headers: dict[str, str]) -> None:
    """C01"""
    with time_machine.travel(START, tick=False):
        expected = asked(peopled_site, "susan", headers)
        answers = {kind: asked(peopled_site, typed, headers) for kind, typed in STRANGE_NAMES.items()}

    assert answers == dict.fromkeys(answers, expected)


def work_of(site: Site, typed: str) -> list[str]:
    browser = site.browser(follow_redirects=False)
    with statements(site) as seen:
        assert ask_for_reset(browser, typed).status_code == 303
    return seen


@pytest.mark.alike
def test_the_work_is_the_same_whoever_is_asked_for(
    any_site: Site,
    mailbox: Mailbox,
    start_site: Callable[[Settings], Site],
    make_settings: Callable[..., Settings],
) -> None:
    """C02: the same statements in the same order, and no password is hashed."""
    with_people(any_site, mailbox)
    silent_site = start_site(make_settings(database_url=any_site.settings.database_url, mailer="process"))
    work_of(silent_site, "warms@up.example")
    expected = work_of(silent_site, KNOWN)

    work = {typed: work_of(silent_site, typed) for typed in ["nobdy", "susan", UNKNOWN, DISABLED, "o.-_+@example.com"]}

    assert work == dict.fromkeys(work, expected)
    assert any("INSERT INTO outbox_email" in statement for statement in expected), "the trace saw the request's work"
    assert not any("user_account" in statement for statement in expected), "nobody is looked up"
    assert silent_site.argon2.runs == []


def test_a_refusal_for_asking_too_often_costs_the_same_whoever_is_asked_for(silent_site: Site) -> None:
    """C02, C04"""
    browser = silent_site.browser(follow_redirects=False)
    work = {}

    for typed in (KNOWN, UNKNOWN, DISABLED):
        assert ask_for_reset(browser, typed).status_code == 303
        with statements(silent_site) as work[typed]:
            assert ask_for_reset(browser, typed).status_code == 429

    assert work[KNOWN] == work[UNKNOWN] == work[DISABLED]


def limited(site: Site, typed: str) -> list[tuple[int, str]]:
    """What is answered to requests at these seconds, each from another network."""
    answers = []
    for second in (0, 1, 61, 122, 183, 3601, 3662):
        with time_machine.travel(START + second, tick=False):
            answer = ask_for_reset(site.browser(follow_redirects=False), typed)
        answers.append((answer.status_code, answer.headers.get("retry-after", "")))
    return answers


AN_HOUR = 3600 + 2  # seconds, as the answers that name the wait take a moment themselves


@deep
@pytest.mark.parametrize("typed", [KNOWN, UNKNOWN, DISABLED, "susan", "nobdy"])
@one_in(4)
def test_one_a_minute_and_three_an_hour_whoever_is_asked_for(silent_site: Site, typed: str) -> None:
    """C04: the limits hang on what was typed, not on whether anybody is behind it."""
    answers = limited(silent_site, typed)

    statuses = [status for status, _retry in answers]
    assert statuses == [303, 429, 303, 303, 429, 303, 303]
    assert answers[1] == (429, "59")
    assert answers[4] == (429, "3417"), "three an hour: the hour that began with the first one"


def test_after_ten_in_a_day_it_is_one_an_hour_for_one_address(silent_site: Site) -> None:
    """C04"""

    def ask(second: int) -> int:
        with time_machine.travel(START + second, tick=False):
            return ask_for_reset(silent_site.browser(follow_redirects=False), UNKNOWN).status_code

    first = [ask(hour * 3601 + minute * 61) for hour in range(4) for minute in range(3)]
    fifth_hour = [ask(4 * 3601 + minute * 61) for minute in range(2)]
    next_day = [ask(86401 + minute * 61) for minute in range(3)]

    assert first == [303] * 10 + [429] * 2
    assert fifth_hour == [303, 429]
    assert next_day == [303] * 3


def test_twenty_an_hour_from_one_client_ip_and_others_still_get_through(silent_site: Site) -> None:
    """C04, C10"""
    browser = silent_site.browser(network="198.51.100.7", follow_redirects=False)

    statuses = [ask_for_reset(browser, f"somebody{number}@example.com").status_code for number in range(21)]
    elsewhere = ask_for_reset(silent_site.browser(follow_redirects=False), "somebody20@example.com").status_code

    assert statuses == [303] * 20 + [429]
    assert elsewhere == 303


def test_a_refusal_names_the_wait_and_the_email_that_still_works(silent_site: Site) -> None:
    browser = silent_site.browser(follow_redirects=False)
    asked_at = datetime.fromtimestamp(START, UTC)
    with time_machine.travel(START, tick=False):
        ask_for_reset(browser, UNKNOWN)

    with time_machine.travel(START + 20, tick=False):
        answer = browser.post("/reset_password_request", data={"email": UNKNOWN}, headers=HTMX)

    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "40"
    assert f"If you got the email that we sent at {asked_at:%H:%M} UTC, its link still works." in answer.text
    assert "You can ask again in 40 seconds." in answer.text
    assert f'value="{UNKNOWN}"' in answer.text


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx part"])
@deep
def test_a_refusal_is_the_same_whoever_is_asked_for(peopled_site: Site, headers: dict[str, str]) -> None:
    """C01, C04: also what it says of the email that is on its way."""
    answers = {}

    for typed in (KNOWN, UNKNOWN, DISABLED):
        browser = peopled_site.browser(follow_redirects=False)
        with time_machine.travel(START, tick=False):
            ask_for_reset(browser, typed)
        with time_machine.travel(START + 5, tick=False):
            answer = browser.post("/reset_password_request", data={"email": typed}, headers=headers)
        answers[typed] = without_typed(answer, typed)

    assert answers[KNOWN] == answers[UNKNOWN] == answers[DISABLED]
    assert answers[KNOWN][0] == 429
    assert "still works" in answers[KNOWN][2]


@deep
def test_nobody_is_sent_away_for_longer_than_an_hour_however_often_a_stranger_asked(silent_site: Site) -> None:
    """The email that a stranger asked for long ago no longer works, and is not spoken of; the other ways are."""
    for hour in range(11):
        with time_machine.travel(START + hour * 3601, tick=False):
            ask_for_reset(silent_site.browser(), KNOWN)

    with time_machine.travel(START + 10 * 3601 + 700, tick=False):
        answer = ask_for_reset(silent_site.browser(), KNOWN)
    with time_machine.travel(START + 10 * 3601 + 3600, tick=False):
        later = ask_for_reset(silent_site.browser(), KNOWN)

    assert (answer.status_code, answer.headers["retry-after"]) == (429, "2900")
    assert "You can ask again in 49 minutes." in answer.text
    assert "still works" not in answer.text
    assert 'href="/recover"' in answer.text
    assert "In a browser you've used here before" in answer.text
    assert later.status_code == 200


@deep
def test_a_stranger_who_asks_all_day_long_keeps_nobody_out_for_longer_than_an_hour(
    peopled_site: Site, mailbox: Mailbox
) -> None:
    """C04, C10, C12: by name and by address, from a new network each time; the owner comes five times."""
    waited = []
    for half in range(48):
        second = START + half * 1800
        with time_machine.travel(second):
            ask_for_reset(peopled_site.browser(), KNOWN if half % 2 else "susan")
            wait_until_posted(peopled_site)
        if half % 10 == 7:
            waited.append(seconds_until_an_email_comes(peopled_site, mailbox, second + 120))

    assert len(waited) == 5
    assert max(waited) <= AN_HOUR
    assert len(mailbox.all(KNOWN, RESET_SUBJECT)) <= 10 + 24 + 3


def seconds_until_an_email_comes(site: Site, mailbox: Mailbox, second: float) -> float:
    """How long the owner waits who asks, and asks again whenever the page says that it may be."""
    before, waited = len(mailbox.all(KNOWN, RESET_SUBJECT)), 0.0
    while waited <= AN_HOUR:
        with time_machine.travel(second + waited):
            answer = ask_for_reset(site.browser(), KNOWN)
            wait_until_posted(site)
        if len(mailbox.all(KNOWN, RESET_SUBJECT)) > before:
            return waited
        waited += float(answer.headers.get("retry-after", 61))
    return waited


def test_asking_changes_nothing_but_the_outbox_and_the_counts(peopled_site: Site, mailbox: Mailbox) -> None:
    """C11: neither the password nor the sessions nor the log-in of the account."""
    browser = peopled_site.browser()
    log_in(browser)
    before = dump(peopled_site)
    others = browser.get("/").text

    ask_for_reset(peopled_site.browser(), KNOWN)
    mailbox.last(KNOWN, count=2)

    after = dump(peopled_site)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"outbox_email", "limit_window"}
    assert is_logged_in(browser)
    assert browser.get("/").text == others
    assert log_in(peopled_site.browser(), password=PASSWORD).url.path == "/"


def test_only_the_person_who_is_here_gets_an_email_and_the_other_rows_are_gone(
    peopled_site: Site, mailbox: Mailbox
) -> None:
    """C10: the row of an unknown address goes at once, so no backup tells who asked for whom."""
    for typed in (UNKNOWN, DISABLED, "nobdy", KNOWN):
        ask_for_reset(peopled_site.browser(), typed)

    mailbox.last(KNOWN, count=2)

    assert {email.to for email in mailbox.all()} == {KNOWN, DISABLED}, "and the disabled one's is of the registration"
    assert len(mailbox.all(DISABLED)) == 1
    wait_until_posted(peopled_site)
    assert "nobdy" not in repr(table(peopled_site, "outbox_email"))


LOOK_ALIKES = [
    "\u017fusan@example.com",  # long s: its upper case is S
    "su\u017fan@example.com",
    "\uff53usan@example.com",  # full width
    "s\u1d58san@example.com",  # modifier email, NFKC u
    "susan@e\u00d7ample.com",
    "susa\u0274@example.com",
    "susan\u200b@example.com",  # zero width
    "susan@exam\u200bple.com",
    "susan@example\u3002com",  # an ideographic full stop is a dot in a domain
    "susan@\uff45xample.com",
    "susan@exampl\u0435.com",  # Cyrillic
    "SUSAN@EXAMPLE.COM",
    "Susan",
    "\u017fUSAN",
    "susan@example.com\u0000",
    "susan@example.com,evil@example.net",
    "susan@example.com evil@example.net",
    "susan@example.com\r\nBcc: evil@example.net",
    '"susan@example.com"@example.net',
    "evil@example.net <susan@example.com>",
]


@deep
def test_look_alikes_never_mail_another_address(peopled_site: Site, mailbox: Mailbox) -> None:
    """C06: whatever is typed, an email goes to the stored address or to nobody, never to the typed one."""
    statuses = set()

    for hour, typed in enumerate(LOOK_ALIKES):
        with time_machine.travel(START + hour * 3 * 3600):
            statuses.add(ask_for_reset(peopled_site.browser(), typed).status_code)
            wait_until_posted(peopled_site)

    emails = [email.to for email in mailbox.all() if "Reset" in email.subject]
    assert statuses == {200, 422}
    assert len(emails) >= 4, "those that name the same mailbox reach it"
    assert set(emails) == {KNOWN}


@pytest.mark.parametrize(
    "typed", ["", "   ", "su", "susan@", "@example.com", "susan@localhost", "a" * 321, "susan susan"]
)
def test_what_is_neither_a_name_nor_an_address_is_refused_beside_its_field(browser: Browser, typed: str) -> None:
    answer = ask_for_reset(browser, typed)

    assert answer.status_code == 422
    assert 'id="email-error"' in answer.text
    assert 'aria-invalid="true"' in answer.text


def test_the_part_for_htmx_is_the_panel_and_the_page_holds_the_same_form(browser: Browser) -> None:
    part = browser.post("/reset_password_request", data={"email": ""}, headers=HTMX)
    page = browser.post("/reset_password_request", data={"email": ""})

    assert part.text.lstrip().startswith("<section")
    assert part.text.strip() in page.text
    assert page.text.startswith("<!doctype html>")


def test_what_was_typed_is_carried_from_the_log_in_and_shown_as_text(browser: Browser) -> None:
    """C38"""
    page = browser.get("/reset_password_request", params={"email": '"><script>alert(1)</script>'})

    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert(1)" in page.text


@deep
def test_at_most_three_emails_an_hour_reach_a_person_however_the_account_is_named(
    peopled_site: Site, mailbox: Mailbox
) -> None:
    """C10: the name and the address have counts of their own, the person has one."""
    for minute in range(3):
        with time_machine.travel(START + 61 * minute):
            ask_for_reset(peopled_site.browser(), KNOWN)
            ask_for_reset(peopled_site.browser(), "susan")
            wait_until_posted(peopled_site)

    assert len(mailbox.all(KNOWN)) == 1 + 3


@deep
def test_strangers_keep_nobody_from_a_reset_email_in_a_browser_that_is_known(any_site: Site, mailbox: Mailbox) -> None:
    """C04, C10: by name and by address, they use up what an account gets in an hour; the owner's own requests have
    limits of their own.
    """
    known = with_people(any_site, mailbox).browser()
    log_in(known)
    known.post("/logout")
    emails = []
    for minute in range(3):
        with time_machine.travel(START + 61 * minute):
            ask_for_reset(any_site.browser(), KNOWN)
            ask_for_reset(any_site.browser(), "susan")
            wait_until_posted(any_site)
    emails.append(len(mailbox.all(KNOWN, RESET_SUBJECT)))

    with time_machine.travel(START + 700):
        elsewhere = ask_for_reset(any_site.browser(), KNOWN).status_code
        here = ask_for_reset(known, KNOWN).status_code
        at_once = [ask_for_reset(known, typed) for typed in (KNOWN, "susan")]
        of_others = ask_for_reset(known, "dizzy").status_code
        wait_until_posted(any_site)
    emails.append(len(mailbox.all(KNOWN, RESET_SUBJECT)))

    assert (elsewhere, here, of_others) == (429, 200, 200)
    assert [answer.status_code for answer in at_once] == [429, 429]
    assert "still works" in at_once[1].text
    assert emails == [3, 4]


def test_a_site_without_mail_says_so(
    make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[[Settings], Site]
) -> None:
    site = start_site(make_settings(database_url=sqlite_url, mailer="off", admins=("host@blog.example",)))

    page = site.browser().get("/reset_password_request")
    answer = ask_for_reset(site.browser(), "susan")

    assert "sends no email" in page.text
    assert "mailto:host@blog.example" in page.text
    assert answer.status_code == 422
    assert table(site, "outbox_email") == []
