"""The gallery shows every kind of email, and names what is wrong with one."""

import re
from collections.abc import Callable

import pytest

from tests.depth import deep, share
from tests.sites import Browser, Site
from tests.watching import fillings
from webapp.mail_preview import lint, samples
from webapp.settings import Settings


@deep
def test_every_kind_of_email_in_every_language_is_free_of_problems(site: Site) -> None:
    every = samples.samples(site.settings, site.app.state.templates)

    assert {sample.template for sample in every} >= {
        "reset_password",
        "register",
        "already_registered",
        "password_changed",
    }
    assert {sample.id: sample.problems for sample in every if sample.problems} == {}


def test_an_email_is_shown_in_every_way(browser: Browser) -> None:
    page = browser.get("/mailbox/gallery/reset_password.en")
    html = browser.get("/mailbox/gallery/reset_password.en/html")
    dark = browser.get("/mailbox/gallery/reset_password.en/html?dark")
    source = browser.get("/mailbox/gallery/reset_password.en/source")

    assert "No problems found" in page.text
    assert "frame-src 'self'" in page.headers["content-security-policy"]
    assert "sandbox" in html.headers["content-security-policy"]
    assert "(prefers-color-scheme: dark)" in html.text
    assert "@media all" in dark.text
    assert source.text.startswith("From: ")


@deep
def test_every_sample_of_the_gallery_can_be_opened_and_is_the_one_that_was_listed(browser: Browser, site: Site) -> None:
    every = samples.samples(site.settings, site.app.state.templates)
    listed = re.findall(r'href="/mailbox/gallery/([^"]+)"', browser.get("/mailbox/gallery").text)

    assert listed == [sample.id for sample in every]
    assert len(set(listed)) == len(listed) > 20
    for sample in share(every, 0, 5):
        found = samples.find(site.settings, site.app.state.templates, sample.id)
        assert found
        assert (found.email.subject, found.email.text_preview) == (sample.email.subject, sample.email.text_preview)
        assert browser.get(f"/mailbox/gallery/{sample.id}").status_code == 200


def test_opening_one_sample_writes_no_other(browser: Browser, site: Site) -> None:
    with fillings(site) as filled:
        browser.get("/mailbox/gallery/mention-2.en")

    assert {name.partition(".")[0] for name in filled if re.match(r"email/[a-z]", name)} == {"email/mention"}


def test_an_unknown_sample_is_not_found(browser: Browser) -> None:
    assert browser.get("/mailbox/gallery/no_such.en").status_code == 404


def test_a_deployed_site_has_no_gallery_and_no_mailbox(
    make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[[Settings], Site]
) -> None:
    browser = start_site(make_settings(database_url=sqlite_url, mailbox=None, mailer="off")).browser()

    assert {browser.get(path).status_code for path in ("/mailbox", "/mailbox/gallery", "/mailbox/1")} == {404}


LINK = "https://blog.example/reset_password/x"
HEAD = (
    "From: a@blog.example\r\nTo: b@example.com\r\nSubject: S\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\n"
    "Message-ID: <1@blog.example>\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
)


def email(text: str, html: str = "", head: str = HEAD, encoding: str = "7bit") -> bytes:
    html = html or f'<html lang="en"><p>{LINK}</p>'
    return (
        f'{head}Content-Type: multipart/alternative; boundary="b"\r\n\r\n'
        f"--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n{text}\r\n"
        f"--b\r\nContent-Type: text/html\r\n\r\n{html}\r\n--b--\r\n"
    ).encode()


def test_a_sound_email_has_no_problems(make_settings: Callable[..., Settings]) -> None:
    assert lint.problems(email(f"Hello\r\n\r\n{LINK}\r\n"), make_settings()) == []


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        (email(f"Choose it here: {LINK}"), "A link is not alone on its line"),
        (email(f"Until 2 March 2026 g..\r\n\r\n{LINK}"), "two full stops"),
        (email("https://evil.example/x", '<html lang="en">https://evil.example/x'), "A link leads to another host"),
        (email(LINK, '<html lang="en">nothing'), "The HTML does not have the link"),
        (email(LINK, f'<html lang="en">{LINK}<img src="https://x.example/p">'), "loads something from outside"),
        (email(LINK, f"<html>{LINK}"), "does not say its language"),
        (email(LINK, head=HEAD.replace("Auto-Submitted", "X-Nothing")), "The header Auto-Submitted is missing"),
        (email(f"{LINK}\r\n{'x' * 999}"), "A line is longer than 998 bytes"),
        (email(LINK, encoding="quoted-printable"), "A part is quoted-printable"),
        (f"{HEAD}Content-Type: text/html\r\n\r\n<html lang='en'>".encode(), "There is no text part"),
    ],
)
def test_each_problem_is_named(make_settings: Callable[..., Settings], source: bytes, fault: str) -> None:
    assert fault in " ".join(lint.problems(source, make_settings()))
