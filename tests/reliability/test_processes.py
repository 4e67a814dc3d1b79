"""The deployed site as real processes: refused, served, killed, stopped, and crowded."""

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier

import httpx2
import pytest

from tests.depth import deep, one_in
from tests.inspection import query, wait_for_rows
from tests.mailbox import link_in
from tests.mailserver import Certificates, MailServer
from tests.processes import Host
from tests.smtp_script import Fault, ScriptedServer
from tests.stories import NEW_PASSWORD, PASSWORD
from webapp.accounts import tokens
from webapp.settings import Settings

MakeHost = Callable[..., Host]
LAPSE = "UPDATE outbox_email SET due_at = created_at WHERE finished_at IS NULL"


@pytest.fixture
def make_host(tmp_path: Path, certificates: Certificates) -> Iterator[MakeHost]:
    """Makes machines, and ends every process on them after the test."""
    with ExitStack() as stack:

        def make(database_url: str, **environment: str) -> Host:
            trusted = {"SSL_CERT_FILE": str(certificates.authority)}
            return stack.enter_context(Host(tmp_path, database_url, trusted | environment))

        yield make


@pytest.fixture
def scripted(certificates: Certificates) -> Iterator[ScriptedServer]:
    with ScriptedServer(starttls=certificates.right) as server:
        yield server


def settings_of(host: Host) -> Settings:
    return Settings.from_environment(host.environment)


def add_account(host: Host, username: str = "susan") -> None:
    """By an invitation, which needs no mail."""
    with host.browser(200) as browser:
        link = tokens.register_link(settings_of(host), f"{username}@example.com")
        answer = browser.post(link, data={"username": username, "password": PASSWORD})
    assert answer.url.path == "/", answer.text


def ask_for_reset(host: Host, number: int = 1) -> None:
    with host.browser(number) as browser:
        assert browser.post("/reset_password_request", data={"email": "susan@example.com"}).status_code == 200


# Starting


BAD_CONFIGURATIONS = [
    ({"SECRET_KEY": ""}, "SECRET_KEY is missing"),
    ({"BASE_URL": "http://blog.example"}, "BASE_URL must begin with https://"),
    ({"MAIL_SERVER": "mail.example"}, "MAIL_SERVER would be used without encryption"),
    ({"DYNO": "web.1"}, "DATABASE_URL names SQLite, but this platform forgets its disk"),
]


@pytest.mark.parametrize(
    ("environment", "words"),
    [BAD_CONFIGURATIONS[0], *(pytest.param(*each, marks=deep) for each in BAD_CONFIGURATIONS[1:])],
    ids=lambda value: str(value)[:40],
)
def test_a_bad_configuration_is_refused_with_one_line(
    sqlite_url: str, make_host: MakeHost, environment: dict[str, str], words: str
) -> None:
    """C58"""
    host = make_host(sqlite_url, **{"MAIL_SERVER": "localhost", **environment})

    process = host.start("uvicorn", "--factory", "webapp.app:create_app", "--port", str(host.port))

    assert process.wait(20) > 0
    assert len(process.output.splitlines()) == 1, process.output
    assert process.output.startswith(words)


@pytest.mark.parametrize("server", [["uvicorn", "--factory", "webapp.app:create_app"], ["webapp.server"]])
@one_in(2)
def test_several_workers_refuse_it_too_and_do_not_begin_again_for_ever(
    sqlite_url: str, make_host: MakeHost, server: list[str]
) -> None:
    """C58"""
    environment, words = BAD_CONFIGURATIONS[1]
    host = make_host(sqlite_url, **{"MAIL_SERVER": "localhost", **environment})

    process = host.start(*server, "--port", str(host.port), "--workers", "2")

    assert process.wait(20) != 0
    faults = [line for line in process.output.splitlines() if not line.startswith("INFO:")]
    assert 1 <= len(faults) <= 2, process.output
    assert set(faults) == {faults[0]}
    assert faults[0].startswith(words)


@deep
def test_all_that_is_wrong_is_said_at_once(sqlite_url: str, make_host: MakeHost) -> None:
    """C58"""
    host = make_host(sqlite_url, SECRET_KEY="", BASE_URL="", MAIL_SERVER="")

    process = host.start("webapp", "migrate")

    assert process.wait(20) > 0
    assert [line.split()[0] for line in process.output.splitlines()] == ["BASE_URL", "SECRET_KEY", "MAIL_SERVER"]


def test_the_procfile_serves_and_stops_cleanly(sqlite_url: str, make_host: MakeHost) -> None:
    host = make_host(sqlite_url, MAILER="off", WEB_CONCURRENCY="2")
    process = host.start("honcho", "--env", "/dev/null", "start", "web")
    host.wait_until_ready(process)

    page = host.browser().get("/login")
    time.sleep(0.5)  # honcho writes from its signal handler: a signal amid a line of the log would break it
    process.terminate()

    assert page.status_code == 200
    process.wait(20)
    assert "Traceback" not in process.output
    with pytest.raises(httpx2.TransportError):
        httpx2.get(f"{host.base_url}/health", timeout=2)


# The main job, deployed


def test_the_whole_story_with_two_workers_on_postgresql_and_a_real_mail_server(
    postgres_url: str, make_host: MakeHost, certificates: Certificates
) -> None:
    with MailServer(certificates) as server:
        host = make_host(postgres_url, **server.environment)
        host.serve("--workers", "2")
        browser, other = host.browser(1), host.browser(2)

        browser.post("/register", data={"email": "susan@example.com"})
        link = link_in(server.wait_for(1)[-1].text)
        browser.post(link, data={"username": "susan", "password": PASSWORD})
        browser.post("/login", data={"username": "susan", "password": PASSWORD})
        before = browser.get("/settings", follow_redirects=False).status_code
        other.post("/reset_password_request", data={"email": "susan"})
        link = link_in(server.wait_for(2)[-1].text)
        other.post(link, data={"password": NEW_PASSWORD})
        other.post("/login", data={"username": "susan", "password": NEW_PASSWORD})
        emails = server.wait_for(3)

        assert before == 200
        assert browser.get("/settings", follow_redirects=False).status_code == 303, "the reset ends old sessions"
        assert other.get("/settings", follow_redirects=False).status_code == 200
        assert {email.recipients for email in emails} == {("susan@example.com",)}
        assert server.logins >= 1
        browser.close()
        other.close()


def host_with_link(make_host: MakeHost, database_url: str, scripted: ScriptedServer) -> tuple[Host, str]:
    """A site of two workers, and the link of a reset email that has arrived."""
    host = make_host(database_url, **scripted.environment)
    host.serve("--workers", "2")
    add_account(host)
    ask_for_reset(host)
    return host, link_in(scripted.wait_for_emails(1)[0].text)


@deep
def test_mail_scanners_do_not_use_up_a_link(sqlite_url: str, make_host: MakeHost, scripted: ScriptedServer) -> None:
    """C20"""
    host, link = host_with_link(make_host, sqlite_url, scripted)
    methods = ["GET", "HEAD", "OPTIONS"]

    with host.browser() as scanner, ThreadPoolExecutor(10) as crowd:
        scans = crowd.map(lambda number: scanner.request(methods[number % 3], link), range(60))
        statuses = Counter(answer.status_code for answer in scans)
    with host.browser() as browser:
        answer = browser.post(link, data={"password": NEW_PASSWORD})

    assert set(statuses) <= {200, 204, 405}, statuses
    assert statuses[200] >= 40
    assert "password is changed" in answer.text


@deep
def test_of_fifty_at_once_one_uses_the_link(database_url: str, make_host: MakeHost, scripted: ScriptedServer) -> None:
    """C17, G3"""
    host, link = host_with_link(make_host, database_url, scripted)
    together = Barrier(50)

    def use(number: int) -> tuple[int, int, str]:
        with host.browser(number) as browser:
            together.wait(30)
            answer = browser.post(link, data={"password": f"password of consumer {number}"})
        return number, answer.status_code, answer.text

    with ThreadPoolExecutor(50) as crowd:
        answers = list(crowd.map(use, range(50)))

    winners = [number for number, _status, text in answers if "password is changed" in text]
    assert len(winners) == 1
    assert {status for number, status, _text in answers if number not in winners} == {410}
    with host.browser(60) as browser:
        password = f"password of consumer {winners[0]}"
        browser.post("/login", data={"username": "susan", "password": password})
        assert browser.get("/settings", follow_redirects=False).status_code == 200


# Killed and stopped


@pytest.mark.parametrize("database_url", ["postgresql", pytest.param("sqlite", marks=deep)], indirect=True)
@deep
def test_an_email_survives_a_kill_between_the_answer_and_the_sending(
    database_url: str, make_host: MakeHost, scripted: ScriptedServer
) -> None:
    host = make_host(database_url, **scripted.environment)
    web = host.serve(MAILER="process")
    add_account(host)

    ask_for_reset(host)
    web.kill()
    host.start("webapp", "mailer")

    (email,) = scripted.wait_for_emails(1, patience=30)
    assert email.recipients == ("susan@example.com",)
    assert "/reset_password/" in link_in(email.text)


@pytest.mark.parametrize(
    ("database_url", "step"),
    [
        ("sqlite", "DOT"),
        pytest.param("postgresql", "CONNECT", marks=deep),
        pytest.param("sqlite", "CONNECT", marks=deep),
        pytest.param("postgresql", "DOT", marks=deep),
    ],
    indirect=["database_url"],
)
def test_an_email_survives_a_kill_in_the_middle_of_its_sending(
    database_url: str, make_host: MakeHost, scripted: ScriptedServer, step: str
) -> None:
    host = make_host(database_url, **scripted.environment)
    scripted.once(step, Fault.HANG)
    web = host.serve()
    add_account(host)
    ask_for_reset(host)
    scripted.wait_for(lambda server: server.hanging == [step])
    in_hand = query(database_url, "SELECT state, attempts FROM outbox_email")

    web.kill()
    query(database_url, LAPSE)  # as if the lease had run out
    before = len(scripted.emails)
    host.serve()

    emails = scripted.wait_for_emails(before + 1, patience=30)
    assert in_hand == [("leased", 1)]
    assert {email.recipients for email in emails} == {("susan@example.com",)}
    assert len({email.message["Message-ID"] for email in emails}) == 1
    assert wait_for_rows(database_url, "SELECT attempts FROM outbox_email WHERE state = 'sent'") == [(2,)]


@deep
def test_a_stop_while_the_mail_server_hangs_is_quick_and_loses_nothing(
    sqlite_url: str, make_host: MakeHost, scripted: ScriptedServer
) -> None:
    """G4, small"""
    scripted.answers["DATA"] = Fault.HANG
    host = make_host(sqlite_url, **scripted.environment, MAIL_CONNECTIONS="2")
    web = host.serve()
    for number in range(5):
        with host.browser(number) as browser:
            browser.post("/register", data={"email": f"person{number}@example.com"})
    scripted.wait_for(lambda server: len(server.hanging) >= 2)

    web.terminate()
    web.wait(18)  # 8 s of grace for what is on the wire, and what a busy machine adds
    waiting = query(sqlite_url, "SELECT state, attempts FROM outbox_email")
    del scripted.answers["DATA"]
    host.start("webapp", "mailer")

    emails = scripted.wait_for_emails(5, patience=30)
    assert waiting == [("ready", 0)] * 5
    assert len({email.recipients for email in emails}) == len(scripted.emails) == 5


def test_the_mailer_ends_cleanly_when_told_to(sqlite_url: str, make_host: MakeHost, scripted: ScriptedServer) -> None:
    host = make_host(sqlite_url, **scripted.environment)
    host.serve(MAILER="process")
    mailer = host.start("webapp", "mailer")
    with host.browser() as browser:
        browser.post("/register", data={"email": "newcomer@example.com"})
    scripted.wait_for_emails(1, patience=30)

    mailer.terminate()

    assert mailer.wait(25) == 0
    assert "Traceback" not in mailer.output


def test_the_log_of_a_deployed_site_holds_no_link_and_no_address(
    sqlite_url: str, make_host: MakeHost, scripted: ScriptedServer
) -> None:
    """C21, C56: also if its host forgot to turn the server's own log of paths off."""
    host = make_host(sqlite_url, **scripted.environment)
    web = host.start("uvicorn", "--factory", "webapp.app:create_app", "--port", str(host.port), "--access-log")
    host.wait_until_ready(web)
    add_account(host)
    ask_for_reset(host)
    link = link_in(scripted.wait_for_emails(1)[0].text)
    with host.browser() as browser:
        browser.get(link)
        browser.post(link, data={"password": NEW_PASSWORD})
    scripted.wait_for_emails(2)

    web.terminate()
    web.wait(25)

    events = [json.loads(line) for line in web.output.splitlines()]
    secrets = [link.rpartition("/")[2], "susan@example.com", PASSWORD, NEW_PASSWORD, host.environment["SECRET_KEY"]]
    assert {"uvicorn.error", "webapp.requests", "webapp.mail"} <= {event["logger"] for event in events}
    assert all({"time", "level", "event"} <= event.keys() for event in events)
    assert [secret for secret in secrets if secret in web.output] == []
    assert not re.search(r"eyJ[\w-]+\.", web.output)
