"""Delivery: only to the right server, to exactly one recipient, and every answer ends in its state."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.depth import deep, one_in, some
from tests.inspection import query, wait_for_rows
from tests.mailserver import PASSWORD, Certificates, MailServer
from tests.sites import SECRET_KEY, Site
from tests.smtp_script import Fault, ScriptedServer
from tests.stories import ask_for_reset
from webapp.accounts import tokens
from webapp.cli.main import main
from webapp.database import migrations
from webapp.delivery import conversation
from webapp.settings import Settings

StartSite = Callable[..., Site]
MakeSettings = Callable[..., Settings]

# What becomes of an email: (state, attempts), whether for a fault of its own or of the server's.
WAITS, LATER, DEAD = ("ready", 0), ("ready", 1), ("dead", 1)
OUTCOMES = [
    ("CONNECT", "421 too many", WAITS),
    ("CONNECT", "554 go away", WAITS),
    ("CONNECT", Fault.DROP, WAITS),
    ("CONNECT", Fault.HANG, WAITS),
    ("EHLO", "421 not now", WAITS),
    ("AUTH", "535 5.7.8 wrong password", WAITS),
    ("AUTH", "454 4.7.0 try again", WAITS),
    ("AUTH", Fault.DROP, WAITS),
    ("MAIL", "421 not now", WAITS),
    ("MAIL", "451 try again", LATER),
    ("MAIL", "550 you may not", WAITS),
    ("MAIL", Fault.DROP, WAITS),
    ("MAIL", Fault.HANG, WAITS),
    ("RCPT", "421 not now", WAITS),
    ("RCPT", "450 mailbox busy", LATER),
    ("RCPT", "451 try again", LATER),
    ("RCPT", "452 full", LATER),
    ("RCPT", "550 no such person", DEAD),
    ("RCPT", "553 bad name", DEAD),
    ("RCPT", Fault.DROP, WAITS),
    ("DATA", "451 try again", LATER),
    ("DATA", "554 no", DEAD),
    ("DATA", Fault.DROP, LATER),
    ("BODY", Fault.DROP, LATER),
    ("DOT", "421 not now", WAITS),
    ("DOT", "451 try again", LATER),
    ("DOT", "452 full", LATER),
    ("DOT", "552 too large", DEAD),
    ("DOT", "554 spam", DEAD),
    ("DOT", Fault.DROP, LATER),
]
PASSING = [(step, answer) for step, answer, (state, _attempts) in OUTCOMES if state != "dead"]


@pytest.fixture
def scripted(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    with ScriptedServer(starttls=certificates.right) as server:
        yield server


@pytest.fixture
def start(sqlite_url: str, make_settings: MakeSettings, start_site: StartSite) -> Callable[..., Site]:
    """Starts a site with one connection to a mail server."""

    def start(settings: dict[str, object], pace: dict[str, object] | None = None, **more: object) -> Site:
        values = {"database_url": sqlite_url, "mail_connections": 1} | settings | more
        return start_site(make_settings(**values), **(pace or {}))

    return start


# What was refused stays so for the test, or for moments.
ONCE = {"pauses": (60,), "retries": (60,)}
AGAIN = {"pauses": (0.02,), "retries": (0.05,), "poll": 0.05}


def patience(answer: object) -> dict[str, object]:
    """Gives up on a silent server after moments. One that answers may need longer on a busy machine."""
    return {"command": 0.4, "final": 0.4, "deadline": 1.5} if answer is Fault.HANG else {}


def ask(site: Site, address: str = "newcomer@example.com") -> None:
    assert site.browser().post("/register", data={"email": address}).status_code == 200


# C61: every outcome ends in its state


@pytest.mark.parametrize(("step", "answer", "expected"), some(OUTCOMES, 2), ids=str)
@one_in(12)
def test_every_answer_of_a_server_ends_in_its_state(
    scripted: ScriptedServer,
    start: Callable[..., Site],
    step: str,
    answer: str | Fault,
    expected: tuple[str, int],
) -> None:
    """C61"""
    scripted.answers[step] = answer
    site = start(scripted.settings, ONCE | patience(answer))

    ask(site)

    judged = "SELECT state, attempts, code, reason FROM outbox_email WHERE state <> 'leased' AND reason IS NOT NULL"
    ((state, attempts, code, reason),) = wait_for_rows(site.settings.database_url, judged)
    assert (state, attempts) == expected
    if isinstance(answer, str) and step not in {"CONNECT", "EHLO"}:
        assert code == int(answer[:3]), reason
        assert answer[4:] in reason


@pytest.mark.parametrize(
    "answer", ["what?", "999 what", "000 what", "-50 what", "250-and so on\r\n" * 3000], ids=range(5)
)
@pytest.mark.parametrize("step", ["CONNECT", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "DOT"])
@deep
def test_a_server_that_speaks_no_smtp_costs_no_attempt_and_is_said_to(
    scripted: ScriptedServer, start: Callable[..., Site], step: str, answer: str
) -> None:
    scripted.answers[step] = answer
    site = start(scripted.settings, ONCE)

    ask(site)

    judged = "SELECT state, attempts, reason FROM outbox_email WHERE state <> 'leased' AND reason IS NOT NULL"
    ((state, attempts, reason),) = wait_for_rows(site.settings.database_url, judged)
    assert (state, attempts) == (LATER if step in {"DATA", "DOT"} else WAITS), "it may have taken the email itself"
    assert reason.startswith("The server's answer is no SMTP: ")


@pytest.mark.parametrize(
    ("step", "answer", "following"), [("AUTH", "235", "MAIL"), ("MAIL", "250", "RCPT"), ("RCPT", "250", "DATA")]
)
def test_a_second_answer_in_one_packet_is_taken_for_none_to_what_comes_next(
    scripted: ScriptedServer, start: Callable[..., Site], step: str, answer: str, following: str
) -> None:
    """The next step is refused for good, and isn't even reached."""
    scripted.answers |= {step: f"{answer} ok\r\n250 ok", following: "550 no"}
    site = start(scripted.settings, ONCE)

    ask(site)

    judged = "SELECT state, attempts, reason FROM outbox_email WHERE state <> 'leased' AND reason IS NOT NULL"
    ((state, attempts, reason),) = wait_for_rows(site.settings.database_url, judged)
    assert (state, attempts) == WAITS
    assert reason.startswith("The server's answer is no SMTP: ")


def test_a_refused_email_is_not_sent_because_an_answer_came_before_it_was_read(
    scripted: ScriptedServer, start: Callable[..., Site]
) -> None:
    scripted.answers |= {"DATA": "354 go on\r\n250 taken", "DOT": "554 no"}
    site = start(scripted.settings, ONCE)

    ask(site)

    judged = "SELECT state, attempts FROM outbox_email WHERE state <> 'leased' AND reason IS NOT NULL"
    assert wait_for_rows(site.settings.database_url, judged) == [LATER]


def test_an_email_that_is_taken_twice_in_words_is_sent_once_and_harms_no_other(
    scripted: ScriptedServer, start: Callable[..., Site]
) -> None:
    scripted.answers["DOT"] = "250 taken\r\n250 taken"
    site = start(scripted.settings, ONCE)

    for number in range(3):
        ask(site, f"newcomer{number}@example.com")
        scripted.wait_for_emails(number + 1)

    states = "SELECT state, attempts FROM outbox_email WHERE finished_at IS NOT NULL"
    assert wait_for_rows(site.settings.database_url, states, count=3) == [("sent", 1)] * 3
    assert len(scripted.emails) == 3


@pytest.mark.parametrize(("step", "answer"), some(PASSING, 3), ids=str)
@one_in(6)
def test_an_email_arrives_once_the_trouble_is_over(
    scripted: ScriptedServer,
    start: Callable[..., Site],
    step: str,
    answer: str | Fault,
) -> None:
    """C61, G7"""
    scripted.once(step, answer)
    site = start(scripted.settings, AGAIN | patience(answer))

    ask(site)

    wait_for_rows(site.settings.database_url, "SELECT id FROM outbox_email WHERE state = 'sent'")
    taken_twice = step == "DOT" and answer is Fault.DROP
    assert len(scripted.emails) == (2 if taken_twice else 1)
    assert len({email.message["Message-ID"] for email in scripted.emails}) == 1


def test_a_server_that_is_away_costs_no_attempt(start: Callable[..., Site], scripted: ScriptedServer) -> None:
    """C61"""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        site = start(scripted.settings, mail_port=nobody.getsockname()[1])
        ask(site)
        judged = "SELECT state, attempts, reason FROM outbox_email WHERE state = 'ready' AND reason IS NOT NULL"
        ((state, attempts, reason),) = wait_for_rows(site.settings.database_url, judged)

    assert (state, attempts) == ("ready", 0)
    assert "can't be reached" in reason or "Error connecting" in reason


# One name, several addresses


@pytest.fixture
def two_addresses(
    certificates: Certificates, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[ScriptedServer, ScriptedServer]]:
    """Two servers behind one name. Neither has more than two seconds while there is the other."""
    with ScriptedServer(starttls=certificates.right) as second:
        stand_for(monkeypatch, scripted.port, scripted.port, second.port, moment=2.0)
        yield scripted, second


def stand_for(monkeypatch: pytest.MonkeyPatch, asked_port: int, *ports: int, moment: float = 0.5) -> None:
    usual = socket.getaddrinfo

    def resolve(host: Any, port: Any, *asked: Any, **more: Any) -> list[Any]:
        if port != asked_port:
            return usual(host, port, *asked, **more)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", each)) for each in ports]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(conversation, "REACH_TIMEOUT", moment)


@deep
@pytest.mark.parametrize("answer", [Fault.HANG, Fault.DROP], ids=str)
@pytest.mark.parametrize("step", ["CONNECT", "EHLO", "STARTTLS", "AUTH"])
@one_in(4)
def test_an_address_that_lets_nobody_in_is_waited_for_once(
    two_addresses: tuple[ScriptedServer, ScriptedServer], start: Callable[..., Site], step: str, answer: Fault
) -> None:
    """Otherwise each email of a quiet site would wait for it."""
    dead, alive = two_addresses
    dead.answers[step] = answer
    site = start(dead.settings, {"pauses": (60,)})

    ask(site, "first@example.com")
    alive.wait_for_emails(1)
    alive.once("MAIL", Fault.DROP)
    ask(site, "second@example.com")

    alive.wait_for_emails(2)
    assert (dead.connections, alive.connections) == (1, 2)


@pytest.mark.parametrize("step", ["CONNECT", "EHLO", "STARTTLS", "AUTH"])
@one_in(4)
def test_an_address_that_needs_longer_has_its_time_once_no_other_lets_us_in(
    scripted: ScriptedServer, start: Callable[..., Site], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        stand_for(monkeypatch, scripted.port, scripted.port, nobody.getsockname()[1])
        scripted.seconds[step] = 1.0
        site = start(scripted.settings, {"pauses": (60,)})

        ask(site)

        scripted.wait_for_emails(1)


def test_what_a_server_says_is_told_rather_than_that_another_address_is_empty(
    scripted: ScriptedServer, start: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        stand_for(monkeypatch, scripted.port, scripted.port, nobody.getsockname()[1])
        scripted.answers["CONNECT"] = "554 go away"
        site = start(scripted.settings, ONCE)

        ask(site)

        reasons = "SELECT reason FROM outbox_email WHERE reason IS NOT NULL"
        assert "go away" in wait_for_rows(site.settings.database_url, reasons)[0][0]


@pytest.mark.parametrize("command", [["doctor"], ["send-test-mail", "host@example.com"]], ids=lambda words: words[0])
@deep
def test_whoever_looks_finds_the_address_that_lets_us_in_too(
    two_addresses: tuple[ScriptedServer, ScriptedServer],
    sqlite_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
) -> None:
    dead, alive = two_addresses
    dead.answers["CONNECT"] = Fault.HANG
    site = {"BASE_URL": "https://blog.example", "SECRET_KEY": SECRET_KEY, "DATABASE_URL": sqlite_url}
    for name, value in {**site, **dead.environment}.items():
        monkeypatch.setenv(name, value)

    assert main(command) == 0, capsys.readouterr().out
    assert alive.connections == 1


@pytest.mark.parametrize("next_way", [Fault.DROP, "421 4.7.0 too many failures"], ids=str)
def test_a_refused_log_in_is_said_to_be_one_though_the_server_hangs_up(
    scripted: ScriptedServer, start: Callable[..., Site], next_way: str | Fault
) -> None:
    """It offers two ways to log in, and is gone before both are tried."""
    scripted.once("AUTH", "535 5.7.8 wrong password", next_way)
    site = start(scripted.settings, ONCE)

    ask(site)

    reasons = "SELECT reason FROM outbox_email WHERE reason IS NOT NULL"
    ((reason,),) = wait_for_rows(site.settings.database_url, reasons)
    assert ("wrong password" if next_way is Fault.DROP else "too many failures") in reason


# C60: an encrypted connection to the right server, or none


@pytest.mark.parametrize("certificate", ["unknown", "wrong_name"])
@pytest.mark.parametrize("encryption", ["starttls", "tls"])
def test_a_server_with_a_bad_certificate_gets_no_log_in_and_no_email(
    certificates: Certificates,
    start: Callable[..., Site],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    certificate: str,
    encryption: str,
) -> None:
    """C60"""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    options: dict[str, Any] = {encryption: getattr(certificates, certificate)}
    with ScriptedServer(**options) as server:
        site = start(server.settings)

        ask(site)

        ((reason,),) = wait_for_rows(
            site.settings.database_url, "SELECT reason FROM outbox_email WHERE reason IS NOT NULL"
        )
        assert "certificate" in reason
        assert server.emails == []
        assert server.verbs <= {"EHLO", "STARTTLS"}
    assert "mail_server_unavailable" in _warnings(caplog)


def test_a_certificate_that_is_put_right_is_read_without_a_restart(
    certificates: Certificates, start: Callable[..., Site], tmp_path: Path
) -> None:
    """Also one that is missing for a moment."""
    trusted = tmp_path / "authority.pem"
    trustme.CA().cert_pem.write_to_path(trusted)
    with ScriptedServer(starttls=certificates.right) as server:
        site = start({**server.settings, "mail_ca_file": str(trusted)}, AGAIN)

        ask(site)

        wait_for_rows(site.settings.database_url, "SELECT id FROM outbox_email WHERE reason LIKE '%issuer is unknown%'")
        trusted.unlink()
        wait_for_rows(site.settings.database_url, "SELECT id FROM outbox_email WHERE reason LIKE '%MAIL_CA_FILE%'")
        trusted.write_bytes(certificates.authority.read_bytes())
        assert len(server.wait_for_emails(1)) == 1


def test_a_server_without_starttls_gets_no_log_in_and_no_email(
    scripted: ScriptedServer, start: Callable[..., Site], caplog: pytest.LogCaptureFixture
) -> None:
    """C60: somebody on the wire may have taken STARTTLS out of the server's greeting"""
    with ScriptedServer() as stripped:
        site = start(scripted.settings, mail_port=stripped.port)

        ask(site)

        ((reason,),) = wait_for_rows(
            site.settings.database_url, "SELECT reason FROM outbox_email WHERE reason IS NOT NULL"
        )
        assert "STARTTLS" in reason
        assert stripped.emails == []
        assert stripped.verbs <= {"EHLO", "QUIT"}
    assert "mail_server_unavailable" in _warnings(caplog)


@pytest.mark.parametrize("encryption", ["starttls", "tls"])
def test_a_server_with_the_right_certificate_gets_both(
    certificates: Certificates, start: Callable[..., Site], monkeypatch: pytest.MonkeyPatch, encryption: str
) -> None:
    """C60, the control; implicit TLS is what MAIL_USE_SSL asks for"""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    options: dict[str, Any] = {encryption: certificates.right}
    with ScriptedServer(**options) as server:
        site = start(server.settings)

        ask(site)

        (email,) = server.wait_for_emails(1)
        assert email.recipients == ("newcomer@example.com",)
        assert "AUTH" in server.verbs
        assert ("STARTTLS" in server.verbs) is (encryption == "starttls")


def _warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


# Connections: few, kept, and thrown away in time


def test_emails_share_a_connection(mail_server: MailServer, start: Callable[..., Site]) -> None:
    site = start(mail_server.settings)

    for number in range(6):
        ask(site, f"person{number}@example.com")
    mail_server.wait_for(6)

    assert mail_server.logins == 1


@deep
def test_no_more_connections_than_set_are_opened(scripted: ScriptedServer, start: Callable[..., Site]) -> None:
    """C62"""
    site = start(scripted.settings, mail_connections=2)

    for number in range(20):
        ask(site, f"person{number}@example.com")
    scripted.wait_for_emails(20)

    assert 1 <= scripted.most_open <= 2


@pytest.mark.parametrize("answer", [Fault.DROP, "421 you were idle"])
def test_a_connection_that_the_server_has_closed_delays_no_email(
    scripted: ScriptedServer, start: Callable[..., Site], answer: str | Fault
) -> None:
    site = start(scripted.settings, {"pauses": (60,)})
    ask(site, "first@example.com")
    scripted.wait_for_emails(1)
    scripted.once("MAIL", answer)

    ask(site, "second@example.com")

    scripted.wait_for_emails(2)  # after that pause it would be too late
    assert scripted.connections == 2


# C08: one recipient, the stored one, whatever was typed

HOSTILE = [
    "susan@example.com\r\nBcc: evil@example.net",
    "susan@example.com\nBcc: evil@example.net",
    "susan@example.com\rBcc: evil@example.net",
    "susan@example.com\r\n\r\nA body of my own",
    "susan@example.com>\r\nRCPT TO:<evil@example.net",
    "susan@example.com\r\n.\r\nMAIL FROM:<evil@example.net>",
    "susan@example.com\x00evil@example.net",
    "susan\x00@example.com",
    "susan@example.com\x0b",
    "susan@example.com\u2028Bcc: evil@example.net",
    "susan@example.com\x85Bcc: evil@example.net",
    "susan@example.com,evil@example.net",
    "susan@example.com;evil@example.net",
    "susan@example.com evil@example.net",
    "susan@example.com, evil@example.net",
    "evil@example.net,susan@example.com",
    "susan@example.com\tevil@example.net",
    "<susan@example.com>",
    "Susan <susan@example.com>",
    "<evil@example.net> susan@example.com",
    '"susan@example.com" <evil@example.net>',
    '"susan evil"@example.com',
    '"evil@example.net>"@example.com',
    "susan@example.com(evil@example.net)",
    "susan(evil@example.net)@example.com",
    "@evil.example:susan@example.com",
    "susan@example.com@evil.example",
    "susan@evil.example@example.com",
    "susan@[127.0.0.1]",
    "susan@example.com>",
    "<susan@example.com",
    "susan@example.com ORCPT=rfc822;evil@example.net",
    "=?utf-8?q?susan=40example=2Ecom=2Cevil?= <evil@example.net>",
    "=?utf-8?q?susan?=@example.com",
    "=?utf-8?q?susan=40example.com=3E?=@evil.example",
    "x=?utf-8?b?c3VzYW4=?=@example.com",
    "undisclosed-recipients:;",
    "friends: susan@example.com, evil@example.net;",
    "susan@example.com\\r\\nBcc: evil@example.net",
    "susan@example.com%0d%0aBcc:evil@example.net",
    "susan@exam\r\nple.com",
    "susan@example.com'--@evil.example",
    "ſusan@example.com",
    "susan＠example.com",
]
# Strange, but real addresses: each is mailed as it is, and nobody else.
STRANGE = [
    "susan%evil@example.com",
    "evil!susan@example.com",
    "|/bin/sh@example.com",
    "-oq/tmp/x@example.com",
    "susan+evil=example.net@example.com",
    "{{7*7}}${x}@example.com",
    "o'brien'--@example.com",
    "`id`@example.com",
    "susan@xn--e1afmkfd.example",
]


@pytest.fixture(scope="module")
def posted(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, MailServer]]:
    """A site with a real mail server, where susan@example.com has an account, for the whole corpus."""
    url = f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('corpus') / 'site.db'}"
    migrations.upgrade(url)
    with pytest.MonkeyPatch.context() as patch, MailServer(certificates) as server:
        patch.setenv("SSL_CERT_FILE", str(certificates.authority))
        settings = Settings(
            base_url="https://blog.example",
            secret_key=SECRET_KEY,
            database_url=url,
            trusted_proxies=1,
            **server.settings,
        )
        with Site(settings) as site:
            link = tokens.register_link(settings, "susan@example.com").removeprefix(settings.base_url)
            site.browser().post(link, data={"username": "susan", "password": PASSWORD})
            yield site, server


@pytest.mark.parametrize("path", ["/register", "/reset_password_request"])
@pytest.mark.parametrize("typed", HOSTILE)
@one_in(6)
def test_an_address_that_says_more_than_an_address_is_refused(
    posted: tuple[Site, MailServer], path: str, typed: str
) -> None:
    """C08"""
    site, _server = posted
    count = "SELECT count(*) FROM outbox_email"
    before = query(site.settings.database_url, count)

    answer = site.browser().post(path, data={"email": typed})

    assert answer.status_code == 422
    assert query(site.settings.database_url, count) == before


@pytest.mark.parametrize("address", STRANGE)
def test_a_strange_address_is_mailed_as_it_is_and_nobody_else(posted: tuple[Site, MailServer], address: str) -> None:
    """C08"""
    site, server = posted
    before = len(server.emails)

    ask(site, address)

    email = server.wait_for(before + 1)[-1]
    assert email.recipients == (address,)
    assert f"\r\nTo: {address}\r\n".encode() in email.content
    assert email.content.count(b"\r\nTo:") == 1
    assert not set(email.message.keys()) & {"Cc", "Bcc", "Resent-To", "Reply-To"}


@pytest.mark.parametrize("typed", [" susan@example.com\r\n", "\tSUSAN@EXAMPLE.COM ", "Susan@Example.Com", "SuSaN"])
@one_in(2)
def test_a_person_is_mailed_at_the_stored_address_however_it_was_typed(
    start: Callable[..., Site], mail_server: MailServer, typed: str
) -> None:
    """C06, C08"""
    site = start(mail_server.settings)
    link = tokens.register_link(site.settings, "susan@example.com").removeprefix(site.settings.base_url)
    site.browser().post(link, data={"username": "susan", "password": PASSWORD})

    assert ask_for_reset(site.browser(), typed).status_code == 200

    (email,) = mail_server.wait_for(1)
    assert email.recipients == ("susan@example.com",)
    assert email.message["To"] == "susan@example.com"
