"""The mailer under way: real emails over real connections, in fair weather and foul."""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import time_machine
from sqlmodel.ext.asyncio.session import AsyncSession

from tests.depth import deep, one_in
from tests.inspection import query, wait_for_rows
from tests.mail.posting import post
from tests.mailbox import PATIENCE
from tests.mailserver import Certificates, MailServer
from tests.sites import QUICK, Site
from tests.smtp_script import Fault, ScriptedServer
from tests.stories import NEW_PASSWORD, PASSWORD, is_logged_in, log_in
from webapp.accounts import tokens, users
from webapp.database import CLOCKS_DIFFER, now
from webapp.delivery import budget
from webapp.delivery.dispatcher import BATCH, Dispatcher
from webapp.delivery.mailer import RUSH_VISITORS
from webapp.delivery.pace import Pace
from webapp.mail.kinds import KINDS, Draft, email_kind
from webapp.mail.models import Claimed, Priority
from webapp.settings import Settings

StartSite = Callable[..., Site]
MakeSettings = Callable[..., Settings]


@pytest.fixture
def pace() -> Pace:
    return QUICK


@pytest.fixture
def scripted(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    with ScriptedServer(starttls=certificates.right) as server:
        yield server


@pytest.fixture
def talk(
    sqlite_url: str, start_site: StartSite, make_settings: MakeSettings, scripted: ScriptedServer
) -> Callable[..., Site]:
    """Starts a site that talks to the scripted server over one connection."""
    settings = make_settings(**(scripted.settings | {"database_url": sqlite_url, "mail_connections": 1}))
    return partial(start_site, settings)


def ask(site: Site, address: str = "newcomer@example.com") -> None:
    assert site.browser().post("/register", data={"email": address}).status_code == 200


def add_account(site: Site, username: str = "susan") -> None:
    """By an invitation, which needs no mail."""
    link = tokens.register_link(site.settings, f"{username}@example.com")
    path = link.removeprefix(site.settings.base_url)
    assert site.browser().post(path, data={"username": username, "password": PASSWORD}).url.path == "/"


def wait_until_settled(site: Site) -> list[tuple[Any, ...]]:
    """The states of all emails, once none is under way."""
    deadline = time.monotonic() + PATIENCE
    while query(site.settings.database_url, "SELECT id FROM outbox_email WHERE finished_at IS NULL"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return query(site.settings.database_url, "SELECT state, attempts, code FROM outbox_email ORDER BY id")


@pytest.mark.alike
def test_a_forgotten_password_is_reset_by_an_email_from_a_real_server(
    database_url: str, start_site: StartSite, make_settings: MakeSettings, mail_server: MailServer
) -> None:
    site = start_site(make_settings(database_url=database_url, **mail_server.settings))
    add_account(site)
    browser = site.browser()

    browser.post("/reset_password_request", data={"email": "susan@example.com"})
    (email,) = mail_server.wait_for(1)
    link = next(line for line in email.content.decode().split("\r\n") if "/reset_password/" in line)
    browser.post(link.strip().removeprefix("https://blog.example"), data={"password": NEW_PASSWORD})
    log_in(browser, password=NEW_PASSWORD)

    assert is_logged_in(browser)
    told = mail_server.wait_for(3)
    assert {each.recipients for each in told} == {("susan@example.com",)}
    assert {each.message["Subject"] for each in told[1:]} == {
        "Your password on Microblog was changed",
        "A new log-in to your account on Microblog",
    }


# C05: the visitor's answer does not depend on the mail server


FAULTS = {
    "refused connection": None,
    "temporary refusal": ("RCPT", "450 try later"),
    "refused for good": ("RCPT", "550 no such person"),
    "busy": ("CONNECT", "421 too many"),
    "log-in refused": ("AUTH", "535 no"),
    "hangs": ("CONNECT", Fault.HANG),
    "hangs with the email": ("DOT", Fault.HANG),
    "hangs up": ("BODY", Fault.DROP),
}


@deep
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("fault", FAULTS)
@one_in(4)
def test_the_answer_is_the_same_whatever_the_server_does(
    sqlite_url: str,
    start_site: StartSite,
    make_settings: MakeSettings,
    scripted: ScriptedServer,
    fault: str,
    known: bool,
) -> None:
    """C05"""
    if what := FAULTS[fault]:
        scripted.answers[what[0]] = what[1]
    away = {} if what else {"mail_port": 1}
    site = start_site(make_settings(database_url=sqlite_url, **{**scripted.settings, **away}), grace=0.2)
    add_account(site)
    identity = "susan@example.com" if known else "nobody@example.com"

    started = time.monotonic()
    plain = site.browser(follow_redirects=False).post("/reset_password_request", data={"email": identity})
    seconds = time.monotonic() - started
    page = site.browser().get(plain.headers["location"])

    assert (plain.status_code, page.url.path.split("/")[1]) == (303, "check_email")
    assert f"If there's an account for <strong>{identity}</strong>, we've just emailed it a link" in page.text
    assert seconds < 30, "a hanging server takes longer than that"


# Nothing is lost, and nothing sent twice


@deep
def test_an_email_that_was_put_off_arrives_later(
    database_url: str, start_site: StartSite, make_settings: MakeSettings, scripted: ScriptedServer
) -> None:
    scripted.once("RCPT", "450 try later", "451 try later", "452 try later")
    site = start_site(make_settings(database_url=database_url, **scripted.settings))

    ask(site)

    scripted.wait_for_emails(1)
    assert wait_until_settled(site) == [("sent", 4, 250)]


@pytest.mark.alike
def test_an_email_that_is_refused_for_good_is_tried_once(
    database_url: str, start_site: StartSite, make_settings: MakeSettings, scripted: ScriptedServer
) -> None:
    scripted.answers["RCPT"] = "550 no such person"
    site = start_site(make_settings(database_url=database_url, **scripted.settings))

    ask(site)

    assert wait_until_settled(site) == [("dead", 1, 550)]
    assert [command for command in scripted.commands if command.startswith("RCPT")] == [
        "RCPT TO:<newcomer@example.com>"
    ]


@pytest.mark.alike
def test_emails_wait_for_a_server_that_is_away(
    database_url: str,
    start_site: StartSite,
    make_settings: MakeSettings,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """G6, small"""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    with ScriptedServer(starttls=certificates.right) as server:
        settings = server.settings
    site = start_site(make_settings(database_url=database_url, **settings))
    for number in range(12):
        ask(site, f"person{number}@example.com")
    wait_for_rows(database_url, "SELECT id FROM outbox_email WHERE reason IS NOT NULL")

    with ScriptedServer(starttls=certificates.right, port=settings["mail_port"]) as server:
        emails = server.wait_for_emails(12)
        states = wait_until_settled(site)

    assert Counter(email.recipients[0] for email in emails) == Counter(
        f"person{number}@example.com" for number in range(12)
    )
    assert states == [("sent", 1, 250)] * 12


@deep
@pytest.mark.parametrize("step", ["RCPT", "DATA"])
def test_an_address_at_which_the_server_falls_silent_delays_nobody_elses_email_for_long(
    sqlite_url: str, start_site: StartSite, make_settings: MakeSettings, scripted: ScriptedServer, step: str
) -> None:
    """It may look the address up, or ask its server, for as long as it likes: emails to others are tried first."""
    settings = make_settings(**(scripted.settings | {"database_url": sqlite_url, "mail_connections": 1}))
    scripted.answers = {f"{step} person{number}@example.com": Fault.HANG for number in range(3)}
    with Site(replace(settings, mailer="process")) as posting:
        posting.run(post, posting.app.state.database, 4, kind="register")

    start_site(settings, patience=1, retries=(60,))
    (email,) = scripted.wait_for_emails(1)

    named = [command for command in scripted.commands if command.startswith("RCPT")]
    assert email.recipients == ("person3@example.com",)
    assert len(named) == len(set(named)), "nobody has been tried again before"


@deep
@pytest.mark.parametrize("step", ["CONNECT", "EHLO", "STARTTLS", "AUTH", "MAIL", "DATA"])
@one_in(3)
def test_a_server_that_falls_silent_once_keeps_an_email_for_moments(
    talk: Callable[..., Site], scripted: ScriptedServer, step: str
) -> None:
    """One of several behind a load balancer may be dead, and minutes are the most that a server is given."""
    scripted.once(step, Fault.HANG)
    site = talk(patience=0.5)

    ask(site)

    scripted.wait_for_emails(1)


@deep
@pytest.mark.parametrize("step", ["CONNECT", "EHLO", "STARTTLS", "AUTH", "MAIL"])
@one_in(3)
def test_a_slow_server_gets_longer_each_time_and_costs_no_attempt(
    talk: Callable[..., Site], scripted: ScriptedServer, step: str
) -> None:
    scripted.seconds[step] = 1.0
    site = talk(patience=0.2)

    ask(site)

    scripted.wait_for_emails(1)
    assert wait_until_settled(site) == [("sent", 1, 250)]


@pytest.mark.parametrize("step", ["RCPT", "DATA"])
@deep
def test_a_server_that_takes_long_to_look_at_an_address_gets_longer_each_time(
    talk: Callable[..., Site], scripted: ScriptedServer, step: str
) -> None:
    scripted.seconds[step] = 1.0
    site = talk(patience=0.2)

    ask(site)

    scripted.wait_for_emails(1)
    ((_state, attempts, _code),) = wait_until_settled(site)
    assert attempts > 2


@deep
def test_a_server_that_is_away_is_tried_with_one_email_at_a_time(
    sqlite_url: str, start_site: StartSite, make_settings: MakeSettings, scripted: ScriptedServer
) -> None:
    scripted.answers["MAIL"] = "421 not now"
    site = start_site(make_settings(database_url=sqlite_url, **scripted.settings))
    ask(site)
    scripted.wait_for(lambda server: server.connections >= 3)
    scripted.most_open = 0

    for number in range(12):
        ask(site, f"person{number}@example.com")
    scripted.wait_for(lambda server: server.connections >= 12)

    assert scripted.most_open == 1


@deep
def test_a_stopped_mailer_hands_back_and_the_next_one_sends(
    database_url: str,
    start_site: StartSite,
    make_settings: MakeSettings,
    scripted: ScriptedServer,
) -> None:
    """Also what it had claimed and not yet written: the queue is full of emails that a server keeps waiting."""
    scripted.answers["DATA"] = Fault.HANG
    settings = make_settings(database_url=database_url, **scripted.settings)
    with Site(settings, pace=replace(QUICK, grace=0.2)) as site:
        site.run(post, site.app.state.database, BATCH + 5, kind="register")
        scripted.wait_for(lambda server: len(server.hanging) >= settings.mail_connections)
        wait_for_rows(database_url, "SELECT id FROM outbox_email WHERE state = 'leased'", BATCH)
        stopping = time.monotonic()
    seconds = time.monotonic() - stopping
    waiting = query(database_url, "SELECT state, attempts, crashes FROM outbox_email")
    del scripted.answers["DATA"]

    next_site = start_site(settings)

    emails = scripted.wait_for_emails(BATCH + 5)
    wait_until_settled(next_site)
    assert waiting == [("ready", 0, 0)] * (BATCH + 5)
    assert seconds < 30, "it waits no longer for a server that hangs than its grace"
    assert len({email.recipients for email in emails}) == len(scripted.emails) == BATCH + 5


def test_what_is_on_the_wire_at_a_stop_may_finish(
    sqlite_url: str, start_site: StartSite, make_settings: MakeSettings, scripted: ScriptedServer
) -> None:
    settings = make_settings(database_url=sqlite_url, **scripted.settings)

    with Site(settings, pace=QUICK) as site:
        for number in range(5):
            ask(site, f"person{number}@example.com")
        scripted.wait_for(lambda server: "AUTH" in server.verbs)

    rows = query(sqlite_url, "SELECT state FROM outbox_email ORDER BY state DESC")
    assert [state for (state,) in rows].count("sent") == len(scripted.emails) >= 1
    assert {state for (state,) in rows} <= {"sent", "ready"}


def test_a_mailer_that_has_just_begun_stops_at_once(sqlite_url: str, make_settings: MakeSettings) -> None:
    """It was told between two looks into the outbox, and does not sleep over it."""
    started = time.monotonic()

    for _time in range(5):
        with Site(make_settings(database_url=sqlite_url), pace=replace(QUICK, poll=30.0)) as site:
            site.browser().get("/login")

    assert time.monotonic() - started < 30, "one that sleeps over it takes as long each time"


@deep
def test_registrations_over_half_of_the_budget_wait_and_none_is_lost(
    database_url: str, start_site: StartSite, make_settings: MakeSettings, mail_server: MailServer
) -> None:
    sent = "SELECT id FROM outbox_email WHERE state = 'sent'"
    site = start_site(make_settings(database_url=database_url, mail_hourly_budget=6, **mail_server.settings))
    for number in range(7):
        ask(site, f"person{number}@example.com")
    wait_for_rows(database_url, sent, 3)
    time.sleep(0.5)
    in_the_first_hour = len(mail_server.emails)

    an_hour_ago = "UPDATE outbox_email SET finished_at = :then WHERE finished_at IS NOT NULL"
    _shift(database_url, an_hour_ago)
    wait_for_rows(database_url, sent, 6)
    time.sleep(0.5)
    in_the_second = len(mail_server.emails)
    _shift(database_url, an_hour_ago)
    emails = mail_server.wait_for(7)

    assert (in_the_first_hour, in_the_second) == (3, 6)
    assert len({email.recipients for email in emails}) == len(emails) == 7


@deep
def test_notices_leave_half_of_the_budget_to_emails_that_somebody_waits_for(
    database_url: str, start_site: StartSite, make_settings: MakeSettings, mail_server: MailServer
) -> None:
    sent = "SELECT recipient FROM outbox_email WHERE state = 'sent'"
    site = start_site(make_settings(database_url=database_url, mail_hourly_budget=10, **mail_server.settings))
    database = site.app.state.database
    site.run(post, database, 12, kind="register", name="patient", priority=Priority.CAN_WAIT)
    wait_for_rows(database_url, sent, 4)
    time.sleep(0.5)
    patient = len(mail_server.emails)

    site.run(post, database, 5, kind="register", name="told", priority=Priority.NOTICE)
    wait_for_rows(database_url, sent, 5)
    time.sleep(0.5)
    told = len(mail_server.emails)
    site.run(post, database, 9, kind="register", name="locked_out")
    emails = mail_server.wait_for(10)
    time.sleep(0.5)

    assert (patient, told) == (4, 5)
    names = [re.sub(r"\d*@.*", "", email.recipients[0]) for email in emails]
    assert Counter(names) == {"patient": 4, "told": 1, "locked_out": 5}
    assert len(mail_server.emails) == 10


@deep
def test_registrations_by_strangers_use_up_nobodys_reset(
    sqlite_url: str, start_site: StartSite, make_settings: MakeSettings, mail_server: MailServer
) -> None:
    """C66: from as many networks as they like; and notices leave a quarter, too."""
    site = start_site(make_settings(database_url=sqlite_url, mail_hourly_budget=20, **mail_server.settings))
    site.run(post, site.app.state.database, 9, kind="register", name="told", priority=Priority.NOTICE)
    mail_server.wait_for(9)
    for number in range(30):
        ask(site, f"anybody{number}@example.net")
    mail_server.wait_for(15)
    time.sleep(0.5)
    before = len(mail_server.emails)

    site.run(post, site.app.state.database, 5, kind="register", name="locked_out")
    emails = mail_server.wait_for(20)

    names = Counter(re.sub(r"\d*@.*", "", email.recipients[0]) for email in emails)
    assert (before, names) == (15, {"told": 9, "anybody": 6, "locked_out": 5})


@deep
def test_resets_that_strangers_ask_for_leave_an_eighth_to_people_in_their_own_browser(
    sqlite_url: str, start_site: StartSite, make_settings: MakeSettings, mail_server: MailServer
) -> None:
    """C66: with a list of members and a network for each of them."""
    site = start_site(make_settings(database_url=sqlite_url, mail_hourly_budget=16, **mail_server.settings))
    owner = site.browser()
    people = [f"member_{number}" for number in range(20)]
    password_hash = site.argon2.hash(PASSWORD)

    async def add() -> None:
        async with site.app.state.database.session(is_writing=True) as db:
            db.add_all([users.new(name, f"{name}@example.com", password_hash) for name in people])
            await db.commit()

    site.run(add)
    log_in(owner, people[0])
    for number, name in enumerate(people[1:]):
        site.browser(f"198.51.100.{number}").post("/reset_password_request", data={"email": name})
    mail_server.wait_for(14)
    time.sleep(0.5)
    before = len(mail_server.emails)

    owner.post("/reset_password_request", data={"email": people[0]})

    assert before == 14
    assert mail_server.wait_for(15)[-1].recipients == (f"{people[0]}@example.com",)


@pytest.mark.parametrize(
    ("spent", "left"),
    [
        ((0, 0, 0, 0, 0), (100, 88, 50, 50, 40)),
        ((0, 0, 50, 0, 0), (50, 38, 0, 25, 25)),
        ((0, 0, 50, 25, 0), (25, 13, 0, 0, 0)),
        ((0, 0, 0, 40, 10), (50, 38, 25, 0, 0)),
        ((60, 0, 0, 0, 0), (40, 40, 40, 40, 40)),
        ((0, 88, 0, 0, 0), (12, 0, 0, 0, 0)),
        ((4, 84, 0, 0, 0), (12, 4, 4, 4, 4)),
        ((12, 13, 50, 25, 0), (0, 0, 0, 0, 0)),
        ((60, 0, 30, 10, 0), (0, 0, 0, 0, 0)),
        ((120, 0, 0, 0, 0), (0, 0, 0, 0, 0)),
    ],
)
def test_each_priority_gets_its_share_of_the_budget(spent: tuple[int, ...], left: tuple[int, ...]) -> None:
    """Of 100: who surely waits for one, who may, newcomers, notices, what can wait."""
    found = budget.shared(100, dict(zip(Priority, spent, strict=True)))

    assert tuple(found.values()) == left


@pytest.mark.alike
def test_an_email_that_cannot_be_written_harms_no_other(
    database_url: str, start_site: StartSite, make_settings: MakeSettings, mail_server: MailServer
) -> None:
    """A row of a kind that this version does not know, as after a step back to an older one."""
    site = start_site(make_settings(database_url=database_url, **mail_server.settings, mailer="process"))
    for number in range(3):
        ask(site, f"person{number}@example.com")
    query(database_url, "UPDATE outbox_email SET kind = 'a kind of the future' WHERE recipient = 'person1@example.com'")
    site.__exit__(None, None, None)

    with Site(make_settings(database_url=database_url, **mail_server.settings), pace=QUICK):
        emails = mail_server.wait_for(2)
        ((reason,),) = wait_for_rows(
            database_url, "SELECT reason FROM outbox_email WHERE finished_at IS NULL AND reason IS NOT NULL"
        )

    assert {email.recipients[0] for email in emails} == {"person0@example.com", "person2@example.com"}
    assert reason == "not written: KeyError"


class BreakingDraft(Draft):
    """Can be made, and breaks whoever reads it, for no reason that anybody thought of."""

    def __getattribute__(self, name: str) -> Any:
        if name == "recipient":
            raise RuntimeError("read")
        return super().__getattribute__(name)


@pytest.fixture
def breaking_kind() -> Iterator[str]:
    """A kind of email whose drafts break the mailer."""

    @email_kind("breaks_its_mailer", expires_after=timedelta(hours=1), samples=lambda settings: [])
    async def write(db: AsyncSession, settings: Settings, email: Claimed) -> Draft:
        return BreakingDraft("register", email.recipient)

    yield "breaks_its_mailer"
    del KINDS["breaks_its_mailer"]


@deep
def test_an_email_that_breaks_its_mailer_harms_no_other(
    database_url: str,
    start_site: StartSite,
    make_settings: MakeSettings,
    mail_server: MailServer,
    breaking_kind: str,
) -> None:
    """No email should; but if one does, it comes by itself in the end, and is given up."""
    settings = make_settings(database_url=database_url, **mail_server.settings)
    with Site(replace(settings, mailer="process")) as posting:
        posting.run(post, posting.app.state.database, 3, kind="register")
    query(database_url, f"UPDATE outbox_email SET kind = '{breaking_kind}' WHERE recipient = 'person1@example.com'")

    site = start_site(settings, lease=timedelta(seconds=0.3), least_lease=timedelta(), suspect=0.1, restarts=(0.05,))
    emails = mail_server.wait_for(2)
    states = wait_until_settled(site)

    assert {email.recipients[0] for email in emails} == {"person0@example.com", "person2@example.com"}
    assert [state for state, _attempts, _code in states] == ["sent", "dead", "sent"]


@deep
@pytest.mark.alike
def test_emails_that_mailers_died_with_leave_one_after_the_other_without_a_pause(
    database_url: str, start_site: StartSite, make_settings: MakeSettings, mail_server: MailServer
) -> None:
    """A process that is killed had many in hand, and hardly one of them is the cause."""
    settings = make_settings(database_url=database_url, **mail_server.settings)
    with Site(replace(settings, mailer="process")) as posting:
        posting.run(post, posting.app.state.database, 8, kind="register")
    _shift(database_url, "UPDATE outbox_email SET state = 'leased', due_at = :then, crashes = 1")

    start_site(settings, poll=60.0, suspect=60.0)

    assert len({email.recipients[0] for email in mail_server.wait_for(8)}) == 8


@one_in(2)
def test_two_mailers_on_one_database_never_send_an_email_twice(
    database_url: str, start_site: StartSite, make_settings: MakeSettings, mail_server: MailServer
) -> None:
    settings = make_settings(database_url=database_url, **mail_server.settings)
    sites = [start_site(settings), start_site(settings)]

    for number in range(30):
        ask(sites[number % 2], f"person{number}@example.com")
    mail_server.wait_for(30)
    states = wait_until_settled(sites[0])

    times = Counter(email.recipients[0] for email in mail_server.emails)
    assert times == Counter(f"person{number}@example.com" for number in range(30))
    assert states == [("sent", 1, 250)] * 30


@pytest.mark.alike
def test_an_email_to_nobody_leaves_neither_an_email_nor_a_row(
    database_url: str, start_site: StartSite, make_settings: MakeSettings, mail_server: MailServer
) -> None:
    site = start_site(make_settings(database_url=database_url, **mail_server.settings))

    site.browser().post("/reset_password_request", data={"email": "nobody@example.com"})

    deadline = time.monotonic() + PATIENCE
    while query(database_url, "SELECT id FROM outbox_email"):
        assert time.monotonic() < deadline
    assert mail_server.emails == []


@pytest.mark.alike
def test_an_email_that_is_too_old_is_not_sent_any_more(
    database_url: str, start_site: StartSite, make_settings: MakeSettings, mail_server: MailServer
) -> None:
    """G6: marked, and kept to be listed"""
    settings = make_settings(database_url=database_url, **mail_server.settings)
    with Site(make_settings(database_url=database_url, **mail_server.settings, mailer="process")) as site:
        ask(site)
    _shift(database_url, "UPDATE outbox_email SET expires_at = :then")

    site = start_site(settings)

    assert [state for state, _attempts, _code in wait_until_settled(site)] == ["expired"]
    assert mail_server.emails == []


def test_an_email_reaches_its_server_soon_after_the_answer(
    database_url: str,
    start_site: StartSite,
    make_settings: MakeSettings,
    mail_server: MailServer,
) -> None:
    """G5: the commit wakes the mailer, not the poll"""
    site = start_site(make_settings(database_url=database_url, **mail_server.settings), poll=30.0)
    ask(site, "first@example.com")
    mail_server.wait_for(1)

    started = time.monotonic()
    ask(site, "second@example.com")
    mail_server.wait_for(2)

    assert time.monotonic() - started < 10


@pytest.mark.parametrize(("visitors", "at_least"), [(RUSH_VISITORS - 1, 0.0), (RUSH_VISITORS, 0.5)])
@deep
def test_emails_give_way_to_many_visitors(
    sqlite_url: str,
    start_site: StartSite,
    make_settings: MakeSettings,
    mail_server: MailServer,
    visitors: int,
    at_least: float,
) -> None:
    """They still leave, with a rest after each that is many times as long as the writing; else without."""
    site = start_site(make_settings(database_url=sqlite_url, **mail_server.settings), share=0.002 if at_least else 1e-9)
    ask(site, "first@example.com")
    mail_server.wait_for(1)

    site.app.state.database.visitors = visitors
    began = time.monotonic()
    site.run(post, site.app.state.database, 4, kind="register")
    mail_server.wait_for(5)

    assert time.monotonic() - began >= at_least


def _shift(database_url: str, statement: str) -> None:
    """Lets an hour pass in the database's rows."""
    then = now() - timedelta(minutes=61)
    query(database_url, statement, then=then.isoformat(" ") if "sqlite" in database_url else then)


@deep
@pytest.mark.parametrize("ahead", [timedelta(minutes=10), timedelta(days=1)])
@one_in(6)
def test_a_clock_that_is_set_sends_nothing_twice(
    database_url: str, start_site: StartSite, make_settings: MakeSettings, scripted: ScriptedServer, ahead: timedelta
) -> None:
    """It is set ahead, and later back, while an email is on the wire and another process looks for work."""
    settings = make_settings(database_url=database_url, mail_connections=1, **scripted.settings)
    site, _other = start_site(settings), start_site(settings)
    ask(site, "earlier@example.com")
    wait_until_settled(site)
    scripted.seconds["DOT"] = 1.0

    with time_machine.travel(now(), tick=True) as clock:
        for address, moved in (("ahead@example.com", ahead), ("back@example.com", -ahead)):
            scripted.commands.clear()
            ask(site, address)
            scripted.wait_for(lambda server: "DATA" in server.commands)
            clock.shift(moved)
            wait_until_settled(site)

    arrived = [email.recipients[0] for email in scripted.emails]
    assert arrived == ["earlier@example.com", "ahead@example.com", "back@example.com"]


@deep
def test_a_clock_that_is_set_in_mid_claim_takes_no_email_from_who_holds_it(
    database_url: str, start_site: StartSite, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is set after the mailer looked at it, and before the mailer asks whose lease is over."""
    settings = make_settings(database_url=database_url, mailer="process")
    site = start_site(settings)
    ask(site)
    database, templates = site.app.state.database, site.app.state.templates
    holder, other = (
        Dispatcher(settings, database, templates, site.app.state.alarms.report, QUICK) for _each in range(2)
    )
    site.run(holder.claim, 1)
    look = budget.left

    with time_machine.travel(now(), tick=True) as clock:

        async def look_and_set(*arguments: Any) -> dict[Priority, int]:
            clock.shift(timedelta(minutes=10))
            return await look(*arguments)

        monkeypatch.setattr(budget, "left", look_and_set)
        assert site.run(other.claim, 1) == []

    assert query(database_url, "SELECT leased_by FROM outbox_email") == [(holder.mailer,)]


def clocks_said(caplog: pytest.LogCaptureFixture) -> list[int]:
    return [record.__dict__["fields"]["seconds_ahead"] for record in caplog.records if record.msg == "clocks_differ"]


@pytest.mark.parametrize("ahead", [timedelta(seconds=30), timedelta(minutes=5), -timedelta(minutes=5)], ids=str)
@one_in(3)
def test_a_clock_that_is_not_the_databases_is_said(
    database_url: str,
    start_site: StartSite,
    make_settings: MakeSettings,
    mail_server: MailServer,
    caplog: pytest.LogCaptureFixture,
    ahead: timedelta,
) -> None:
    """Two machines learn so that their clocks differ. SQLite has none of its own."""
    with time_machine.travel(now() + ahead, tick=True):
        site = start_site(make_settings(database_url=database_url, **mail_server.settings))
        ask(site)
        mail_server.wait_for(1)

    said, is_too_far = clocks_said(caplog), database_url.startswith("postgresql") and abs(ahead) > CLOCKS_DIFFER
    assert bool(said) is is_too_far
    assert all(abs(seconds - ahead.total_seconds()) < 10 for seconds in said)


@pytest.mark.parametrize("mailer", ["process", "off"])
@pytest.mark.usefixtures("cleanup_at_once")
def test_a_process_without_a_mailer_says_it_too(
    postgres_url: str, start_site: StartSite, make_settings: MakeSettings, caplog: pytest.LogCaptureFixture, mailer: str
) -> None:
    with time_machine.travel(now() + timedelta(minutes=5), tick=True):
        start_site(make_settings(database_url=postgres_url, mailer=mailer))
        deadline = time.monotonic() + PATIENCE
        while not (said := clocks_said(caplog)):
            assert time.monotonic() < deadline, "nothing was said"
            time.sleep(0.05)

    assert abs(said[0] - 300) < 10
