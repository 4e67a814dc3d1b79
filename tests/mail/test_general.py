"""The general door, and the worked example of docs/mail.md."""

import re
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest
from jinja2 import ChoiceLoader, DictLoader

from tests.depth import deep
from tests.mailbox import Mailbox, link_in
from tests.mailserver import Delivered, MailServer
from tests.sites import Site
from webapp import mail
from webapp.mail import kinds
from webapp.settings import Settings

DOCS = Path(__file__).parents[2] / "docs" / "mail.md"


def send(site: Site, **changes: object) -> None:
    """Sends an email through the general door, and commits."""
    values: dict[str, object] = {"to": ["susan@example.com"], "subject": "Hello", "text": "A text.\n"}

    async def work() -> None:
        async with site.app.state.database.session(is_writing=True) as db:
            await mail.send(db, site.settings, **(values | changes))  # type: ignore[arg-type]
            await db.commit()

    site.run(work)


@pytest.fixture
def mailing_site(
    make_settings: Callable[..., Settings],
    database_url: str,
    mail_server: MailServer,
    start_site: Callable[[Settings], Site],
) -> Site:
    return start_site(make_settings(database_url=database_url, **mail_server.settings))


@pytest.mark.alike
def test_every_recipient_gets_a_copy_and_no_copy_names_the_bcc(mailing_site: Site, mail_server: MailServer) -> None:
    people = {"to": ["Ann <ann@example.com>"], "cc": ["bob@example.com"], "bcc": ["eve@example.com"]}

    send(mailing_site, **people, reply_to="susan@example.com", headers={"X-Party": "1"}, html="<p>A text.</p>")

    emails = mail_server.wait_for(3)
    assert {email.recipients for email in emails} == {
        ("ann@example.com",),
        ("bob@example.com",),
        ("eve@example.com",),
    }
    assert len({email.message["Message-ID"] for email in emails}) == 1
    for email in emails:
        assert b"eve@example.com" not in email.content
        assert email.message["Cc"] == "bob@example.com"
        assert email.message["Reply-To"] == "susan@example.com"
        assert email.message["X-Party"] == "1"


@pytest.mark.alike
def test_an_attachment_arrives_whole(mailing_site: Site, mail_server: MailServer) -> None:
    content = bytes(range(256)) * 40

    send(mailing_site, attachments=[mail.Attachment("Ünlucky.bin", content)])

    [attached] = list(received(mail_server).iter_attachments())
    assert isinstance(attached, EmailMessage)
    assert (attached.get_filename(), attached.get_content()) == ("Ünlucky.bin", content)


@pytest.mark.alike
def test_an_email_in_another_script_keeps_its_text(mailing_site: Site, mail_server: MailServer) -> None:
    send(mailing_site, subject="Привет", text="Здравствуйте, Сьюзан!\n")

    assert received(mail_server)["Subject"] == "Привет"
    assert mail_server.emails[0].text == "Здравствуйте, Сьюзан!\n"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"to": []}, "recipients"),
        ({"to": [f"p{number}@example.com" for number in range(51)]}, "recipients"),
        ({"to": ["nobody"]}, "not an address"),
        ({"to": ["a@example.com\r\nBcc: eve@example.com"]}, "not an address|linefeed|carriage return|line break"),
        ({"subject": "Hello\r\nBcc: eve@example.com"}, "line break"),
        ({"headers": {"Bcc": "eve@example.com"}}, "the email's own"),
        ({"headers": {"X-A": "1\nBcc: eve@example.com"}}, "line break"),
        ({"attachments": [mail.Attachment("big", b"x" * 5_300_000)]}, "bytes"),
    ],
)
def test_what_would_not_be_an_email_is_refused_at_the_door(site: Site, changes: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        send(site, **changes)


def test_an_email_leaves_only_if_its_cause_commits(site: Site, mailbox: Mailbox) -> None:
    async def roll_back() -> None:
        async with site.app.state.database.session(is_writing=True) as db:
            await mail.send(db, site.settings, to=["susan@example.com"], subject="Never", text="Never.\n")
            await db.rollback()

    site.run(roll_back)
    send(site, subject="Always")

    assert mailbox.last().subject == "Always"
    assert len(mailbox.all()) == 1


@pytest.fixture
def party(site: Site) -> Iterator[None]:
    """The worked example of the documentation, as it stands there."""
    blocks = re.findall(r"```(?:python|jinja)\n(?:# |\{# )(\S+?)(?: #\})?\n(.*?)```", DOCS.read_text(), re.DOTALL)
    files = {name: content for name, content in blocks if "/" in name}
    templates = {name.removeprefix("templates/"): text for name, text in files.items() if name.startswith("templates")}
    environment = site.app.state.templates
    environment.loader = ChoiceLoader([DictLoader(templates), environment.loader])
    exec(files["webapp/parties/emails.py"], {})
    yield
    del kinds.KINDS["party"]


@pytest.mark.usefixtures("party")
@deep
def test_the_example_of_the_documentation_works(site: Site, mailbox: Mailbox) -> None:
    async def invite() -> None:
        async with site.app.state.database.session(is_writing=True) as db:
            await kinds.post(db, site.settings, "party", "susan@example.com", host="Ann")
            await db.commit()

    site.run(invite)

    email = mailbox.last(to="susan@example.com")
    assert email.subject == "A party at Ann's"
    assert link_in(email.text) == "/parties/1"
    assert "/mailbox/gallery/party.en" in site.browser().get("/mailbox/gallery").text
    assert "No problems found" in site.browser().get("/mailbox/gallery/party.en").text


def test_an_alarm_leaves_when_the_hours_budget_is_spent(
    make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[[Settings], Site]
) -> None:
    settings = make_settings(database_url=sqlite_url, mail_hourly_budget=1, admins=("host@example.com",))
    site = start_site(settings)
    assert site.mailbox
    send(site, subject="The first")
    site.mailbox.last(to="susan@example.com")

    send(site, subject="The second")

    assert "used up" in site.mailbox.last(to="host@example.com").subject
    assert [email.subject for email in site.mailbox.all(to="susan@example.com")] == ["The first"]


def received(server: MailServer) -> EmailMessage:
    [email] = server.wait_for(1)
    assert isinstance(email, Delivered)
    return email.message


def test_subject_and_names_arrive_as_they_were_written_in_any_script(site: Site, mailbox: Mailbox) -> None:
    """C74"""
    subject = "Сброс пароля для Microblog: ссылка действует десять минут, и потом она больше не открывается 🐝"

    send(site, subject=subject, sender="Почта Микроблога <post@example.com>")

    received = mailbox.last(to="susan@example.com")
    assert received.subject == subject
    assert "Почта Микроблога" in str(received.message["From"])


@deep
@pytest.mark.parametrize(
    "text",
    [".\n..\n.a\n\n.\n", "a\n.\r\nb\r\n.\r\nMAIL FROM:<eve@example.com>\r\n", "a\r.\rb\r", "\n.\n", "."],
    ids=range(5),
)
@pytest.mark.alike
def test_no_line_of_a_text_ends_the_email(mailing_site: Site, mail_server: MailServer, text: str) -> None:
    """C08: a dot alone on its line would (RFC 5321, 4.5.2)."""
    send(mailing_site, text=text)
    mail_server.wait_for(1)
    send(mailing_site, text="The next one.")

    first, second = mail_server.wait_for(2)
    assert (re.split("\r\n|\r|\n", first.text.rstrip()), second.text.strip()) == (
        re.split("\r\n|\r|\n", text.rstrip()),
        "The next one.",
    )
