"""The mailbox page of a development site, and that no deployed site has one."""

from collections.abc import Callable
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import pytest

from tests.depth import one_in
from tests.mailbox import Mailbox, link_in
from tests.mailserver import MailServer
from tests.sites import Browser, Site
from tests.stories import ask_for_reset, register
from webapp.mail_preview.inbox import KEPT, MailboxTransport
from webapp.settings import Settings

HOSTILE = """<script>alert(1)</script> "onmouseover='x' </pre></iframe> {{7*7}}"""


@pytest.fixture
def hostile_email(site: Site) -> str:
    """An email with hostile content in every place, in the site's mailbox; its id."""
    message = EmailMessage(policy=SMTP)
    message["From"] = '"<b>Mallory</b>" <mallory@example.net>'
    message["To"] = "susan@example.com"
    message["Subject"] = HOSTILE
    message["Date"] = "Sun, 22 Nov 2026 09:00:00 +0000"
    message.set_content(f'{HOSTILE}\n\nhttps://blog.example/"><script>alert(2)</script>\n\njavascript:alert(3)\n')
    message.add_alternative(f"<html><head></head><body>{HOSTILE}<form action=/logout></form></body></html>", "html")
    return keep(site, message)


def keep(site: Site, message: EmailMessage) -> str:
    folder = site.settings.mailbox
    assert folder is not None
    site.run(MailboxTransport(folder).deliver, "susan@example.com", message.as_bytes())
    return max(file.stem for file in folder.glob("*.eml"))


def open_email(browser: Browser, mailbox: Mailbox, suffix: str = "") -> str:
    return browser.get(f"/mailbox/{mailbox.last().id}{suffix}").text


def test_an_empty_mailbox_says_so(browser: Browser) -> None:
    page = browser.get("/mailbox")

    assert page.status_code == 200
    assert "No emails yet." in page.text


def test_emails_are_listed_newest_first(browser: Browser, mailbox: Mailbox) -> None:
    register(browser, mailbox)
    ask_for_reset(browser)
    mailbox.last(count=2)

    page = browser.get("/mailbox").text

    assert 0 < page.index("Reset your password") < page.index("Your registration")
    assert page.count("susan@example.com") >= 2


def test_an_email_shows_its_text_its_headers_and_its_link(browser: Browser, mailbox: Mailbox) -> None:
    browser.post("/register", data={"email": "susan@example.com"})

    page = open_email(browser, mailbox)
    url = f"https://blog.example{link_in(mailbox.last().text)}"

    assert f'<a href="{url}">{url}</a>' in page
    assert "Your registration on Microblog" in page
    assert "Auto-Submitted" in page
    assert f'src="/mailbox/{mailbox.last().id}/html"' in page
    assert browser.get(url).status_code == 200


def test_the_source_is_the_email_byte_for_byte(browser: Browser, mailbox: Mailbox) -> None:
    browser.post("/register", data={"email": "susan@example.com"})
    email = mailbox.last()

    source = browser.get(f"/mailbox/{email.id}/source")

    assert source.content == email.source
    assert source.headers["content-type"].startswith("text/plain")
    assert source.headers["x-content-type-options"] == "nosniff"


def test_the_html_of_an_email_runs_no_script_and_loads_nothing(browser: Browser, mailbox: Mailbox) -> None:
    browser.post("/register", data={"email": "susan@example.com"})

    answer = browser.get(f"/mailbox/{mailbox.last().id}/html")
    policy = [part.strip() for part in answer.headers["content-security-policy"].split(";")]

    assert {"default-src 'none'", "frame-ancestors 'self'"} <= set(policy)
    assert not any(part.startswith(("script-src", "connect-src", "form-action")) for part in policy)
    (sandbox,) = [part for part in policy if part.startswith("sandbox")]
    assert not {"allow-scripts", "allow-same-origin", "allow-forms"} & set(sandbox.split())
    assert answer.headers["content-type"].startswith("text/html")


def test_the_frame_of_an_email_may_do_no_more_than_the_email(browser: Browser, mailbox: Mailbox) -> None:
    browser.post("/register", data={"email": "susan@example.com"})

    answer = browser.get(f"/mailbox/{mailbox.last().id}")

    assert "frame-src 'self'" in answer.headers["content-security-policy"]
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert 'sandbox="' in answer.text
    assert "allow-scripts" not in answer.text
    assert "allow-same-origin" not in answer.text


@pytest.mark.parametrize("where", ["", "/{id}"])
def test_hostile_content_is_shown_as_text(browser: Browser, hostile_email: str, where: str) -> None:
    """C38"""
    page = browser.get("/mailbox" + where.format(id=hostile_email))

    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert "<b>Mallory" not in page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text
    assert "{{7*7}}" in page.text
    assert 'href="javascript:' not in page.text


@pytest.mark.parametrize(
    "email_id",
    ["unknown", "%2e%2e", "..%2fsite.db", "*", "[a-z]*", "20261122", "x" * 300, "%00", "a%0d%0ab", "%ff"],
)
@pytest.mark.parametrize("suffix", ["", "/html", "/source"])
@one_in(4)
def test_an_unknown_email_is_not_found(browser: Browser, hostile_email: str, email_id: str, suffix: str) -> None:
    answer = browser.get(f"/mailbox/{email_id}{suffix}")

    assert answer.status_code == 404


def test_htmx_gets_the_list_alone(browser: Browser, hostile_email: str) -> None:
    headers = {"hx-request": "true", "hx-request-type": "partial"}

    part = browser.get("/mailbox", headers=headers).text

    assert "<html" not in part
    assert 'id="emails"' in part
    assert hostile_email in part


def test_an_email_half_written_is_not_listed(browser: Browser, site: Site) -> None:
    folder = site.settings.mailbox
    assert folder is not None
    folder.mkdir(exist_ok=True)
    (folder / "20261122.part").write_bytes(b"Subject: half")

    assert "No emails yet." in browser.get("/mailbox").text


def test_old_emails_make_room(site: Site) -> None:
    folder = site.settings.mailbox
    assert folder is not None
    folder.mkdir(exist_ok=True)
    for number in range(KEPT + 5):
        (folder / f"20200101{number:04}.eml").write_bytes(b"Subject: old\r\n\r\n")
    message = EmailMessage(policy=SMTP)
    message["Subject"] = "new"

    newest = keep(site, message)

    names = {file.stem for file in folder.glob("*.eml")}
    assert len(names) == KEPT
    assert newest in names
    assert "202001010000" not in names


def test_an_email_that_made_room_while_the_mailbox_was_read_is_left_out(site: Site, browser: Browser) -> None:
    folder = site.settings.mailbox
    assert folder is not None
    folder.mkdir(exist_ok=True)
    (folder / "20200101.eml").symlink_to("gone")  # as if it were deleted between the listing and the reading
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"], message["Date"] = "a@example.com", "b@example.com", "Sun, 22 Nov 2026 09:00 +0000"
    message["Subject"] = "The one that is there"
    keep(site, message)

    page = browser.get("/mailbox")

    assert page.status_code == 200
    assert "The one that is there" in page.text
    assert browser.get("/mailbox/20200101").status_code == 404


@pytest.mark.parametrize("path", ["/mailbox", "/mailbox/x", "/mailbox/x/html", "/mailbox/x/source"])
def test_a_deployed_site_has_no_mailbox(
    sqlite_url: str,
    make_settings: Callable[..., Settings],
    start_site: Callable[[Settings], Site],
    mail_server: MailServer,
    path: str,
) -> None:
    site = start_site(make_settings(database_url=sqlite_url, **mail_server.settings))

    answer = site.browser().get(path)

    assert answer.status_code == 404
    assert "mailbox" not in site.browser().get("/login").text.lower()
    assert not any("mailbox" in getattr(route, "path", "") for route in site.app.routes)


def test_the_mailbox_folder_is_made_on_demand(tmp_path: Path, site: Site) -> None:
    folder = tmp_path / "not" / "yet"

    site.run(MailboxTransport(folder).deliver, "susan@example.com", b"Subject: x\r\n\r\n")

    assert len(list(folder.glob("*.eml"))) == 1


def test_only_the_owner_reads_the_emails(tmp_path: Path, site: Site) -> None:
    """A link opens an account, also that of somebody who shares the machine."""
    folder = tmp_path / "instance" / "mailbox"

    site.run(MailboxTransport(folder).deliver, "susan@example.com", b"Subject: a link\r\n\r\nhttps://blog.example/\r\n")

    assert [file.stat().st_mode & 0o777 for file in (folder, *folder.iterdir())] == [0o700, 0o600]
