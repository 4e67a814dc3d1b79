"""Each way in which a mail server refuses gets advice of its own, from `doctor` and from `send-test-mail`."""

import datetime
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.depth import one_in
from tests.mailserver import Certificates
from tests.sites import SECRET_KEY
from tests.smtp_script import ScriptedServer
from webapp.cli.main import main

REFUSALS = [
    ("MAIL", "530 5.7.0 Must issue a STARTTLS command first", "MAIL_USE_TLS=1 is missing"),
    ("RCPT", "530 5.7.0 Authentication required", "the server wants a log-in"),
    ("RCPT", "450 4.7.1 <x@y.example>: Recipient address rejected: Greylisted", "the server greylists strangers"),
    ("RCPT", "504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname", "MAIL_HELO"),
    ("RCPT", "554 5.7.1 <x@y.example>: Relay access denied", "does not send for us"),
    ("RCPT", "550 5.1.0 <x@y.example>: Sender address rejected: User unknown", "MAIL_SENDER"),
    ("RCPT", "450 4.7.1 Error: too many recipients", "MAIL_HOURLY_BUDGET"),
    ("RCPT", "550 5.1.1 User unknown", "nobody has it"),
    ("EHLO", "250 localhost", "offers no log-in here"),
    ("EHLO", "250-localhost\r\n250 AUTH XOAUTH2", "offers only XOAUTH2"),
    ("AUTH", "535 5.7.8 no", "MAIL_USERNAME and MAIL_PASSWORD"),
]


@pytest.fixture
def server(certificates: Certificates, monkeypatch: pytest.MonkeyPatch, sqlite_url: str) -> Iterator[ScriptedServer]:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    with ScriptedServer(tls=certificates.right) as server:
        deploy(monkeypatch, server, sqlite_url)
        yield server


def deploy(monkeypatch: pytest.MonkeyPatch, server: ScriptedServer, database_url: str, **more: str) -> None:
    values = {
        "BASE_URL": "https://blog.example",
        "SECRET_KEY": SECRET_KEY,
        "DATABASE_URL": database_url,
        **server.environment,
    }
    for name, value in (values | more).items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(("step", "answer", "words"), REFUSALS)
@pytest.mark.parametrize("command", [["doctor"], ["send-test-mail", "susan@example.com"]], ids=lambda words: words[0])
@one_in(6)
def test_each_way_of_refusing_gets_true_advice(
    server: ScriptedServer,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    step: str,
    answer: str,
    words: str,
) -> None:
    server.answers[step] = answer

    code = main(command)

    said = "".join(capsys.readouterr())
    assert code == 1
    assert words in said
    assert "x@y.example" not in said


@pytest.mark.parametrize("typed", ["not an address", "susan", "susan@", "@example.com", "a@b@c.example", ""])
def test_a_test_email_to_no_address_is_refused(
    server: ScriptedServer, capsys: pytest.CaptureFixture[str], typed: str
) -> None:
    code = main(["send-test-mail", typed])

    assert code == 1
    assert "is not an email address" in capsys.readouterr().err
    assert server.commands == []


@pytest.mark.parametrize(
    ("fault", "words"), [("name", "another name"), ("date", "expired"), ("issuer", "issuer is unknown here")]
)
def test_faults_of_a_certificate_are_told_apart(
    tmp_path: Path,
    sqlite_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fault: str,
    words: str,
) -> None:
    """MAIL_CA_FILE: an authority of one's own"""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    issuer = trustme.CA() if fault == "issuer" else authority
    ends = datetime.datetime(2020 if fault == "date" else 2030, 1, 1, tzinfo=datetime.UTC)
    name = "another.example" if fault == "name" else "localhost"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issuer.issue_cert(name, not_after=ends).configure_cert(context)
    with ScriptedServer(tls=context) as server:
        deploy(monkeypatch, server, sqlite_url, MAIL_CA_FILE=str(tmp_path / "authority.pem"))

        code = main(["send-test-mail", "susan@example.com"])

    assert code == 1
    assert words in "".join(capsys.readouterr())


def test_a_server_of_a_private_authority_takes_the_email(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with ScriptedServer(tls=context) as server:
        deploy(monkeypatch, server, sqlite_url, MAIL_CA_FILE=str(tmp_path / "authority.pem"))

        assert main(["send-test-mail", "susan@example.com"]) == 0
        assert len(server.emails) == 1


def test_a_server_that_offers_only_cram_md5_is_logged_in_to(server: ScriptedServer) -> None:
    server.answers["EHLO"] = "250-localhost\r\n250 AUTH CRAM-MD5"

    assert main(["send-test-mail", "susan@example.com"]) == 0
    assert "AUTH CRAM-MD5" in server.commands
