"""Saying "this wasn't me", as every security email offers: it ends everything, and locks the password."""

import time
from collections.abc import Callable

import pytest
import time_machine

from tests.addresses.steps import NEW, change, links
from tests.depth import deep
from tests.mailbox import Mailbox, link_in, paths_in
from tests.moments import START
from tests.sites import Browser, Site
from tests.stories import (
    NEW_PASSWORD,
    ask_for_reset,
    forget_and_find_link,
    is_logged_in,
    log_in,
    register,
    without_token,
)
from tests.watching import disable, dump, execute, statements, table, wait_until_posted
from webapp.accounts import tokens
from webapp.settings import Settings

HTMX = {"hx-request": "true", "hx-request-type": "partial"}
SUSAN = "susan@example.com"


@pytest.fixture
def link(susan: Browser, mailbox: Mailbox) -> str:
    """The path behind a reset link that somebody had sent to susan."""
    return forget_and_find_link(susan, mailbox)


@pytest.fixture
def not_me(link: str, mailbox: Mailbox) -> str:
    """The path behind "this wasn't me" in the same email."""
    return not_me_in(mailbox.last(SUSAN, count=2).text)


def not_me_in(text: str) -> str:
    """The path behind "this wasn't me" in an email."""
    return next(path for path in paths_in(text) if path.startswith("/not_me/"))


@deep
def test_looking_at_the_page_changes_nothing(site: Site, not_me: str) -> None:
    """C20, C31: whatever a mail scanner does with the link."""
    before = dump(site)

    page = site.browser().get(not_me)
    for method in ("HEAD", "OPTIONS", "GET"):
        site.browser().request(method, not_me)

    assert dump(site) == before
    assert "A link to choose a new password" in page.text
    assert "susan" in page.text
    assert SUSAN not in page.text


@deep
@pytest.mark.alike
def test_it_ends_every_link_and_every_session(any_site: Site, susan: Browser, link: str, not_me: str) -> None:
    """C19"""
    elsewhere = any_site.browser()
    log_in(elsewhere, remember_me="1")

    answer = any_site.browser().post(not_me)

    assert "Your account is locked" in answer.text
    assert "stay as somebody else may have left them" in answer.text
    assert any_site.browser().post(link, data={"password": NEW_PASSWORD}).status_code == 410
    assert [is_logged_in(browser) for browser in (susan, elsewhere)] == [False, False]


@pytest.mark.alike
def test_it_locks_the_password_until_the_owner_sets_a_new_one(any_site: Site, mailbox: Mailbox, not_me: str) -> None:
    """C68: who knows the password is told, in known browsers and new ones, by name and by address."""
    any_site.browser().post(not_me)

    by_name, by_address = log_in(any_site.browser()), log_in(any_site.browser(), SUSAN)
    link = mailbox.link(SUSAN, count=3)
    any_site.browser().post(link, data={"password": NEW_PASSWORD})

    for answer in (by_name, by_address):
        assert answer.status_code == 422
        assert "This account is waiting for its owner to set a new password by email." in answer.text
    assert "We&#39;ve just sent the link to its email." in by_name.text
    assert "You can ask again in " in by_address.text, "no more than one email a minute"
    assert log_in(any_site.browser()).status_code == 422
    assert log_in(any_site.browser(), password=NEW_PASSWORD).url.path == "/"


@deep
@pytest.mark.alike
def test_nobody_else_learns_that_the_password_is_locked(any_site: Site, not_me: str) -> None:
    """C12, C68: a wrong password gets the same words, bytes and statements as before, and as nobody's."""
    seen = []
    for name in ("susan", "susan", "nobdy"):
        with statements(any_site) as asked:
            answer = log_in(any_site.browser(), name, "not the right password")
        seen.append((answer.status_code, answer.text.replace(name, "NAME"), asked))
        if len(seen) == 1:
            any_site.browser().post(not_me)

    assert seen[0] == seen[1] == seen[2]
    assert "match" in seen[0][1]


@deep
def test_it_works_without_cookies_and_whoever_is_logged_in(
    site: Site, mailbox: Mailbox, link: str, not_me: str
) -> None:
    other = site.browser(follow_redirects=False)
    register(site.browser(), mailbox, "david")
    log_in(other, "david")

    answer = other.post(not_me)
    other.cookies.clear()
    page = other.get(not_me)

    assert (answer.status_code, answer.headers["location"]) == (303, not_me)
    assert "Nobody is logged in to susan any more" in page.text
    assert site.browser().get(link).status_code == 410


@deep
def test_pressing_twice_is_pressing_once(site: Site, not_me: str) -> None:
    site.browser().post(not_me)
    before = table(site, "user_account"), table(site, "security_event")

    answer = site.browser().post(not_me)

    assert "Your account is locked" in answer.text
    assert (table(site, "user_account"), table(site, "security_event")) == before


@deep
def test_a_later_email_can_be_reported_again(site: Site, mailbox: Mailbox, not_me: str) -> None:
    site.browser().post(not_me)
    with time_machine.travel(time.time() + 5):
        site.browser().post(f"{not_me}/email")
        email = mailbox.last(SUSAN, count=3)
        link = link_in(email.text)

        page = site.browser().get(not_me_in(email.text))
        site.browser().post(not_me_in(email.text))

    assert "to lock the account until you choose a new password by email" in page.text
    assert site.browser().get(link).status_code == 410


def test_this_wasnt_me_is_in_the_audit_log(site: Site, susan: Browser, not_me: str) -> None:
    site.browser("203.0.113.99").post(not_me)

    told = execute(site, "SELECT kind, client_ip, details FROM security_event ORDER BY id DESC LIMIT 2")
    assert told == [
        ("sessions_ended", "203.0.113.99", '{"ended": 1}'),
        ("disowned", "203.0.113.99", '{"letter": "reset_password"}'),
    ]


@pytest.mark.parametrize("typed", [SUSAN, "susan"])
@deep
def test_for_a_day_nobody_can_have_reset_emails_sent(site: Site, mailbox: Mailbox, not_me: str, typed: str) -> None:
    with time_machine.travel(START):
        site.browser().post(not_me)
    arrived = []

    for hours in (1, 23.9, 24.1):
        with time_machine.travel(START + hours * 3600):
            ask_for_reset(site.browser(), typed)
            wait_until_posted(site)
            arrived.append(len(mailbox.all(SUSAN)) - 2)

    assert arrived == [0, 0, 1]


@deep
def test_for_a_day_a_registration_sends_none_either(site: Site, mailbox: Mailbox, not_me: str) -> None:
    with time_machine.travel(START):
        site.browser().post(not_me)
    arrived = []

    for hours in (1, 23.9, 24.1):
        with time_machine.travel(START + hours * 3600):
            answer = site.browser().post("/register", data={"email": SUSAN})
            wait_until_posted(site)
        assert "Check your email" in answer.text, "who asks sees no difference"
        arrived.append(len(mailbox.all(SUSAN)) - 2)

    assert arrived == [0, 0, 1]


@deep
def test_an_old_reset_link_is_no_way_round_the_pause(site: Site, mailbox: Mailbox, link: str, not_me: str) -> None:
    site.browser().post(not_me)

    answer = site.browser().post(f"{link}/renew", headers=HTMX)
    wait_until_posted(site)

    assert "only the button on that page sends a link" in answer.text, "whoever waited for one would wait in vain"
    assert len(mailbox.all(SUSAN)) == 2


@deep
def test_somebody_who_asks_for_a_reset_sees_no_difference(
    site: Site,
    not_me: str,
    start_site: Callable[[Settings], Site],
    make_settings: Callable[..., Settings],
) -> None:
    """C01, C02: the same answer and the same statements before and during the pause."""
    silent = start_site(make_settings(database_url=site.settings.database_url, mailer="process"))
    seen = []

    for second in (0, 100):
        with time_machine.travel(START + second, tick=False), statements(silent) as asked:
            answer = silent.browser().post("/reset_password_request", data={"email": SUSAN}, headers=HTMX)
        headers = {name: without_token(value) for name, value in answer.headers.items()}
        seen.append((answer.status_code, without_token(answer.text), headers, asked))
        silent.browser().post(not_me)

    assert seen[0] == seen[1]
    assert any("INSERT INTO outbox_email" in statement for statement in seen[0][3])


@deep
def test_who_was_logged_in_sees_at_the_top_that_it_is_over(susan: Browser, not_me: str) -> None:
    """Under htmx only the part below the header was new, and the header still showed who was logged in."""
    answer = susan.post(not_me, headers=HTMX)

    assert answer.headers["hx-redirect"] == not_me
    page = susan.get(not_me).text
    assert "Your account is locked" in page
    assert 'data-user=""' in page


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])
@deep
def test_the_person_gets_a_link_in_spite_of_the_pause(
    site: Site, mailbox: Mailbox, susan: Browser, not_me: str, headers: dict[str, str]
) -> None:
    site.browser().post(not_me)

    answer = site.browser().post(f"{not_me}/email", headers=headers)

    assert "We've just sent a new link to the email on your account" in answer.text
    assert SUSAN not in answer.text
    fresh = mailbox.link(SUSAN, count=3)
    assert site.browser().post(fresh, data={"password": NEW_PASSWORD}).url.path == "/login"
    assert not is_logged_in(susan)


@deep
def test_the_persons_email_comes_though_strangers_have_used_up_the_hours_emails(site: Site, mailbox: Mailbox) -> None:
    """C10: three emails an hour for whoever asks, and the person's own beside them."""
    register(site.browser(), mailbox)
    for minute in range(3):
        with time_machine.travel(START + 61 * minute):
            ask_for_reset(site.browser(), SUSAN)
            mailbox.last(SUSAN, count=minute + 2)

    with time_machine.travel(START + 200):
        not_me = not_me_in(mailbox.last(SUSAN).text)
        site.browser().post(f"{not_me}/email")

        assert mailbox.last(SUSAN, count=5).subject == "Reset your password on Microblog"


@deep
def test_the_persons_emails_are_limited_too(site: Site, not_me: str) -> None:
    """C10"""
    statuses = []
    for second in (0, 1, 61, 122, 183):
        with time_machine.travel(START + second, tick=False):
            statuses.append(site.browser(follow_redirects=False).post(f"{not_me}/email").status_code)

    assert statuses == [303, 429, 303, 303, 429]


@deep
def test_it_restores_an_address_that_was_changed_since(any_site: Site, mailbox: Mailbox, not_me: str) -> None:
    """C68: else the link with which the owner gets back in would be mailed to the thief."""
    thief = any_site.browser()
    log_in(thief)
    change(thief, mailbox)

    page = any_site.browser().get(not_me)
    any_site.browser().post(f"{not_me}/email")
    answer = any_site.browser().post(not_me)
    any_site.browser().post(f"{not_me}/email")

    assert "Its email has been changed since. It'll be yours again." in page.text
    assert "Your account is locked" in answer.text
    assert "This account is waiting for its owner" in log_in(any_site.browser()).text
    assert execute(any_site, "SELECT email FROM user_account") == [(SUSAN,)]
    assert links(mailbox, SUSAN, "/reset_password/", 3)
    wait_until_posted(any_site)
    assert links(mailbox, NEW, "/reset_password/", 0) == []
    any_site.browser().post(links(mailbox, SUSAN, "/reset_password/")[0], data={"password": NEW_PASSWORD})
    assert log_in(any_site.browser(), password=NEW_PASSWORD).url.path == "/"


@deep
def test_pressed_again_after_the_reset_it_locks_again(site: Site, mailbox: Mailbox, not_me: str) -> None:
    """Somebody has got in again: the email at hand must not claim that all is well."""
    site.browser().post(not_me)
    site.browser().post(f"{not_me}/email")
    site.browser().post(mailbox.link(SUSAN, count=3), data={"password": NEW_PASSWORD})
    thief = site.browser()
    log_in(thief, password=NEW_PASSWORD)

    page, was_in = site.browser().get(not_me), is_logged_in(thief)
    site.browser().post(not_me)

    assert "Press the button" in page.text
    assert (was_in, is_logged_in(thief)) == (True, False)


@deep
def test_no_change_of_the_account_kills_the_link(site: Site, link: str, not_me: str) -> None:
    """A hijacker has set a password of their own, and is logged in with it."""
    site.browser().post(link, data={"password": NEW_PASSWORD})
    hijacker = site.browser()
    log_in(hijacker, password=NEW_PASSWORD)

    site.browser().post(not_me)

    assert not is_logged_in(hijacker)


@deep
def test_the_notice_of_a_change_offers_it(site: Site, mailbox: Mailbox, link: str) -> None:
    site.browser().post(link, data={"password": NEW_PASSWORD})

    page = site.browser().get(not_me_in(mailbox.last(SUSAN, count=3).text))

    assert "The password was changed" in page.text


@deep
@pytest.mark.parametrize(("hours", "status"), [(71.99, 200), (72, 410)])
def test_the_link_works_for_three_days(site: Site, mailbox: Mailbox, hours: float, status: int) -> None:
    """C15"""
    register(site.browser(), mailbox)
    with time_machine.travel(START, tick=False):
        ask_for_reset(site.browser(), SUSAN)
        not_me = not_me_in(mailbox.last(SUSAN, count=2).text)

    with time_machine.travel(START + hours * 3600, tick=False):
        answer = site.browser().post(not_me)

    assert answer.status_code == status
    assert ("This link has expired" in answer.text) == (status == 410)
    assert status == 200 or 'href="/reset_password_request"' in answer.text


@pytest.mark.parametrize("path", ["{link}", "{link}/email"])
@deep
def test_a_link_that_is_cut_off_says_so(site: Site, mailbox: Mailbox, not_me: str, path: str) -> None:
    """C13"""
    answer = site.browser().post(path.format(link=not_me[:-4]))
    wait_until_posted(site)

    assert answer.status_code == 404
    assert "This link is incomplete" in answer.text
    assert len(mailbox.all(SUSAN)) == 2


def test_a_disabled_account_is_left_alone(site: Site, mailbox: Mailbox, not_me: str) -> None:
    disable(site, "susan")
    before = table(site, "user_account")

    statuses = [site.browser().post(path).status_code for path in (not_me, f"{not_me}/email")]
    wait_until_posted(site)

    assert statuses == [410, 410]
    assert table(site, "user_account") == before
    assert len(mailbox.all(SUSAN)) == 2


def test_a_deleted_account_has_no_such_page(site: Site, not_me: str) -> None:
    execute(site, "DELETE FROM user_account")

    assert site.browser().post(not_me).status_code == 410


@deep
def test_a_site_without_mail_offers_no_email(
    make_settings: Callable[..., Settings], sqlite_url: str, site: Site, not_me: str, start_site: Callable[..., Site]
) -> None:
    silent = start_site(make_settings(database_url=sqlite_url, mailer="off"))

    page = silent.browser().post(not_me)
    answer = silent.browser().post(f"{not_me}/email")

    assert "Email me a link" not in page.text
    assert answer.status_code == 422


def test_an_unknown_event_has_words_too(site: Site, susan: Browser) -> None:
    path = tokens.not_me_link(site.settings, 1, "an_email_of_tomorrow", SUSAN).removeprefix("https://blog.example")

    assert "Another email" in site.browser().get(path).text


@deep
def test_the_account_stays_locked_when_the_pause_is_over(site: Site, not_me: str) -> None:
    site.browser().post(not_me)

    with time_machine.travel(time.time() + 25 * 3600):
        page, answer = site.browser().get(not_me), log_in(site.browser())

    assert "Your account is locked" in page.text
    assert "until:" not in page.text
    assert "This account is waiting for its owner" in answer.text
