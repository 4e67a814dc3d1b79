"""Registering: the mailbox is proved first, and nobody is told who is here already."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import time_machine

from tests.depth import deep, one_in
from tests.mailbox import Mailbox
from tests.moments import START
from tests.registration.test_invites import invite
from tests.sites import Site
from tests.stories import PASSWORD, is_logged_in, log_in, register, without_token
from tests.watching import disable, execute, statements, table, wait_until_posted
from webapp.accounts import tokens
from webapp.settings import Settings

HTMX = {"hx-request": "true", "hx-request-type": "partial"}
NEW = "new@example.com"


def ask(site: Site, address: str = NEW, **headers: str) -> tuple[int, str]:
    answer = site.browser().post("/register", data={"email": address}, headers=headers)
    return answer.status_code, answer.text


@pytest.fixture
def link(site: Site, mailbox: Mailbox) -> str:
    """The path behind a registration link for a new address."""
    ask(site)
    return mailbox.link(NEW)


def finish(site: Site, link: str, username: str = "susan", password: str = PASSWORD) -> tuple[int, str]:
    answer = site.browser().post(link, data={"username": username, "password": password})
    return answer.status_code, answer.text


def test_there_is_no_account_before_the_mailbox_is_proved(site: Site, mailbox: Mailbox, link: str) -> None:
    before = table(site, "user_account")

    status, text = finish(site, link, "Susan_7")

    assert before == []
    assert status == 200
    assert "Welcome, Susan_7!" in text
    assert execute(site, "SELECT username, username_key, email, epoch FROM user_account") == [
        ("Susan_7", "susan_7", NEW, 0)
    ]


def test_a_person_who_has_registered_is_logged_in_at_once(site: Site, link: str) -> None:
    """C26: in a session of its own; somebody else who was logged in in that browser no longer is."""
    browser = site.browser(follow_redirects=False)
    browser.cookies.set("__Host-session", "planted", domain="blog.example")

    answer = browser.post(link, data={"username": "susan", "password": PASSWORD})

    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert browser.cookies.get("__Host-session", domain="blog.example") != "planted"
    assert is_logged_in(browser)


@deep
@pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx part"])
def test_the_answer_is_the_same_for_an_address_that_has_an_account(
    site: Site, mailbox: Mailbox, headers: dict[str, str]
) -> None:
    """C12: all addresses of one length, because the answer repeats it."""
    register(site.browser(), mailbox, "susan")
    register(site.browser(), mailbox, "dizzy")
    disable(site, "dizzy")

    answers = {name: ask_later(site, f"{name}@example.com", headers) for name in ("nobdy", "susan", "dizzy")}

    plain = {name: (status, without_token(text).replace(name, "{name}")) for name, (status, text) in answers.items()}
    assert plain["susan"] == plain["nobdy"] == plain["dizzy"]


def ask_later(site: Site, address: str, headers: dict[str, str]) -> tuple[int, str]:
    with time_machine.travel(START):
        return ask(site, address, **headers)


@pytest.mark.alike
def test_the_work_is_the_same_for_an_address_that_has_an_account(
    any_site: Site, mailbox: Mailbox, start_site: Callable[[Settings], Site], make_settings: Callable[..., Settings]
) -> None:
    """C12, C02"""
    register(any_site.browser(), mailbox, "susan")
    silent = start_site(make_settings(database_url=any_site.settings.database_url, mailer="process"))
    execute(silent, "DELETE FROM limit_window")
    work = {}

    for name in ("warms", "susan", "nobdy"):
        with statements(silent) as work[name]:
            ask(silent, f"{name}@example.com")

    assert work["susan"] == work["nobdy"]
    assert not any("user_account" in statement for statement in work["susan"])


def test_an_address_that_has_an_account_gets_an_email_that_says_so(site: Site, mailbox: Mailbox) -> None:
    register(site.browser(), mailbox)

    with time_machine.travel(START):
        ask(site, "Susan@Example.com")
        email = mailbox.last("susan@example.com", count=2)

    assert email.subject == "Your registration on Microblog"
    assert "https://blog.example/login" in email.text
    assert "/register/" not in email.text


def test_a_disabled_account_gets_no_email(site: Site, mailbox: Mailbox) -> None:
    register(site.browser(), mailbox)
    disable(site, "susan")

    with time_machine.travel(START):
        ask(site, "susan@example.com")
        wait_until_posted(site)

    assert len(mailbox.all()) == 1


@deep
@pytest.mark.alike
def test_a_name_is_taken_however_it_is_spelled(any_site: Site, mailbox: Mailbox) -> None:
    register(any_site.browser(), mailbox, "Susan")
    ask(any_site)
    link = mailbox.link(NEW)

    answers = [finish(any_site, link, taken) for taken in ("susan", "SUSAN", "Susan", " susan ")]
    after = finish(any_site, link, "susan2")

    for status, text in answers:
        assert status == 422
        assert "That username is taken." in text
        assert 'id="username-error"' in text
        assert PASSWORD not in text
    assert "Welcome, susan2!" in after[1], "the link lives on after a mistake"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "ab",
        "a" * 31,
        "su san",
        "susan!",
        "susan-b",
        "\u017fusan",
        "s\u00fcsan",
        "sus@n",
        "../x",
        "\u0661\u0662\u0663",
    ],
)
@one_in(4)
def test_an_impossible_name_is_refused_beside_its_field(site: Site, link: str, name: str) -> None:
    status, text = finish(site, link, name)

    assert status == 422
    assert 'id="username-error"' in text
    assert table(site, "user_account") == []


@pytest.mark.parametrize("name", ["abc", "a" * 30, "___", "007", "A_z"])
@one_in(3)
def test_every_valid_name_is_accepted(site: Site, link: str, name: str) -> None:
    assert "Welcome" in finish(site, link, name)[1]


@deep
@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("short", "Too short. Use 12 characters or more"),
        ("susansusansusan", "Too easy to guess"),
        ("new@example.com", "Too easy to guess"),
        ("microblogmicroblog", "Too easy to guess"),
        ("a" * 257, "That&#39;s too long. Use 256 characters"),
    ],
)
def test_a_bad_password_is_refused_with_the_reason(site: Site, link: str, password: str, words: str) -> None:
    """C47, C48"""
    status, text = finish(site, link, "susan", password)

    assert status == 422
    assert words in text
    assert 'id="password-error"' in text
    assert 'value="susan"' in text, "the name need not be typed again"


@pytest.mark.alike
def test_a_used_registration_link_says_so(any_site: Site, mailbox: Mailbox) -> None:
    """C16"""
    ask(any_site)
    link = mailbox.link(NEW)
    finish(any_site, link)

    answers = [
        any_site.browser().get(link),
        any_site.browser().post(link, data={"username": "david", "password": PASSWORD}),
    ]

    for answer in answers:
        assert answer.status_code == 410
        assert "This link has been used" in answer.text
        assert 'href="/login"' in answer.text
    assert len(table(any_site, "user_account")) == 1


@pytest.mark.alike
def test_a_used_link_offers_no_log_in_to_whoever_is_logged_in(any_site: Site, mailbox: Mailbox) -> None:
    ask(any_site)
    link = mailbox.link(NEW)
    browser = any_site.browser()
    browser.post(link, data={"username": "susan", "password": PASSWORD})

    pages = [browser.get(path) for path in (link, "/undo_email/cut", "/undo_deletion/cut", "/factor_removal/cut")]

    assert {page.status_code for page in pages} == {404, 410}
    for page in pages:
        assert 'href="/login"' not in page.text
        assert "To the start page" in page.text


def test_an_expired_registration_link_says_so(site: Site, mailbox: Mailbox) -> None:
    """C15"""
    with time_machine.travel(START, tick=False):
        ask(site)
        link = mailbox.link(NEW)

    with time_machine.travel(START + 86399, tick=False):
        in_time = site.browser().get(link)
    with time_machine.travel(START + 86400, tick=False):
        too_late = finish(site, link)

    assert in_time.status_code == 200
    assert too_late[0] == 410
    assert "This link has expired" in too_late[1]
    assert "Register again" in too_late[1]
    assert table(site, "user_account") == []


@pytest.mark.parametrize("cut", [1, 5, 60])
def test_a_mangled_registration_link_says_so(site: Site, link: str, cut: int) -> None:
    status, text = finish(site, link[:-cut])

    assert status == 404
    assert "This link is incomplete" in text
    assert table(site, "user_account") == []


def test_looking_at_a_link_does_not_spend_it(site: Site, link: str) -> None:
    """C20"""
    for method in ("GET", "HEAD", "OPTIONS", "GET"):
        site.browser().request(method, link)

    assert "Welcome" in finish(site, link)[1]


@deep
def test_of_two_who_choose_one_name_at_once_one_gets_it(any_site: Site, mailbox: Mailbox) -> None:
    """The database decides."""
    addresses = [f"person{number}@example.com" for number in range(6)]
    for address in addresses:
        ask(any_site, address)
    links = [mailbox.link(address) for address in addresses]

    with ThreadPoolExecutor(len(links)) as crowd:
        statuses = sorted(status for status, _text in crowd.map(lambda link: finish(any_site, link, "Susan"), links))

    assert statuses == [200] + [422] * 5
    assert len(table(any_site, "user_account")) == 1


@deep
def test_of_twenty_uses_of_one_link_at_once_one_wins(any_site: Site, mailbox: Mailbox) -> None:
    """C17: for registration links, whose use is the account itself."""
    ask(any_site)
    link = mailbox.link(NEW)

    with ThreadPoolExecutor(20) as crowd:
        answers = list(crowd.map(lambda number: finish(any_site, link, f"susan{number}"), range(20)))

    assert {status for status, _text in answers} <= {200, 410, 422}
    assert sum("Welcome" in text for _status, text in answers) == 1
    assert len(table(any_site, "user_account")) == 1


def test_by_invitation_no_email_goes_out_and_an_invitation_opens(
    sqlite_url: str, make_settings: Callable[..., Settings], start_site: Callable[[Settings], Site]
) -> None:
    site = start_site(make_settings(database_url=sqlite_url, registration="invite", admins=("host@blog.example",)))
    invitation = tokens.register_link(site.settings, NEW).partition("blog.example")[2]

    page = site.browser().get("/register")
    status, text = ask(site)
    finished_at = finish(site, invitation)

    assert "You need an invitation" in page.text
    assert "mailto:host@blog.example" in page.text
    assert status == 403
    assert "You need an invitation" in text
    assert table(site, "outbox_email") == []
    assert "Welcome, susan!" in finished_at[1]


def test_one_a_minute_whoever_is_asked_for(site: Site, mailbox: Mailbox) -> None:
    """C04"""
    register(site.browser(), mailbox)
    execute(site, "DELETE FROM limit_window")

    statuses = {
        address: [ask(site, address)[0] for _try in range(2)]
        for address in (NEW, "susan@example.com", "SUSAN2@example.com")
    }

    assert list(statuses.values()) == [[200, 429]] * 3


@deep
def test_one_mailbox_gets_six_an_hour_however_its_address_is_spelled_and_by_whatever_form(
    make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[[Settings], Site]
) -> None:
    """C10: a stranger with a thousand networks sent 498 emails to one mailbox in three minutes."""
    site = start_site(make_settings(database_url=sqlite_url, member_invites=3))
    assert site.mailbox
    member = site.browser()
    register(member, site.mailbox, "bob")
    log_in(member, "bob")
    invitation = invite(member)

    spelled = [
        ask(site, address)[0] for address in ("new@x.org", "n.ew@x.org", "ne.w@x.org", "new+a@x.org", "new+b@x.org")
    ]
    invited = [site.browser().post(invitation, data={"email": f"new+{tag}@x.org"}).status_code for tag in "cd"]
    changed = member.post("/change_email", data={"email": "new+e@x.org", "current_password": PASSWORD}).status_code
    others = [ask(site, address)[0] for address in ("new+f@x.org", "newer@x.org", "new@y.org")]
    wait_until_posted(site)

    assert spelled == [200] * 5
    assert invited == [200, 429]
    assert changed == 429
    assert others == [429, 200, 200]
    assert len([email for email in site.mailbox.all() if email.to.endswith("@x.org")]) == 6 + 1


@deep
def test_emails_of_both_kinds_from_one_client_ip_count_together(site: Site) -> None:
    """C10"""
    browser = site.browser(follow_redirects=False)

    statuses = [
        browser.post(path, data={"email": f"somebody{number}@example.com"}).status_code
        for number in range(11)
        for path in ("/register", "/reset_password_request")
    ]

    assert statuses == [303] * 20 + [429] * 2


def test_an_address_is_stored_in_its_one_form(site: Site, mailbox: Mailbox) -> None:
    """C06"""
    ask(site, " Some.One+tag@B\u00fccher.Example ")
    link = mailbox.link("some.one+tag@xn--bcher-kva.example")

    finish(site, link)

    assert execute(site, "SELECT email FROM user_account") == [("some.one+tag@xn--bcher-kva.example",)]
