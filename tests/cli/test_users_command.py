"""`python -m webapp users`: what the admin sees of an account, and can do with it."""

from collections.abc import Callable

import pytest

from tests.depth import deep
from tests.factors.steps import set_up_app
from tests.mailbox import Mailbox
from tests.passkeys.authenticator import Authenticator
from tests.passkeys.test_passkeys import add
from tests.second_step.conftest import with_app
from tests.sites import SECRET_KEY, Site
from tests.stories import NEW_PASSWORD, PASSWORD, forget_and_find_link, is_logged_in, log_in, register
from tests.watching import execute
from webapp.cli.main import main

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(any_site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `users` beside the running site; returns the exit code and what it printed."""
    values = {
        "BASE_URL": any_site.settings.base_url,
        "SECRET_KEY": SECRET_KEY,
        "DATABASE_URL": any_site.settings.database_url,
        "MAILER": "off",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        return main(["users", *arguments]), capsys.readouterr().out

    return run


@pytest.mark.alike
def test_an_account_is_shown_with_its_sessions_and_what_happened(any_site: Site, mailbox: Mailbox, run: Run) -> None:
    register(any_site.browser(), mailbox)
    browser = any_site.browser("198.51.100.7")
    browser.headers["user-agent"] = "Firefox on a boat"
    log_in(browser)

    code, shown = run("show", "Susan@Example.com")

    assert code == 0
    assert shown.startswith("susan <susan@example.com>, account 1, active\n")
    assert "Recovery codes left: 0\n" in shown
    sessions = shown.partition("Sessions:\n")[2].partition("Changes of address:")[0]
    assert [line.split("\t")[2:] for line in sessions.splitlines()] == [["198.51.100.7", "Firefox on a boat"]]
    events = shown.partition("Latest events:\n")[2].splitlines()
    assert [line.split("\t")[1] for line in events] == ["logged_in", "logged_out", "logged_in", "registered"]


@pytest.mark.alike
def test_no_number_of_log_ins_hides_what_else_has_happened(any_site: Site, mailbox: Mailbox, run: Run) -> None:
    """C68: somebody with the password changes it, then logs in and out for an hour."""
    register(any_site.browser(), mailbox)
    columns = "user_id, client_ip, user_agent, details, created_at"
    for _number in range(60):
        execute(
            any_site,
            f"INSERT INTO security_event (kind, {columns}) SELECT 'logged_in', {columns} FROM security_event"
            " WHERE kind = 'registered'",
        )

    events = run("show", "susan")[1].partition("Latest events:\n")[2].splitlines()

    kinds = [line.split("\t")[1] for line in events]
    assert kinds.count("logged_in") == 50
    assert "registered" in kinds


@pytest.mark.alike
def test_what_is_shown_holds_no_secret_and_drives_no_terminal(any_site: Site, mailbox: Mailbox, run: Run) -> None:
    """C21, C56: the browser's own words come from whoever logged in."""
    register(any_site.browser(), mailbox)
    browser = any_site.browser()
    browser.headers["user-agent"] = "\x1b[2J\x07 a browser \x1b[31m"
    log_in(browser)
    link = forget_and_find_link(any_site.browser(), mailbox)

    _code, shown = run("show", "susan")

    rows = execute(any_site, "SELECT token_hash, password_hash FROM session, user_account")
    assert [secret for secret in (*rows[0], link.rpartition("/")[2], PASSWORD) if secret in shown] == []
    assert " a browser" in shown
    assert [character for character in shown if not character.isprintable() and character not in "\n\t"] == []


@pytest.mark.alike
def test_the_state_of_an_account_is_shown(any_site: Site, mailbox: Mailbox, run: Run) -> None:
    register(any_site.browser(), mailbox)
    log_in(any_site.browser())
    execute(
        any_site,
        "INSERT INTO recovery_code (user_id, label, code_hash, created_at, used_at)"
        " SELECT id, 'aaaa', 'x', created_at, NULL FROM user_account"
        " UNION SELECT id, 'bbbb', 'x', created_at, created_at FROM user_account",
    )
    execute(
        any_site,
        "INSERT INTO address_change (user_id, epoch, old_email, new_email, created_at)"
        " SELECT id, epoch, email, 'new@example.com', created_at FROM user_account"
        " UNION SELECT id, epoch + 7, email, 'void@example.com', created_at FROM user_account",
    )

    run("disable", "susan")
    _code, disabled = run("show", "susan")
    run("enable", "susan")
    _code, enabled = run("show", "susan")

    assert "account 1, disabled since 20" in disabled
    assert "account 1, active\n" in enabled
    assert "Sessions:\nChanges of address:\n" in enabled, "one that disabling has ended is not live"
    assert "Recovery codes left: 0\n" in enabled
    assert "susan@example.com -> void@example.com\tvoid\n" in enabled
    events = enabled.partition("Latest events:\n")[2].splitlines()
    assert [line.split("\t")[1] for line in events][:2] == ["enabled", "disabled"]


@deep
def test_all_sessions_and_links_of_an_account_are_ended(any_site: Site, mailbox: Mailbox, run: Run) -> None:
    """C19: those of others are not."""
    for name in ("susan", "peter"):
        register(any_site.browser(), mailbox, name)
    browsers = [any_site.browser() for _number in range(3)]
    log_in(browsers[0])
    log_in(browsers[1])
    log_in(browsers[2], "peter")
    link = forget_and_find_link(any_site.browser(), mailbox)
    browsers[0].post("/recovery_codes", data={"current_password": PASSWORD})

    ended = run("end-sessions", "susan")

    assert ended[0] == 0
    assert "susan is logged out of 2 browsers. Every link they were sent is void.\n" in ended[1]
    assert "10 recovery codes are void too.\n" in ended[1]
    assert [is_logged_in(browser) for browser in browsers] == [False, False, True]
    assert any_site.browser().post(link, data={"password": NEW_PASSWORD}).status_code == 410
    assert log_in(any_site.browser()).url.path == "/", "the password is still good"
    assert "sessions_ended" in run("show", "susan")[1]
    assert mailbox.last("susan@example.com", subject="You were logged out everywhere on")


@deep
def test_the_second_step_is_shown_and_removed_and_its_owner_told(any_site: Site, mailbox: Mailbox, run: Run) -> None:
    with_app(any_site.browser(), mailbox)

    _code, shown = run("show", "susan")
    code, said = run("remove-factors", "susan")
    _code, again = run("remove-factors", "susan")

    assert "  app, since " in shown.partition("Second step:\n")[2]
    assert (code, said.startswith("1 factor of susan is removed.")) == (0, True)
    assert again == "susan has no second step.\n"
    assert log_in(any_site.browser()).url.path == "/"
    assert "An admin of Microblog" in mailbox.last("susan@example.com", subject="Your second step").text


@deep
def test_what_is_required_of_admins_is_said_where_it_is_taken_away(
    any_site: Site, mailbox: Mailbox, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """ADMIN_TWO_FACTORS: nothing else would tell the admin why the pages are closed."""
    browser = any_site.browser()
    register(browser, mailbox)
    log_in(browser)
    monkeypatch.setenv("ADMINS", "Susan <susan@example.com>, nobody-yet@example.com")
    monkeypatch.setenv("ADMIN_TWO_FACTORS", "1")

    def says() -> tuple[str, str]:
        shown = run("show", "susan")[1].splitlines()[2]
        main(["doctor"])
        [found] = [line for line in capsys.readouterr().out.splitlines() if "ADMIN_TWO_FACTORS" in line]
        return shown, found

    without = says()
    set_up_app(browser)
    with_it = says()
    _code, removed = run("remove-factors", "susan")

    assert without[0] == "An admin, but without access to the admin pages until they set up an authenticator app"
    assert without[1].startswith(
        "WARNING ADMIN_TWO_FACTORS: no second step yet, so the admin pages stay closed to susan@"
    )
    assert with_it == ("An admin", "OK      ADMIN_TWO_FACTORS: every admin with an account here has a second step")
    assert removed.splitlines()[1:] == [
        "susan is an admin: the admin pages stay closed to them until they set up an app again."
    ]


@pytest.mark.alike
def test_the_passkeys_of_an_account_are_shown(any_site: Site, mailbox: Mailbox, run: Run) -> None:
    browser = any_site.browser()
    register(browser, mailbox)
    log_in(browser)
    add(browser, Authenticator(), name="My phone")

    shown = run("show", "susan")[1].partition("Passkeys:\n")[2].splitlines()[0]

    assert shown.startswith("  My phone, on this device alone, since 20")
    assert shown.endswith("last used -")
