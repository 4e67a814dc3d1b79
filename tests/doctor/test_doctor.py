"""The doctor and the mail command: an admin with a wrong set-up learns it in words."""

from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine

from tests.depth import deep
from tests.mailserver import Certificates, MailServer
from tests.sites import SECRET_KEY, Site
from tests.stories import ask_for_reset
from webapp.cli.main import main
from webapp.database import now
from webapp.settings import Settings


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch, database_url: str, mail_server: MailServer) -> MailServer:
    """The environment of a deployed site that is in order."""
    values = {
        "BASE_URL": "https://blog.example",
        "SECRET_KEY": SECRET_KEY,
        "DATABASE_URL": database_url,
        "ADMINS": "host@example.com",
        **mail_server.environment,
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return mail_server


@pytest.mark.alike
def test_it_finds_nothing_to_fail_where_all_is_in_order(
    deployed: MailServer, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["doctor"])

    said = capsys.readouterr().out
    assert code == 0, said
    assert "STARTTLS, logged in as microblog; it takes emails from no-reply@blog.example" in said
    assert "the newest" in said
    assert deployed.emails == [], "nothing is sent"


@deep
@pytest.mark.usefixtures("deployed")
def test_it_warns_where_postgresql_answers_before_the_disk_has_it(
    database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server of the tests is such a one; for the others see tests/reliability/test_power_loss.py."""
    main(["doctor"])

    warning = "durability: fsync, full_page_writes, synchronous_commit off"
    assert (warning in capsys.readouterr().out) is database_url.startswith("postgresql")


@deep
@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize(
    ("ahead", "words"),
    [(0, "this machine's agrees"), (90, "seconds ahead of the database's"), (-90, "seconds behind the database's")],
    ids=str,
)
def test_it_warns_where_the_clock_is_not_the_databases(
    database_url: str, capsys: pytest.CaptureFixture[str], ahead: int, words: str
) -> None:
    """SQLite has none of its own."""
    with time_machine.travel(now() + timedelta(seconds=ahead), tick=True):
        main(["doctor"])

    said = [line for line in capsys.readouterr().out.splitlines() if "clock: " in line]
    assert [line.split()[0] for line in said if words in line] == (
        ["WARNING" if ahead else "OK"] if database_url.startswith("postgresql") else []
    )


@deep
@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("MAIL_PASSWORD", "wrong", "535"),
        ("MAIL_PASSWORD", "wrong", "MAIL_USERNAME and MAIL_PASSWORD"),
        ("MAIL_PORT", "1", "does it listen on port 1"),
        ("MAIL_SERVER", "no-such-machine.invalid", "no machine has this name"),
        ("DATABASE_URL", "sqlite:////no/such/folder/site.db", "Does DATABASE_URL name the right file"),
    ],
)
@pytest.mark.usefixtures("deployed")
@pytest.mark.alike
def test_it_says_what_is_wrong_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)

    code = main(["doctor"])

    said = capsys.readouterr().out
    assert code == 1
    assert words in said


@pytest.mark.usefixtures("deployed")
@pytest.mark.alike
def test_it_reminds_of_old_keys(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """C22"""
    monkeypatch.setenv("SECRET_KEY_FALLBACKS", f"{SECRET_KEY}-old,{SECRET_KEY}-older")

    code = main(["doctor"])

    said = capsys.readouterr().out
    assert code == 0
    assert "WARNING SECRET_KEY_FALLBACKS: 2 older still open links" in said
    assert SECRET_KEY not in said


@deep
@pytest.mark.usefixtures("deployed")
@pytest.mark.alike
@pytest.mark.parametrize("key", [f"{SECRET_KEY},", f" {SECRET_KEY}", SECRET_KEY])
def test_it_says_early_which_key_can_be_no_fallback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    """C22"""
    monkeypatch.setenv("SECRET_KEY", key)

    main(["doctor"])

    assert f"{'OK' if key == SECRET_KEY else 'WARNING':8}SECRET_KEY: " in capsys.readouterr().out


@pytest.mark.usefixtures("deployed")
@pytest.mark.alike
def test_it_sees_a_certificate_for_another_name(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with MailServer(certificates, tls="wrong_name") as server:
        monkeypatch.setenv("MAIL_PORT", str(server.port))

        code = main(["doctor"])

    assert code == 1
    assert "must be the name in the server's certificate" in capsys.readouterr().out
    assert server.logins == 0


@pytest.mark.usefixtures("deployed")
@pytest.mark.alike
def test_the_mail_command_pauses_and_resumes_for_all_processes(
    make_settings: Callable[..., Settings],
    database_url: str,
    start_site: Callable[[Settings], Site],
    capsys: pytest.CaptureFixture[str],
) -> None:
    site = start_site(make_settings(database_url=database_url))

    assert main(["mail", "pause"]) == 0
    answer = ask_for_reset(site.browser())

    assert "Paused since" in capsys.readouterr().out
    assert "Our email is running late" in answer.text
    main(["doctor"])
    assert "WARNING mail: Paused since" in capsys.readouterr().out
    assert main(["mail", "resume"]) == 0
    assert "Paused" not in capsys.readouterr().out
    main(["doctor"])
    assert "OK      mail: " in capsys.readouterr().out


@pytest.mark.usefixtures("deployed")
@deep
def test_the_mail_command_lists_what_was_given_up_and_sends_it_again(
    mail_server: MailServer,
    make_settings: Callable[..., Settings],
    database_url: str,
    start_site: Callable[[Settings], Site],
    capsys: pytest.CaptureFixture[str],
) -> None:
    site = start_site(make_settings(database_url=database_url, **mail_server.settings))
    mail_server.answers["RCPT"] = "550 5.1.1 no such mailbox"
    site.browser().post("/register", data={"email": "typo@example.com"})
    said = ""
    for _ in range(100):
        main(["mail"])
        said = capsys.readouterr().out
        if "550" in said:
            break
    assert "t…@example.com" in said

    del mail_server.answers["RCPT"]
    main(["mail", "retry"])

    assert "1 email will be sent again." in capsys.readouterr().out
    assert mail_server.wait_for(1)[0].recipients == ("typo@example.com",)


@pytest.mark.usefixtures("deployed")
@pytest.mark.alike
@pytest.mark.parametrize(("hops", "verdict"), [("0", "WARNING"), ("1", "OK")])
def test_it_asks_how_many_proxies_stand_before_an_https_site(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], hops: str, verdict: str
) -> None:
    """C69: something must speak https there, and be believed or not."""
    monkeypatch.setenv("TRUSTED_PROXIES", hops)

    main(["doctor"])

    assert f"{verdict:8}TRUSTED_PROXIES" in capsys.readouterr().out
