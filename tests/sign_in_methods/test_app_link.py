"""Setting up an authenticator app begins with an email: the password alone sets up none."""

import re
from collections.abc import Callable

import pytest

from tests.addresses.steps import signed_in
from tests.depth import deep
from tests.factors.steps import APP, App, app_page, scan, set_up_app, setup_field
from tests.mailbox import Mailbox
from tests.sites import Browser, Site
from tests.stories import log_in, register
from tests.watching import execute, wait_until_posted
from webapp.accounts import tokens
from webapp.accounts.tokens import Purpose
from webapp.settings import Settings

SUSAN, SUBJECT = "susan@example.com", "Set up an authenticator app"


@pytest.fixture
def susan(site: Site, mailbox: Mailbox) -> Browser:
    return signed_in(site, mailbox)


def typed(page: str) -> tuple[App, dict[str, str]]:
    app = scan(page)
    return app, {"setup": setup_field(page), "code": app.code(), "recovery_code": app.codes[0]}


@deep
def test_its_link_leads_to_the_secret_and_the_codes(site: Site, susan: Browser, mailbox: Mailbox) -> None:
    asked = susan.post(APP)
    link = mailbox.link(SUSAN, subject=SUBJECT)

    _app, fields = typed(susan.get(link).text)

    assert "Check your email" in asked.text
    assert "Your authenticator app is set up" in susan.post(link, data=fields).text


@deep
def test_so_does_its_code_where_it_was_asked_for(site: Site, susan: Browser, mailbox: Mailbox) -> None:
    """The email is on the phone, the computer is where susan is logged in."""
    page = susan.post(APP)
    [code] = re.findall(r"^(\d{4} \d{4})$", mailbox.last(SUSAN, subject=SUBJECT).text, re.MULTILINE)
    behind = f"{page.url.path}/code"
    elsewhere = site.browser()
    log_in(elsewhere)

    assert "only in the browser where you asked" in elsewhere.post(behind, data={"code": code}).text
    assert "That code isn&#39;t right" in susan.post(behind, data={"code": "1234 5678"}).text
    assert scan(susan.post(behind, data={"code": code}).text).codes


@deep
def test_a_thief_of_the_password_sees_no_secret_and_sets_up_nothing(site: Site, susan: Browser) -> None:
    thief = site.browser()
    log_in(thief)
    thiefs_own = site.browser()
    register(thiefs_own, site.mailbox, "mallory")  # type: ignore[arg-type]
    log_in(thiefs_own, "mallory")
    path = app_page(thiefs_own)
    _app, fields = typed(thiefs_own.get(path).text)

    begun = thief.get(APP).text
    answers = [
        thief.get(path),
        thief.post(path, data=fields),
        thief.post("/authenticator_app/x", data=fields),
        thief.post(APP),
    ]

    assert "secret" not in begun
    assert [answer.status_code for answer in answers][:3] == [403, 403, 404]
    assert "This link is for another account" in answers[0].text
    assert not any("qr" in answer.text for answer in answers)
    assert log_in(site.browser()).url.path == "/"


@deep
def test_a_link_of_another_kind_does_not_do(site: Site, susan: Browser) -> None:
    """C14"""
    issued = {each: tokens.issue(site.settings, each, 1, tokens.APP_LIFETIME) for each in Purpose}

    statuses = {made_for: susan.get(f"/authenticator_app/{token}").status_code for made_for, token in issued.items()}

    assert statuses == {made_for: 200 if made_for is Purpose.ADD_APP else 404 for made_for in Purpose}


def test_the_link_ends_with_the_epoch_but_a_page_that_is_open_may_be_sent(
    site: Site, susan: Browser, mailbox: Mailbox
) -> None:
    path = app_page(susan)
    susan.post("/sessions/end_others")

    assert "This link has been used" in susan.get(path).text
    assert set_up_app(susan).codes
    assert susan.get(path).url.path == "/sign-in_methods/app/remove"


@deep
def test_a_site_without_mail_takes_the_password_alone(
    make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[[Settings], Site]
) -> None:
    """As there is no other proof; else nobody could have an app there."""
    site = start_site(make_settings(database_url=sqlite_url, mailer="off"))
    path = tokens.register_link(site.settings, SUSAN).removeprefix(site.settings.base_url)
    browser = site.browser()
    browser.post(path, data={"username": "susan", "password": "the fat cat sat on the mat"})

    page = browser.get(APP)

    assert "Your authenticator app is set up" in browser.post(page.url.path, data=typed(page.text)[1]).text


@deep
def test_who_was_logged_out_has_no_more_of_them_sent(site: Site, susan: Browser, mailbox: Mailbox) -> None:
    """C68: the page that waits for the email outlives the session. Its button did, too."""
    log_in(thief := site.browser())
    waiting = thief.post(APP).url.path
    mailbox.last(SUSAN, subject=SUBJECT)
    execute(site, "DELETE FROM limit_window")
    assert thief.post(waiting).status_code == 200
    mailbox.last(SUSAN, subject=SUBJECT, count=2)

    susan.post("/sessions/end_others")
    execute(site, "DELETE FROM limit_window")
    assert thief.post(waiting, data={"again": "1"}).status_code == 200

    wait_until_posted(site)
    assert len(mailbox.all(SUSAN, SUBJECT)) == 2
