"""Whose fault it is: ours loses no email and blocks no address, and a security email outlives a refusal (C67, C71)."""

import re
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import anyio
import pytest
from sqlalchemy import text

from tests.depth import deep, one_in, some
from tests.inspection import query, wait_for_rows
from tests.mailbox import PATIENCE
from tests.mailserver import Certificates
from tests.replies.postfix_replies import REPLIES
from tests.sites import QUICK, Site
from tests.smtp_script import ScriptedServer
from tests.stories import PASSWORD, log_in
from webapp.accounts import tokens
from webapp.cli.main import main
from webapp.database import execute as execute_in
from webapp.delivery.pace import Pace
from webapp.mail import kinds, refusals
from webapp.mail.models import Outcome, Priority, Verdict
from webapp.settings import Settings

RECIPIENT = "newcomer@example.com"
HEARD = ("Helo command", "Client host", "Sender address", "Relay access")
OURS = [
    *(f"{one.code} {one.enhanced} {one.text}" for one in REPLIES.values() if any(words in one.text for words in HEARD)),
    "530 5.7.0 Must issue a STARTTLS command first",
    "530 5.7.0 Authentication required",
    "504 5.5.2 need fully-qualified hostname",
    "550 5.7.1 Message rate exceeded",
    "450 4.7.1 Error: too many recipients from 127.0.0.1",
    "550 5.4.5 Daily user sending limit exceeded",
    "503 5.5.1 Error: need MAIL command",
]


@pytest.fixture
def pace() -> Pace:
    return QUICK


@pytest.fixture
def server(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    with ScriptedServer(starttls=certificates.right) as server:
        yield server


@pytest.fixture
def site(
    server: ScriptedServer,
    sqlite_url: str,
    make_settings: Callable[..., Settings],
    start_site: Callable[[Settings], Site],
) -> Site:
    more = {"mail_connections": 1, "admins": ("host@example.com",), "database_url": sqlite_url}
    return start_site(make_settings(**(server.settings | more)))


def ask(site: Site, address: str = RECIPIENT) -> None:
    assert site.browser().post("/register", data={"email": address}).status_code == 200


def rows(site: Site, statement: str) -> list[tuple[object, ...]]:
    return query(site.settings.database_url, statement)


def post(site: Site, kind: str, recipient: str, user_id: int | None = None) -> None:
    """As a feature does."""

    async def run() -> None:
        async with site.app.state.database.session(is_writing=True) as db:
            when = "2026-11-26T12:00:00+00:00"
            await kinds.post(db, site.settings, kind, recipient, user_id=user_id, username="susan", when=when, codes=0)
            await db.commit()

    site.run(run)


# C71: trouble that is ours, whenever the server says it


STEPS = ["MAIL", "RCPT", "DATA", "DOT"]


@pytest.mark.parametrize("answer", some(sorted(set(OURS)), 5))  # tests/replies/test_blame.py tells all of them apart
@deep
def test_our_own_trouble_loses_no_email_and_blocks_no_address(server: ScriptedServer, site: Site, answer: str) -> None:
    """C71: at each step of the conversation, for a person each"""
    for step in STEPS:
        address = f"{step.lower()}@example.com"
        server.answers[step] = answer
        ask(site, address)
        wait_for_rows(site.settings.database_url, "SELECT id FROM mail_status WHERE trouble_since IS NOT NULL")

        assert rows(site, "SELECT address FROM refused_address") == [], step
        waiting = rows(site, f"SELECT id FROM outbox_email WHERE finished_at IS NULL AND recipient = '{address}'")
        assert len(waiting) == 1, step
        del server.answers[step]
        server.wait_for_emails(STEPS.index(step) + 1)
        wait_for_rows(site.settings.database_url, "SELECT id FROM mail_status WHERE trouble_since IS NULL")


@pytest.mark.parametrize(
    "answer", ["550 go away", "550 5.1.1 <{}>: User unknown", "554 5.7.1 <{}>: Recipient address rejected"]
)
@one_in(3)
def test_when_the_first_emails_to_several_people_are_refused_alike_it_is_us(
    server: ScriptedServer, site: Site, answer: str
) -> None:
    """C71: and those that were given up before that was clear arrive, too"""
    people = [f"person{number}@example.com" for number in range(5)]
    server.answers["RCPT"] = answer.format("somebody@example.com")
    for address in people:
        ask(site, address)
    wait_for_rows(site.settings.database_url, "SELECT id FROM mail_status WHERE trouble_reason LIKE '%alike%'")

    del server.answers["RCPT"]

    server.wait_for(lambda server: {email.recipients[0] for email in server.emails} == set(people))
    assert rows(site, "SELECT address FROM refused_address") == []


def test_people_who_are_gone_are_people_once_the_server_has_taken_an_email(server: ScriptedServer, site: Site) -> None:
    ask(site, "somebody@example.com")
    server.wait_for_emails(1)
    server.answers["RCPT"] = "550 5.1.1 User unknown"

    for number in range(4):
        ask(site, f"person{number}@example.com")

    wait_for_rows(site.settings.database_url, "SELECT address FROM refused_address", 4)
    assert rows(site, "SELECT id FROM mail_status WHERE trouble_since IS NOT NULL") == []


def test_a_refusal_for_one_person_alone_stops_nobody_elses_email(server: ScriptedServer, site: Site) -> None:
    """A content filter says 5.7.1, too: the email backs off, and others leave."""
    server.once("DOT", *["554 5.7.1 Message blocked"] * 3)
    ask(site, "blocked@example.com")

    for number in range(4):
        ask(site, f"person{number}@example.com")

    server.wait_for(lambda server: len({email.recipients[0] for email in server.emails}) == 5)


def test_252_is_an_acceptance(server: ScriptedServer, site: Site) -> None:
    """RFC 5321, 4.2.2"""
    server.answers["RCPT"] = "252 2.1.5 can't verify, will try"

    ask(site)

    assert server.wait_for_emails(1)[0].recipients == (RECIPIENT,)


def test_ehlo_names_the_sites_host_or_mail_helo(
    server: ScriptedServer, site: Site, make_settings: Callable[..., Settings]
) -> None:
    ask(site)
    server.wait_for_emails(1)

    assert "EHLO blog.example" in server.commands
    assert make_settings(mail_helo="mail.example.net").helo == "mail.example.net"
    assert make_settings(base_url="http://127.0.0.1:8000").helo == "[127.0.0.1]"


@deep
def test_a_server_that_takes_its_time_gets_it_and_one_email(
    server: ScriptedServer, make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[..., Site]
) -> None:
    """RFC 5321, 4.5.3.2: longer than a lease, which is renewed meanwhile, and no other mailer takes it."""
    server.seconds["DOT"] = 10
    settings = make_settings(**(server.settings | {"mail_connections": 1, "database_url": sqlite_url}))
    short = {"lease": timedelta(seconds=8), "least_lease": timedelta()}
    site = start_site(settings, **short)

    ask(site)
    server.wait_for(lambda server: "DATA" in server.verbs)
    start_site(settings, **short)

    server.wait_for_emails(1, patience=30)
    wait_for_rows(site.settings.database_url, "SELECT id FROM outbox_email WHERE state = 'sent'")
    time.sleep(0.5)
    assert len(server.emails) == 1
    assert rows(site, "SELECT attempts, crashes FROM outbox_email") == [(1, 0)]


# C67: a security email outlives a refusal


def test_a_security_email_waits_after_a_refusal_and_is_never_suppressed(server: ScriptedServer, site: Site) -> None:
    """C67: a 550 may be a full mailbox"""
    ask(site, "first@example.com")
    server.wait_for_emails(1)
    server.answers["RCPT"] = "550 5.1.1 no such user"
    post(site, "password_changed", "susan@example.com", 7)
    ((state, waits),) = wait_for_rows(
        site.settings.database_url,
        "SELECT state, strftime('%s', due_at) - strftime('%s', 'now') FROM outbox_email WHERE code = 550",
    )

    assert state == "ready"
    assert 3500 < int(str(waits)) <= 3600
    assert rows(site, "SELECT address FROM refused_address") == [("susan@example.com",)]
    del server.answers["RCPT"]
    post(site, "recovery_codes_made", "susan@example.com", 7)
    server.wait_for_emails(2)
    wait_for_rows(site.settings.database_url, "SELECT 1 WHERE NOT EXISTS (SELECT * FROM refused_address)")
    query(site.settings.database_url, "UPDATE outbox_email SET due_at = created_at WHERE state = 'ready'")
    assert "password" in str(server.wait_for_emails(3)[-1].message["Subject"])


@pytest.mark.parametrize(("step", "table"), [("RCPT", "outbox_email"), ("CONNECT", "mail_status")])
@deep
def test_a_server_may_answer_in_any_encoding(
    server: ScriptedServer,
    make_settings: Callable[..., Settings],
    database_url: str,
    start_site: Callable[[Settings], Site],
    step: str,
    table: str,
) -> None:
    """Not in UTF-8, with a zero, and with what drives a terminal: it is noted, and the next email leaves."""
    site = start_site(make_settings(**server.settings, mail_connections=1, database_url=database_url))
    column = "reason" if table == "outbox_email" else "trouble_reason"
    said = b"550 5.1.1 No such user: " + "нет такого".encode("cp1251") + b"\x00\x1b[2J\xe2\x80\xae"
    server.once(step, said.decode("utf-8", "surrogateescape"))

    ask(site)
    [(noted,)] = wait_for_rows(database_url, f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL")
    ask(site, "other@example.com")

    assert "No such user: ??? ?" in noted
    assert noted.isprintable()
    server.wait_for(lambda server: any(email.recipients == ("other@example.com",) for email in server.emails))


@pytest.mark.parametrize("kind", sorted(kinds.KINDS))
def test_only_what_can_wait_is_suppressed(kind: str) -> None:
    """C67: the dispatcher asks for nothing else."""
    is_suppressed = kinds.KINDS[kind].priority is Priority.CAN_WAIT

    assert is_suppressed is (kind in {"mention", "new_follower", "digest"})


# Addresses in the server's words


SPELLED = [
    "550 5.1.1 <{}>: Recipient address rejected: User unknown",
    "550 no mailbox {} here",
    "550 5.1.1 bounce to srs0=x={verp}@relay.example failed",
    "450 4.2.0 <{}>: Recipient address rejected: Greylisted",
    "450 4.2.0 {upper} come back",
    "554 5.7.1 <{}>: Relay access denied",
    'smtp; 550 "{}" unknown'.replace("smtp; ", ""),
]


@pytest.mark.parametrize("spelled", some(SPELLED, 2))
@deep
def test_no_address_in_the_servers_words_is_shown_whole(
    server: ScriptedServer, site: Site, caplog: pytest.LogCaptureFixture, spelled: str
) -> None:
    """On the admin's page, by the `mail` command, on the person's own page, in the log, and in the database's words."""
    host = site.browser()
    link = tokens.register_link(site.settings, "host@example.com").removeprefix(site.settings.base_url)
    host.post(link, data={"username": "host", "password": PASSWORD})
    log_in(host, "host")
    for step in STEPS:
        address = f"susan.o'neill+tag@example-{step.lower()}.com"
        server.answers = {step: spelled.format(address, verp=address.replace("@", "="), upper=address.upper())}
        rows(site, "DELETE FROM outbox_email")
        with caplog.at_level("INFO"):
            ask(site, address)
            wait_for_rows(site.settings.database_url, "SELECT id FROM outbox_email WHERE reason IS NOT NULL")

        shown = host.get("/admin/mail").text + host.get("/letters").text + caplog.text
        shown += "".join(str(record.__dict__) for record in caplog.records)
        kept = str(rows(site, "SELECT reason FROM outbox_email"))
        kept += str(rows(site, "SELECT trouble_reason FROM mail_status"))
        kept += str(rows(site, "SELECT reason FROM refused_address"))
        for said in (shown, kept):
            assert not re.search(r"neill\+tag(@|=|%40)example", said, re.IGNORECASE), step


def test_the_mail_command_shows_none_either(
    server: ScriptedServer, site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers["RCPT"] = "550 5.1.1 <newcomer@example.com>: User unknown"
    ask(site)
    wait_for_rows(site.settings.database_url, "SELECT id FROM outbox_email WHERE state = 'dead'")
    for name, value in {
        "BASE_URL": "https://blog.example",
        "SECRET_KEY": site.settings.secret_key,
        "DATABASE_URL": site.settings.database_url,
        "MAIL_SERVER": "localhost",
    }.items():
        monkeypatch.setenv(name, value)

    main(["mail"])

    said = capsys.readouterr().out
    assert "550" in said
    assert "n…@example.com" in said
    assert RECIPIENT not in said


def test_all_is_never_quiet_while_something_was_given_up(server: ScriptedServer, site: Site) -> None:
    """C71"""
    host = site.browser()
    link = tokens.register_link(site.settings, "host@example.com").removeprefix(site.settings.base_url)
    host.post(link, data={"username": "host", "password": PASSWORD})
    log_in(host, "host")
    before = host.get("/admin/mail").text
    server.answers["RCPT"] = "550 5.1.1 User unknown"
    ask(site)
    wait_for_rows(site.settings.database_url, "SELECT id FROM outbox_email WHERE state = 'dead'")

    assert "All quiet" in before
    assert "All quiet" not in host.get("/admin/mail").text
    assert "1 has failed" in host.get("/admin/mail").text


def test_a_person_whose_address_is_refused_sees_it_on_top_of_every_page_with_the_way_to_mend_it(
    server: ScriptedServer, site: Site
) -> None:
    """C67: until the server takes an email to it again"""
    susan = site.browser()
    link = tokens.register_link(site.settings, "susan@example.com").removeprefix(site.settings.base_url)
    susan.post(link, data={"username": "susan", "password": PASSWORD})
    log_in(susan, "susan")
    ask(site)
    server.wait_for_emails(1)
    words = "Emails to susan@example.com are refused"
    before = susan.get("/settings").text
    server.answers["RCPT"] = "550 5.1.1 User unknown"
    site.browser().post("/reset_password_request", data={"email": "susan@example.com"})
    wait_for_rows(site.settings.database_url, "SELECT address FROM refused_address")

    pages = [susan.get(path).text for path in ("/", "/explore", "/settings", "/letters", "/user/susan")]
    stranger = site.browser().get("/login").text

    assert all(words in page and 'href="/change_email"' in page for page in pages)
    assert words not in before + stranger
    del server.answers["RCPT"]
    site.browser().post("/reset_password_request", data={"email": "susan"})
    server.wait_for_emails(2)
    wait_for_rows(site.settings.database_url, "SELECT 1 WHERE NOT EXISTS (SELECT * FROM refused_address)")
    assert words not in susan.get("/").text


@deep
@pytest.mark.postgresql
@pytest.mark.parametrize("what", ["note", "lift"])
def test_two_mailers_that_meet_the_same_addresses_do_not_wait_for_each_other(
    make_settings: Callable[..., Settings], postgres_url: str, start_site: Callable[[Settings], Site], what: str
) -> None:
    """PostgreSQL gives up one of two who do; its mailer then hands back what it has in hand, and begins anew."""
    site = start_site(make_settings(database_url=postgres_url, mailer="off"))
    database, found = site.app.state.database, ("b@example.com", "a@example.com")
    outcomes = [Outcome(Verdict.NEVER, 550, "No such user.", refused=address) for address in found]

    async def another_mailer() -> None:
        async with database.direct(is_writing=True) as db:
            await (refusals.note(db, outcomes) if what == "note" else refusals.lift(db, found))
            await db.commit()

    async def meet() -> None:
        async with database.session(is_writing=True) as db:
            await refusals.note(db, outcomes)
            await db.commit()
        async with database.session(is_writing=True) as db, anyio.create_task_group() as tasks:
            await refusals.note(db, outcomes[1:])
            tasks.start_soon(another_mailer)
            with anyio.fail_after(PATIENCE):
                while not (await execute_in(db, text("SELECT 1 FROM pg_locks WHERE NOT granted"))).all():
                    await anyio.sleep(0.01)
            await refusals.note(db, outcomes[:1])
            await db.commit()

    site.run(meet)
