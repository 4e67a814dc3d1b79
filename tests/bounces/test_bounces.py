"""What comes back: only believed with proof, and it stops what can wait, never what a person asks for."""

import base64
import hmac
import io
import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes
from email.utils import format_datetime
from typing import Any

import pytest
import time_machine

from tests import hostile
from tests.depth import deep, one_in
from tests.inspection import query, wait_for_rows
from tests.mailserver import MailServer
from tests.sites import Browser, Site
from tests.stories import PASSWORD, log_in
from webapp.accounts import tokens
from webapp.cli.main import main
from webapp.mail import mime
from webapp.mail.kinds import KINDS
from webapp.mail_preview import samples
from webapp.replies import return_paths
from webapp.settings import Misconfigured, Settings
from webapp.web.templating import environment

KEY = "a key for bounces, 0123456789"
SUSAN = "susan@example.com"
BEARER = {"authorization": f"Bearer {KEY}"}
DSN = """\
From: MAILER-DAEMON@relay.example
To: {path}
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="x"

--x
Content-Type: text/plain

I'm sorry.

--x
Content-Type: message/delivery-status

Reporting-MTA: dns; relay.example

{fields}

--x
Content-Type: text/rfc822-headers

From: no-reply@blog.example
To: susan@example.com
Subject: Hello

--x--
"""
GONE = """\
Final-Recipient: rfc822; susan@example.com
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 <susan@example.com>: User unknown"""
COMPLAINT = """\
From: fbl@provider.example
To: {path}
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="x"

--x
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: Provider/1.0
Version: 1
Original-Rcpt-To: <susan@example.com>

--x--
"""
QMAIL = """\
From: MAILER-DAEMON@relay.example
To: {path}
Subject: failure notice

Hi. This is the qmail-send program at relay.example.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<susan@example.com>:
Sorry, no mailbox here by that name. (#5.1.1)

--- Below this line is a copy of the message.

To: susan@example.com
Subject: Hello

"""


@pytest.fixture
def site(make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[[Settings], Site]) -> Site:
    return start_site(make_settings(database_url=sqlite_url, bounce_key=KEY))


@pytest.fixture
def any_site(make_settings: Callable[..., Settings], database_url: str, start_site: Callable[[Settings], Site]) -> Site:
    return start_site(make_settings(database_url=database_url, bounce_key=KEY))


@pytest.fixture
def path(site: Site) -> str:
    """The return path of an email to Susan."""
    return return_paths.of(site.settings, SUSAN)


def marked(site: Site) -> list[tuple[Any, ...]]:
    return query(site.settings.database_url, "SELECT address, source FROM refused_address")


def send(site: Site, body: str, **headers: str) -> Any:
    return site.browser().post("/bounces", content=body.encode(), headers=headers or BEARER)


def test_a_return_path_is_short_signed_and_tells_no_address(site: Site, path: str) -> None:
    local = path.rpartition("@")[0]

    assert path.endswith("@blog.example")
    assert len(local) <= 64
    assert "susan" not in path
    sent = return_paths.sent(site.settings, [path.upper()], [SUSAN])
    assert sent
    assert sent.recipient == SUSAN
    assert return_paths.sent(site.settings, [path], ["bob@example.com"]) is None
    assert return_paths.sent(site.settings, [path.replace("+", "+1")], [SUSAN]) is None


def test_emails_leave_with_the_return_path_only_on_a_site_that_takes_bounces(
    make_settings: Callable[..., Settings],
    sqlite_url: str,
    start_site: Callable[[Settings], Site],
    mail_server: MailServer,
) -> None:
    more = {"bounce_key": KEY, "bounce_address": "returns@mail.example"}
    site = start_site(make_settings(database_url=sqlite_url, **mail_server.settings, **more))

    site.browser().post("/register", data={"email": SUSAN})

    (email,) = mail_server.wait_for(1)
    assert re.fullmatch(r"returns\+\d+-[a-z2-7]{16}@mail\.example", email.sender)
    assert return_paths.of(make_settings(), SUSAN) == "no-reply@blog.example"


@pytest.mark.parametrize(
    ("report", "source"), [(DSN, "bounce"), (QMAIL, "bounce"), (COMPLAINT, "complaint")], ids=["DSN", "qmail", "ARF"]
)
def test_what_came_back_marks_the_address(site: Site, path: str, report: str, source: str) -> None:
    answer = send(site, report.replace("{path}", path).replace("{fields}", GONE))

    assert (answer.status_code, answer.json()) == (200, {"marked": 1})
    assert marked(site) == [(SUSAN, source)]


STATUS = f"Content-Type: message/delivery-status\n\nReporting-MTA: dns; relay.example\n\n{GONE}\n"
ENCODED = base64.encodebytes(STATUS.partition("\n\n")[2].encode()).decode()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("message/delivery-status", "message/global-delivery-status"),
        ("text/rfc822-headers", "message/global-headers"),
        ("rfc822; susan@example.com", "utf-8;\n <susan@example.com>"),
        ("Action: failed", "action: FAILED (for good)"),
        ("Status: 5.1.1\n", ""),
        ("From: MAILER-DAEMON", "\ufeffFrom: MAILER-DAEMON"),
        (STATUS, f"Content-Type: message/delivery-status\nContent-Transfer-Encoding: base64\n\n{ENCODED}"),
        (
            STATUS,
            STATUS.replace("\n\nRep", "\nContent-Transfer-Encoding: quoted-printable\n\nRep").replace(
                "5.1.1", "5=2E1.1"
            ),
        ),
        ("Content-Type: text/plain", "Content-Type: text/plain; charset=x-unknown"),
        ("\n", "\r\n"),
    ],
)
@one_in(3)
def test_a_report_is_read_as_odd_servers_write_it(site: Site, path: str, old: str, new: str) -> None:
    usual = DSN.format(path=path, fields=GONE)
    assert old in usual

    assert send(site, usual.replace(old, new)).json() == {"marked": 1}
    assert marked(site) == [(SUSAN, "bounce")]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Action: failed", "Action: delayed"),
        ("5.1.1", "4.4.1"),
        ("550 5.1.1 <susan@example.com>: User unknown", "552 5.2.2 mailbox is full"),
        ("550 5.1.1 <susan@example.com>: User unknown", "550 5.7.1 blocked using a list"),
        ("550 5.1.1 <susan@example.com>: User unknown", "554 5.7.1 Relay access denied"),
    ],
)
def test_what_may_still_arrive_or_is_our_own_fault_marks_nobody(site: Site, path: str, old: str, new: str) -> None:
    fields = GONE.replace(old, new) if old != "5.1.1" else GONE.replace("Status: 5.1.1", "Status: 4.4.1")

    assert send(site, DSN.format(path=path, fields=fields)).json() == {"marked": 0}
    assert marked(site) == []


@pytest.mark.parametrize("forged", ["no-reply@blog.example", "no-reply+1-aaaaaaaaaaaaaaaa@blog.example", "", "another"])
def test_a_report_without_a_return_path_of_ours_proves_nothing(site: Site, forged: str) -> None:
    """Anybody can write one. With somebody else's good path it is no better."""
    forged = return_paths.of(site.settings, "eve@example.com") if forged == "another" else forged

    assert send(site, DSN.format(path=forged, fields=GONE)).json() == {"marked": 0}
    assert marked(site) == []


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer wrong", f"Basic {KEY}", "Basic dXNlcjp3cm9uZw==", "Basic !!", f"Bearer {KEY}x"],
)
def test_whoever_does_not_know_the_key_is_refused(site: Site, path: str, authorization: str) -> None:
    headers = {"authorization": authorization} if authorization else {"x-nothing": "1"}

    answer = send(site, DSN.format(path=path, fields=GONE), **headers)

    assert answer.status_code == 401
    assert marked(site) == []


def test_without_a_key_there_is_no_such_page(
    make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[[Settings], Site]
) -> None:
    closed = start_site(make_settings(database_url=sqlite_url))

    assert send(closed, "{}", authorization="Bearer ").status_code == 404


# Providers


def sns(message: dict[str, Any]) -> dict[str, Any]:
    return {"Type": "Notification", "MessageId": "1", "Message": json.dumps(message), "SigningCertURL": "https://evil/"}


def mailgun(event: dict[str, Any], key: str = KEY, age: int = 0) -> dict[str, Any]:
    stamp, token = str(int(time.time()) - age), "t" * 50
    signature = hmac.new(key.encode(), f"{stamp}{token}".encode(), "sha256").hexdigest()
    return {"signature": {"timestamp": stamp, "token": token, "signature": signature}, "event-data": event}


RECIPIENTS = [{"emailAddress": "Susan@example.com", "diagnosticCode": "smtp; 550 5.1.1 user unknown"}]
SES_BOUNCE = {"notificationType": "Bounce", "bounce": {"bounceType": "Permanent", "bouncedRecipients": RECIPIENTS}}
EVENTS = [
    (sns(SES_BOUNCE), "bounce"),
    (SES_BOUNCE, "bounce"),
    (sns({"eventType": "Complaint", "complaint": {"complainedRecipients": RECIPIENTS}}), "complaint"),
    ({"RecordType": "Bounce", "Type": "HardBounce", "Email": SUSAN, "Description": "The server was unable"}, "bounce"),
    ({"RecordType": "SpamComplaint", "Email": SUSAN}, "complaint"),
    ({"event-data": {"event": "failed", "severity": "permanent", "recipient": SUSAN}}, "bounce"),
    ({"event-data": {"event": "complained", "recipient": SUSAN}}, "complaint"),
]
NOT_FOR_GOOD = [
    sns({"notificationType": "Bounce", "bounce": {"bounceType": "Transient", "bouncedRecipients": RECIPIENTS}}),
    sns({"notificationType": "Delivery"}),
    {"RecordType": "Bounce", "Type": "SoftBounce", "Email": SUSAN},
    {"RecordType": "Open", "Email": SUSAN},
    {"event-data": {"event": "failed", "severity": "temporary", "recipient": SUSAN}},
    {"event-data": {"event": "delivered", "recipient": SUSAN}},
    {"Type": "SubscriptionConfirmation", "SubscribeURL": "https://sns.example/confirm?Token=1"},
]


@pytest.mark.parametrize(("event", "source"), EVENTS)
def test_a_providers_event_marks_the_address(site: Site, event: dict[str, Any], source: str) -> None:
    assert send(site, json.dumps(event)).json() == {"marked": 1}
    assert marked(site) == [(SUSAN, source)]


@pytest.mark.parametrize("event", NOT_FOR_GOOD)
def test_what_a_provider_says_for_now_marks_nobody(site: Site, event: dict[str, Any]) -> None:
    assert send(site, json.dumps(event)).json() == {"marked": 0}
    assert marked(site) == []


def test_mailguns_signature_is_a_key_unless_it_is_old_or_wrong(site: Site) -> None:
    event = {"event": "complained", "recipient": SUSAN}
    nothing = {"x-nothing": "1"}

    assert send(site, json.dumps(mailgun(event, key="another")), **nothing).status_code == 401
    assert send(site, json.dumps(mailgun(event, age=3600)), **nothing).status_code == 401
    assert send(site, json.dumps(mailgun(event)), **nothing).json() == {"marked": 1}


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "[]",
        "{}",
        '{"RecordType": 1}',
        '{"event-data": []}',
        '{"Type": "Notification"}',
        '{"signature": 1}',
        '{"Type": "Notification", "Message": "x"}',
        '{"RecordType": "SpamComplaint", "Email": null}',
        '{"a": NaN}',
        "{" * 5000,
        '{"RecordType": "SpamComplaint", "Email": "a\\ud800@example.com"}',
        '{"RecordType": "SpamComplaint", "Email": "a\\u0000@example.com"}',
        '{"Type": "Notification", "Message": "\\ud800"}',
    ],
)
@one_in(3)
def test_what_is_no_report_is_refused_and_never_an_error(site: Site, body: str) -> None:
    assert send(site, body).status_code in {200, 422}
    assert marked(site) == []


@pytest.mark.parametrize("field", ["token", "signature", "timestamp"])
def test_a_strangers_signature_of_half_characters_is_refused_and_never_an_error(site: Site, field: str) -> None:
    signed = {"timestamp": str(int(time.time())), "token": "t", "signature": "s"} | {field: "\ud800"}

    answer = send(site, json.dumps({"signature": signed}), authorization="Bearer nothing")

    assert answer.status_code in {401, 422}


@pytest.mark.parametrize(("given", "kept"), [(f"Susan <{SUSAN}>", [(SUSAN,)]), ("a" * 400 + "@example.com", [])])
@deep
def test_an_event_marks_an_address_and_nothing_else(any_site: Site, given: str, kept: list[tuple[str]]) -> None:
    """PostgreSQL doesn't store what is longer than any address."""
    answer = send(any_site, "\ufeff" + json.dumps({"RecordType": "SpamComplaint", "Email": given}))

    assert answer.status_code == (200 if kept else 422)
    assert query(any_site.settings.database_url, "SELECT address FROM refused_address") == kept


def test_a_reason_only_contains_what_can_be_stored_and_shown(any_site: Site) -> None:
    event = {"RecordType": "Bounce", "Type": "HardBounce", "Email": SUSAN, "Description": "no\x00such\x1b[2Juser"}

    answer = send(any_site, json.dumps(event))

    assert answer.json() == {"marked": 1}
    assert query(any_site.settings.database_url, "SELECT reason FROM refused_address") == [("no?such?[2Juser",)]


BLOCK = "Action: failed\nStatus: 5.1.1\n\n"
NESTED = "".join(f"Content-Type: multipart/mixed; boundary=a{n}\n\n--a{n}\n" for n in range(1200))
DEEP = "".join(f"Content-Type: multipart/mixed; boundary=a{n}\n--a{n}\n" for n in range(1200))


@pytest.mark.parametrize(
    "body",
    [
        "Content-Type: message/delivery-status\n\n" + BLOCK * 2000,
        "Content-Type: message/rfc822\n\n" * 2000,
        NESTED,
        DEEP,
    ],
    ids=["blocks", "messages", "nested", "deep"],
)
@deep
def test_no_message_costs_more_than_its_length(site: Site, body: str) -> None:
    """C64: anybody can send one to a return path."""
    began = time.process_time()

    assert send(site, body[:60_000]).json() == {"marked": 0}

    assert time.process_time() - began < 1.5 * hostile.slowness()


@pytest.mark.parametrize("body", ["", "\x00", "no message at all", "Content-Type: multipart/report\n\n", "\xff" * 100])
def test_what_is_no_message_marks_nobody(site: Site, body: str) -> None:
    assert send(site, body).json() == {"marked": 0}


# What it means for the person


@pytest.fixture
def susan(site: Site) -> Browser:
    browser = site.browser()
    link = tokens.register_link(site.settings, SUSAN).removeprefix(site.settings.base_url)
    browser.post(link, data={"username": "susan", "password": PASSWORD})
    log_in(browser)
    return browser


def test_after_a_bounce_a_person_is_told_and_still_gets_what_they_ask_for(
    site: Site, susan: Browser, path: str
) -> None:
    assert site.mailbox
    send(site, DSN.format(path=path, fields=GONE))
    before = len(site.mailbox.all(SUSAN))

    page = susan.get("/settings").text
    site.browser().post("/reset_password_request", data={"email": SUSAN})

    assert f"Emails to {SUSAN} are refused" in page
    assert "Reset" in site.mailbox.last(to=SUSAN, count=before + 1).subject
    assert marked(site) == [(SUSAN, "bounce")], "that a server takes an email says nothing of one that comes back"


@deep
def test_after_a_bounce_nothing_that_can_wait_is_sent(site: Site, susan: Browser, path: str) -> None:
    send(site, DSN.format(path=path, fields=GONE))
    susan.post("/letters", data={"new_follower": "1", "mention": "1", "new_sign_in": "1"})
    bob = site.browser()
    link = tokens.register_link(site.settings, "bob@example.com").removeprefix(site.settings.base_url)
    bob.post(link, data={"username": "bob", "password": PASSWORD})
    log_in(bob, "bob")
    bob.post("/follow/susan")

    query(site.settings.database_url, "UPDATE outbox_email SET due_at = created_at WHERE state = 'ready'")

    wait_for_rows(site.settings.database_url, "SELECT id FROM outbox_email WHERE state = 'suppressed'")
    assert site.mailbox
    assert not [email.subject for email in site.mailbox.all(SUSAN) if "bob" in email.subject]


# What came too late


def of_ses(_path: str, when: datetime) -> str:
    return json.dumps(sns({"mail": {"timestamp": when.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"}, **SES_BOUNCE}))


def of_postmark(_path: str, when: datetime) -> str:
    bounced_at = when.astimezone(timezone(timedelta(hours=-4))).strftime("%Y-%m-%dT%H:%M:%S.1234567-04:00")
    return json.dumps({"RecordType": "Bounce", "Type": "HardBounce", "Email": SUSAN, "BouncedAt": bounced_at})


def of_mailgun(_path: str, when: datetime) -> str:
    return json.dumps(mailgun({"event": "complained", "recipient": SUSAN, "timestamp": when.timestamp()}))


def of_postmark_late(_path: str, when: datetime) -> str:
    """It came back days after it was sent."""
    event = {"RecordType": "Bounce", "Type": "HardBounce", "Email": SUSAN, "BouncedAt": "2999-01-01T00:00:00Z"}
    return json.dumps(event | {"Metadata": {"sent": when.isoformat(timespec="milliseconds")}})


def of_mailgun_late(_path: str, when: datetime) -> str:
    event = {"event": "failed", "severity": "permanent", "recipient": SUSAN, "timestamp": 32_472_144_000.5}
    return json.dumps(mailgun(event | {"user-variables": {"sent": when.isoformat(timespec="milliseconds")}}))


def of_dsn(path: str, when: datetime) -> str:
    """As of a server whose clock is years behind."""
    report = DSN.format(path=path, fields=GONE).replace("Subject: Hello", f"Date: {format_datetime(when)}")
    return report.replace("Reporting-MTA:", "Arrival-Date: Mon, 3 Jan 2000 08:00:00 +0000\nReporting-MTA:")


def of_qmail(path: str, when: datetime) -> str:
    return QMAIL.replace("{path}", path).replace("Subject: Hello", f"Date: {format_datetime(when)}")


REPORTERS = [of_ses, of_postmark, of_postmark_late, of_mailgun, of_mailgun_late, of_dsn, of_qmail]


@pytest.mark.parametrize("reporter", REPORTERS)
@deep
def test_what_comes_back_of_an_earlier_email_says_nothing_of_an_address_that_works_again(
    site: Site, susan: Browser, reporter: Callable[[str, datetime], str]
) -> None:
    noon = (datetime.now(UTC) + timedelta(days=1)).replace(hour=12, minute=0, second=0, microsecond=0)
    with time_machine.travel(noon, tick=False) as clock:
        log_in(susan)
        path = return_paths.of(site.settings, SUSAN)
        bounce = reporter(path, noon)
        before = send(site, bounce).json()

        clock.shift(60)
        susan.post("/email_works")
        again = send(site, bounce).json()
        late = send(site, reporter(path, noon + timedelta(seconds=30))).json()
        clock.shift(60)
        new = send(site, reporter(path, noon + timedelta(seconds=90))).json()

    assert (before, again, late, new) == ({"marked": 1}, {"marked": 0}, {"marked": 0}, {"marked": 1})


@pytest.mark.parametrize("server", ["smtp.postmarkapp.com", "smtp.eu.mailgun.org", "mail.example.com"])
@deep
def test_an_email_through_a_provider_carries_the_time_that_its_events_repeat(
    make_settings: Callable[..., Settings], server: str
) -> None:
    settings = make_settings(mail_server=server, bounce_key=KEY)
    email, [draft, *_others] = (
        samples._claimed(settings, "reset_password", "en"),
        KINDS["reset_password"].samples(settings),
    )

    with time_machine.travel(datetime(2026, 11, 27, 8, tzinfo=UTC), tick=False):
        sent = message_from_bytes(mime.compose(environment(settings), settings, email, draft))
        unkeyed = replace(settings, bounce_key="")
        silent = message_from_bytes(mime.compose(environment(unkeyed), unkeyed, email, draft))

    when = "2026-11-27T08:00:00.000+00:00"
    assert sent["X-PM-Metadata-sent"] == (when if "postmark" in server else None)
    assert json.loads(sent["X-Mailgun-Variables"] or "{}") == ({"sent": when} if "mailgun" in server else {})
    assert not {"X-PM-Metadata-sent", "X-Mailgun-Variables"} & set(silent.keys())


def test_a_report_without_a_date_is_of_the_day_of_its_return_path(site: Site, susan: Browser) -> None:
    noon = (datetime.now(UTC) + timedelta(days=1)).replace(hour=12)
    with time_machine.travel(noon, tick=False) as clock:
        log_in(susan)
        undated = DSN.format(path=return_paths.of(site.settings, SUSAN), fields=GONE)
        susan.post("/email_works")
        same_day = send(site, undated).json()

        clock.shift(86_400)
        log_in(susan)
        susan.post("/email_works")
        next_day = send(site, undated).json()

    assert (same_day, next_day) == ({"marked": 1}, {"marked": 0})


def test_nor_is_a_report_with_a_later_date(site: Site, susan: Browser) -> None:
    """Whoever read Susan's mailbox for a moment has the return path, and must not mark her address again and again."""
    noon = (datetime.now(UTC) + timedelta(days=1)).replace(hour=12)
    with time_machine.travel(noon, tick=False) as clock:
        path = return_paths.of(site.settings, SUSAN)
        clock.shift(86_400)
        log_in(susan)
        susan.post("/email_works")

        forged = send(site, of_dsn(path, noon + timedelta(days=20))).json()

    assert forged == {"marked": 0}


def test_whoever_registers_has_just_shown_that_the_address_works(
    site: Site, path: str, request: pytest.FixtureRequest
) -> None:
    send(site, DSN.format(path=path, fields=GONE))

    request.getfixturevalue("susan")

    assert marked(site) == []


def test_a_signature_of_mailgun_vouches_for_one_event_only(site: Site) -> None:
    """It isn't over the event, so whoever sees one could shut anybody's address with it, for a quarter of an hour."""
    nothing = {"x-nothing": "1"}
    signed = mailgun({"event": "complained", "recipient": SUSAN})
    other = {**signed, "event-data": {"event": "complained", "recipient": "bob@example.com"}}

    answers = [send(site, json.dumps(event), **nothing).json() for event in (signed, signed, other)]

    assert answers == [{"marked": 1}, {"marked": 0}, {"marked": 0}]
    assert marked(site) == [(SUSAN, "complaint")]


def test_the_command_asks_to_be_tried_again_while_the_database_is_away(
    site: Site, path: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """75 is EX_TEMPFAIL of sysexits(3)."""
    for name, value in {
        "BASE_URL": "https://blog.example",
        "SECRET_KEY": site.settings.secret_key,
        "DATABASE_URL": "postgresql://blog@127.0.0.1:1/blog",
        "MAIL_SERVER": "localhost",
        "BOUNCE_KEY": KEY,
    }.items():
        monkeypatch.setenv(name, value)
    raw = DSN.format(path="root@localhost", fields=GONE).encode()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(raw)))

    assert main(["bounce", path]) == 75

    assert capsys.readouterr().err.startswith("The database can't be used: ")


def test_the_command_reads_a_message_from_a_pipe(
    site: Site, path: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {
        "BASE_URL": "https://blog.example",
        "SECRET_KEY": site.settings.secret_key,
        "DATABASE_URL": site.settings.database_url,
        "MAIL_SERVER": "localhost",
        "BOUNCE_KEY": KEY,
    }.items():
        monkeypatch.setenv(name, value)
    raw = DSN.format(path="root@localhost", fields=GONE).encode()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(raw)))

    assert main(["bounce", path]) == 0

    assert "s…@example.com" in capsys.readouterr().out
    assert marked(site) == [(SUSAN, "bounce")]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("BOUNCE_KEY", "short", "BOUNCE_KEY is too easy to guess"),
        ("BOUNCE_ADDRESS", "nobody", "BOUNCE_ADDRESS must look like"),
        ("BOUNCE_ADDRESS", f"{'x' * 60}@example.com", "BOUNCE_ADDRESS has more than 38"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_at_the_start(name: str, value: str, words: str) -> None:
    good = {
        "BASE_URL": "https://blog.example",
        "SECRET_KEY": "0123456789abcdef0123456789abcdef-a-key",
        "DATABASE_URL": "sqlite:////x.db",
        "MAIL_SERVER": "localhost",
    }
    with pytest.raises(Misconfigured) as refused:
        Settings.from_environment(good | {name: value})

    assert refused.value.problems[0].startswith(words)
