"""The command line, as the admin of a site uses it."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.test_locks import ARGUMENTS
from tests.depth import deep, one_in
from tests.mailserver import Certificates, MailServer
from tests.processes import Host
from tests.sites import Site
from tests.smtp_script import Fault, ScriptedServer
from tests.stories import NEW_PASSWORD, PASSWORD, is_logged_in, log_in
from webapp.cli import main
from webapp.doctor import test_email
from webapp.settings import ROOT, Settings

StartSite = Callable[[Settings], Site]


@pytest.fixture
def people(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("username,email\nsusan,susan@example.com\nJohn_1,john@example.com\n")
    assert run("import-users", str(file)).code == 0


@pytest.fixture
def site(run: Run, start_site: StartSite) -> Site:
    """The site of the environment, running."""
    return start_site(Settings.from_environment())


@pytest.mark.parametrize("command", [["users", "list"], ["mail"], ["doctor"], ["migrate", "--dry-run"]], ids=" ".join)
@pytest.mark.usefixtures("people")
def test_output_that_finds_no_room_is_no_fault_of_the_database(
    command: list[str], environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `doctor > /var/log/doctor` on a full disk."""
    with suppress(OSError), Path("/dev/full").open("w") as full, environment.context() as within:
        within.setattr(sys, "stdout", full)
        code = main.main(command)

    assert code == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("/dev/full: No space left on device.")


# invite, reset-link


def test_an_invitation_makes_an_account_without_mail(run: Run, site: Site) -> None:
    ended = run("invite", "Susan@Example.com")
    browser = site.browser()

    answer = browser.post(ended.out.strip(), data={"username": "susan", "password": PASSWORD})
    log_in(browser)

    assert ended.code == 0
    assert ended.out.startswith("https://blog.example/register/")
    assert answer.url.path == "/"
    assert is_logged_in(browser)


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("susan@example.com", "already has an account"),
        ("susan", "doesn't look like an email"),
        ("a@b@c", "doesn't look like an email"),
    ],
)
def test_an_invitation_that_leads_nowhere_is_refused(run: Run, address: str, words: str) -> None:
    ended = run("invite", address)

    assert (ended.code, ended.out) == (1, "")
    assert words in ended.err


@one_in(2)
@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("name", ["susan", "SUSAN", "susan@example.com", "Susan@Example.COM"])
def test_a_reset_link_helps_a_person_without_mail(run: Run, site: Site, name: str) -> None:
    ended = run("reset-link", name)
    browser = site.browser()

    browser.post(ended.out.strip(), data={"password": NEW_PASSWORD})
    log_in(browser, password=NEW_PASSWORD)

    assert (ended.code, ended.err) == (0, "It works once, for 10 minutes.\n")
    assert is_logged_in(browser)


@pytest.mark.parametrize("name", ["nobody", "nobody@example.com", "not a name", ""])
def test_a_reset_link_for_nobody_is_refused(run: Run, name: str) -> None:
    ended = run("reset-link", name)

    assert (ended.code, ended.out) == (1, "")
    assert f"Nobody has the username or email '{name}'." in ended.err


# users


@pytest.mark.usefixtures("people")
def test_accounts_are_listed_oldest_first(run: Run) -> None:
    ended = run("users", "list")

    rows = [line.split("\t")[:3] for line in ended.out.splitlines()]
    assert rows == [["susan", "susan@example.com", "active"], ["John_1", "john@example.com", "active"]]


LISTS = [name.split() for name in ARGUMENTS if name.endswith("list") or f"{name} list" in ARGUMENTS]


@pytest.mark.parametrize("command", LISTS, ids=" ".join)
def test_a_list_without_a_line_says_so_to_people_and_to_programs_nothing(run: Run, command: list[str]) -> None:
    ended = run(*command)

    assert ended.out + ended.err
    assert "\t" not in ended.out
    assert ended.code == 0


@pytest.mark.usefixtures("people")
@deep
def test_a_disabled_account_stays_closed_until_it_is_enabled(run: Run, site: Site) -> None:
    """C19"""
    browser = site.browser()
    browser.post(run("reset-link", "susan").out.strip(), data={"password": PASSWORD})
    log_in(browser)
    link = run("reset-link", "susan").out.strip()

    disabled = run("users", "disable", "susan")
    listed = run("users", "list").out.splitlines()[0]
    was_open = is_logged_in(browser)
    old_link = browser.get(link).status_code
    log_in(browser)
    opened_while_disabled = is_logged_in(browser)
    no_link = run("reset-link", "susan")
    enabled = run("users", "enable", "susan@example.com")
    log_in(browser)

    assert (disabled.code, enabled.code, no_link.code) == (0, 0, 1)
    assert "\tdisabled\t" in listed
    assert (was_open, old_link, opened_while_disabled) == (False, 410, False)
    assert is_logged_in(browser)


@pytest.mark.parametrize("action", ["show", "disable", "enable", "end-sessions"])
def test_an_account_that_is_not_there_is_named(run: Run, action: str) -> None:
    ended = run("users", action, "nobody")

    assert ended == (1, "", "Nobody has the username or email 'nobody'.\n")


@pytest.mark.parametrize("action", ["show", "disable", "enable", "end-sessions"])
def test_an_action_on_an_account_asks_whose(run: Run, action: str) -> None:
    ended = run("users", action)

    assert ended.code == 2
    assert "required: name" in ended.err


# migrate


def test_migrating_makes_the_database_and_migrating_twice_does_no_harm(
    run: Run, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'new' / 'folder' / 'site.db'}")

    first, second = run("migrate"), run("migrate")

    assert (first.code, second.code) == (0, 0)
    assert run("users", "list") == (0, "", "Nobody has an account yet.\n")


# send-test-mail


@pytest.fixture
def trusting(environment: pytest.MonkeyPatch, certificates: Certificates) -> pytest.MonkeyPatch:
    """An environment that sends mail, and trusts the test's authority."""
    environment.setenv("SSL_CERT_FILE", str(certificates.authority))
    environment.setenv("MAILER", "web")
    return environment


def use(environment: pytest.MonkeyPatch, server: ScriptedServer | MailServer, **more: str) -> None:
    for name, value in (server.environment | more).items():
        environment.setenv(name, value)


@pytest.fixture
def scripted(certificates: Certificates) -> Iterator[ScriptedServer]:
    with ScriptedServer(starttls=certificates.right) as server:
        yield server


def test_a_test_email_is_sent_and_the_server_quoted(
    run: Run, trusting: pytest.MonkeyPatch, mail_server: MailServer
) -> None:
    use(trusting, mail_server)

    ended = run("send-test-mail", "susan@example.com")

    (email,) = mail_server.emails
    assert ended.code == 0, ended
    assert "logged in as microblog" in ended.out
    assert "The server says: 250 OK" in ended.out
    assert email.recipients == ("susan@example.com",)
    assert "https://blog.example can send emails." in email.text
    assert "the mail password" not in ended.out + ended.err


@pytest.mark.parametrize(
    ("step", "answer", "advice"),
    [
        ("AUTH", "535 5.7.8 Username and Password not accepted", "MAIL_USERNAME and MAIL_PASSWORD"),
        ("MAIL", "550 5.7.1 not your address", "MAIL_SENDER"),
        ("MAIL", "421 4.3.2 shutting down", "nothing yet"),
        ("RCPT", "450 4.2.0 Greylisted for a while", "nothing: the server greylists strangers"),
        ("RCPT", "550 5.1.1 no such person", "the address: the server says that nobody has it"),
        ("DOT", "554 5.7.1 looks like spam", "the server's words above"),
        ("CONNECT", "554 5.7.1 your network is blocked", "the server's words above"),
    ],
)
@deep
def test_a_refusal_is_quoted_with_what_to_check(
    run: Run, trusting: pytest.MonkeyPatch, scripted: ScriptedServer, step: str, answer: str, advice: str
) -> None:
    scripted.answers[step] = answer
    use(trusting, scripted)

    ended = run("send-test-mail", "susan@example.com")

    assert ended.code == 1
    assert f"The server says: {answer}" in ended.out
    assert f"What to check: {advice}" in ended.err
    assert scripted.emails == []


def test_a_refused_port_is_named(run: Run, trusting: pytest.MonkeyPatch, scripted: ScriptedServer) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        use(trusting, scripted, MAIL_PORT=str(port))

        ended = run("send-test-mail", "susan@example.com")

    assert ended.code == 1
    assert f"does it listen on port {port}" in ended.err


def test_a_port_that_wants_tls_at_once_or_is_blocked_is_named(
    trusting: pytest.MonkeyPatch, scripted: ScriptedServer, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted.answers["CONNECT"] = Fault.HANG
    use(trusting, scripted)

    code = asyncio.run(test_email.send(Settings.from_environment(), "susan@example.com", patience=0.5))

    assert code == 1
    words = f"port {scripted.port} takes connections and says nothing: it may want MAIL_USE_SSL=1"
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("certificate", "advice"),
    [("wrong_name", "MAIL_SERVER must be the name in the server's certificate"), ("unknown", "MAIL_CA_FILE")],
)
def test_a_bad_certificate_is_named(
    run: Run, trusting: pytest.MonkeyPatch, certificates: Certificates, certificate: str, advice: str
) -> None:
    """C60"""
    with ScriptedServer(starttls=getattr(certificates, certificate)) as server:
        use(trusting, server)

        ended = run("send-test-mail", "susan@example.com")

    assert ended.code == 1
    assert ended.err.startswith("What to check: it")
    assert advice in ended.err
    assert "AUTH" not in server.verbs


def test_implicit_tls_at_a_starttls_port_is_recognised(
    run: Run, trusting: pytest.MonkeyPatch, scripted: ScriptedServer
) -> None:
    use(trusting, scripted, MAIL_USE_TLS="0", MAIL_USE_SSL="1")

    ended = run("send-test-mail", "susan@example.com")

    assert ended.code == 1
    assert "465 wants MAIL_USE_SSL=1 and 587 wants MAIL_USE_TLS=1" in ended.err


def test_a_port_without_starttls_is_recognised(run: Run, trusting: pytest.MonkeyPatch) -> None:
    """C60"""
    with ScriptedServer() as server:
        use(trusting, server, MAIL_USE_TLS="1")

        ended = run("send-test-mail", "susan@example.com")

    assert ended.code == 1
    assert f"Port {server.port} has no STARTTLS." in ended.err
    assert "AUTH" not in server.verbs


def test_a_site_without_a_server_says_so(run: Run) -> None:
    ended = run("send-test-mail", "susan@example.com")

    assert (ended.code, ended.err) == (1, "MAIL_SERVER is not set, so there is no server to try.\n")


# The whole program


@deep
def test_python_m_webapp_is_the_command_line(sqlite_url: str, tmp_path: Path) -> None:
    with Host(tmp_path, sqlite_url, {"MAILER": "off"}) as host:
        file = tmp_path / "people.csv"
        file.write_text("username,email\nsusan,susan@example.com\n")
        imported = host.start("webapp", "import-users", str(file))
        code = imported.wait(30)
        listed = host.start("webapp", "users", "list")
        wrong = host.start("webapp", "users", "remove")

        assert (code, listed.wait(30), wrong.wait(30)) == (0, 0, 2)
        assert listed.output.startswith("susan\tsusan@example.com\tactive\t")
        assert "invalid choice" in wrong.output


def test_a_bad_environment_ends_any_command_with_its_sentences(run: Run, environment: pytest.MonkeyPatch) -> None:
    """C58"""
    environment.setenv("SECRET_KEY", "dev")

    ended = run("users", "list")

    assert ended.code == 3
    assert ended.err.startswith("SECRET_KEY is too easy to guess")


def test_a_python_without_the_sites_packages_is_told_which_one_has_them() -> None:
    command = [sys.executable, "-S", "-m", "webapp", "users", "list"]

    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    assert ended.returncode == 1
    assert ".venv/bin/python -m webapp" in ended.stderr
    assert "Traceback" not in ended.stderr
