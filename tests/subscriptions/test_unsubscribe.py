"""The link that turns emails off: with a press of the page's button, or by the mail program's own (RFC 8058)."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine

from tests.depth import deep, one_in
from tests.mailbox import Mailbox
from tests.people.crowd import arrive
from tests.posts.wall import say
from tests.sites import Browser, Site
from tests.stories import log_in, register
from tests.watching import ask, execute, standing_site, wait_until_posted
from webapp.accounts import tokens
from webapp.accounts.tokens import Purpose
from webapp.database import now
from webapp.notifications import switches

KIND = "mention"
BOUNDARY = "multipart/form-data; boundary=x"
MULTIPART = b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n'
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def site(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with susan, whom bob has mentioned."""
    with standing_site(migrated_sqlite, tmp_path_factory.mktemp("site")) as site:
        assert site.mailbox
        register(site.browser(), site.mailbox)
        bob = arrive(site, "bob")
        mention_susan(site, bob)
        yield site


def mention_susan(site: Site, bob: Browser) -> None:
    """All emails about it have left afterwards."""
    say(bob, "Hello @susan")
    with time_machine.travel(now() + timedelta(seconds=70)):
        site.run(ring, site)
        wait_until_posted(site)


async def ring(site: Site) -> None:
    site.app.state.database.wake.set()


@pytest.fixture
def link(site: Site) -> str:
    """The path behind the link in an email's header, as a mail program finds it; nothing is chosen yet."""
    assert site.mailbox
    execute(site, "DELETE FROM email_switch")
    email = site.mailbox.last("susan@example.com", subject="bob mentioned you")
    return str(email.message["List-Unsubscribe"]).strip("<>").removeprefix("https://blog.example")


def chosen(site: Site) -> list[tuple[int, str, bool]]:
    rows = execute(site, "SELECT user_id, kind, is_wanted FROM email_switch")
    return [(user_id, kind, bool(is_wanted)) for user_id, kind, is_wanted in rows]


@deep
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (FORM, b"List-Unsubscribe=One-Click"),
        (BOUNDARY, MULTIPART),
        (BOUNDARY, b"cut off"),
        ("multipart/form-data", b""),
        ("", b""),
        ("", b"List-Unsubscribe=One-Click"),
        ("application/json", b"{"),
        (FORM, b"a=1&a=2&kind=password_changed&%00=%ff"),
        ("text/plain", b"\xff" * 60_000),
    ],
)
@one_in(3)
def test_a_mail_program_turns_emails_off_with_one_click(site: Site, link: str, content_type: str, body: bytes) -> None:
    """RFC 8058: no cookie, no Origin, no redirect, whatever the body."""
    headers = [("host", "blog.example"), ("content-length", str(len(body)))]

    answer = ask(site, "POST", link, [*headers, *([("content-type", content_type)] if content_type else [])], body)

    assert answer.status == 200
    assert chosen(site) == [(1, KIND, False)]


def test_a_kind_of_email_that_was_turned_off_no_longer_comes(site: Site, link: str) -> None:
    assert site.mailbox
    before = len(site.mailbox.all("susan@example.com", "bob mentioned you"))
    site.browser().post(link)

    bob = site.browser()
    log_in(bob, "bob")
    mention_susan(site, bob)

    assert len(site.mailbox.all("susan@example.com", "bob mentioned you")) == before == 1


def test_looking_turns_nothing_off(site: Site, link: str) -> None:
    """C31: mail scanners open links."""
    answers = [site.browser().request(method, link) for method in ("GET", "HEAD", "OPTIONS")]

    assert answers[0].status_code == 200
    assert "Turn these emails off?" in answers[0].text
    assert "Mentions of you" in answers[0].text
    assert chosen(site) == []


@pytest.mark.alike
def test_turning_off_twice_is_off_and_turning_on_again_is_on(any_site: Site, mailbox: Mailbox) -> None:
    register(any_site.browser(), mailbox)
    link = switches.unsubscribe_link(any_site.settings, 1, KIND, "susan@example.com").removeprefix(
        "https://blog.example"
    )
    browser = any_site.browser()

    pages = [browser.post(path).text for path in (link, link, f"{link}/again")]

    assert ["These emails are off" in page for page in pages] == [True, True, False]
    assert "These emails are on again" in pages[2]
    assert chosen(any_site) == [(1, KIND, True)]


def test_the_button_brings_a_part_of_the_page(site: Site, link: str) -> None:
    headers = {"hx-request": "true", "hx-request-type": "partial", "sec-fetch-site": "same-origin"}

    answer = site.browser().post(link, headers=headers)

    assert answer.text.strip().startswith('<section class="panel" id="panel"')
    assert chosen(site) == [(1, KIND, False)]


@pytest.mark.parametrize("headers", [{"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}])
def test_another_site_turns_nothing_off(site: Site, link: str, headers: dict[str, str]) -> None:
    """C29"""
    answer = site.browser().post(link, headers=headers)

    assert answer.status_code == 403
    assert chosen(site) == []


@pytest.mark.parametrize("about", ["new_sign_in", "password_changed", "no_such_email", ""])
def test_a_link_about_any_other_email_turns_nothing_off(site: Site, link: str, about: str) -> None:
    """Also about one whose switch takes the password."""
    token = tokens.issue(site.settings, Purpose.UNSUBSCRIBE, 1, timedelta(days=1), about=about)

    answer = site.browser().post(f"/unsubscribe/{token}")

    assert answer.status_code == 404
    assert "This link is incomplete" in answer.text
    assert chosen(site) == []


def test_a_link_of_an_account_that_is_gone_says_so_calmly(site: Site) -> None:
    link = switches.unsubscribe_link(site.settings, 99, KIND, "susan@example.com").removeprefix("https://blog.example")

    assert site.browser().post(link).status_code == 410


def test_the_link_works_for_a_year(site: Site, link: str) -> None:
    for days, status in ((364, 200), (366, 410)):
        with time_machine.travel(now() + timedelta(days=days)):
            assert site.browser().get(link).status_code == status


def test_it_works_after_the_password_and_the_address_have_changed(site: Site, link: str) -> None:
    """It opens nothing, so nothing need end it. Whoever reads the former mailbox doesn't see a new username."""
    execute(site, "UPDATE user_account SET epoch = 7, email = 'susan@example.org', username = 'sue' WHERE id = 1")

    answer = site.browser().post(link)

    assert "sue" not in answer.text
    assert "Turn them on again" not in answer.text
    assert chosen(site) == [(1, KIND, False)]


def test_whoever_reads_the_former_mailbox_turns_nothing_on(site: Site, link: str) -> None:
    execute(site, "UPDATE user_account SET email = 'susan@example.net' WHERE id = 1")
    site.browser().post(link)

    again = site.browser().post(f"{link}/again")

    assert again.status_code == 410
    assert "This link only turns emails off" in again.text
    assert chosen(site) == [(1, KIND, False)]
