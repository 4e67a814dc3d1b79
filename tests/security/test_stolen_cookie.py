"""What somebody can change who has a session of another person, and nothing else: no password, no mailbox (C68)."""

from typing import Any

import pytest
from sqlmodel import SQLModel

from tests.depth import deep, one_in
from tests.sites import Browser, Site
from tests.stories import PASSWORD, log_in
from tests.test_limit_sweep import EXCEPTIONS, SENT, no_app_afterwards, path_of, site, susan
from tests.watching import execute

__all__ = ["no_app_afterwards", "site", "susan"]  # fixtures

# What opens the account, under which names it is found, who may read it, and which emails watch over it.
OPENS = {
    "user_account": "SELECT username, email, password_hash, epoch, disabled_at, password_locked_at, is_public"
    " FROM user_account WHERE id = 1",
    "session": "SELECT token_hash, epoch FROM session WHERE user_id = 1 ORDER BY id",
    "known_browser": "SELECT secret_hash, epoch FROM known_browser WHERE user_id = 1 ORDER BY secret_hash",
    "recovery_code": "SELECT label, code_hash, used_at FROM recovery_code WHERE user_id = 1 ORDER BY label",
    "passkey": "SELECT credential_id, epoch, name FROM passkey WHERE user_id = 1 ORDER BY id",
    "address_change": "SELECT id, confirmed_at, undone_at FROM address_change WHERE user_id = 1 ORDER BY id",
    "kept_username": "SELECT username_key FROM kept_username WHERE user_id = 1 ORDER BY username_key",
    "factor": "SELECT * FROM factor WHERE user_id = 1 ORDER BY id",
    "account_deletion": "SELECT * FROM account_deletion WHERE user_id = 1",
    "email_switch": "SELECT kind, is_wanted FROM email_switch WHERE user_id = 1 AND kind = 'new_sign_in'",
}
# What an account has besides: its words, and what others are told of it.
HARMLESS = {
    "post",
    "mention",
    "follow",
    "mute",
    "block",
    "report",
    "security_event",
    "retired_username",
    "pending_log_in",
    "account_export",
    "archive_import",
    "invite",  # lets others in, and opens nothing of who made it
    "invite_use",
}
# Behind a link from the mailbox, or only for who has the right to look after the site.
NOT_BY_COOKIE = {"reset_password", "unsubscribe", "subscribe_again"}
# What is sent where the usual would change nothing that matters.
WORSE: dict[str, dict[str, str]] = {
    "edit_profile": {"username": "mallory", "about_me": ""},
    "change_password": {"password": "a thief's quite long password"},
}
# And what is sent then: what else the same form could change that matters.
THEN: dict[str, dict[str, str]] = {"edit_profile": {"username": "susan", "is_public": "1"}}
PRIVATE = "UPDATE user_account SET is_public = FALSE WHERE id = 1"


def opens(site: Site) -> dict[str, list[tuple[Any, ...]]]:
    return {name: execute(site, statement) for name, statement in OPENS.items()}


def forms_of(name: str) -> list[dict[str, str]]:
    return [WORSE.get(name) or SENT[name], *([THEN[name]] if name in THEN else [])]


def is_told(site: Site) -> bool:
    return bool(execute(site, "SELECT id FROM outbox_email WHERE user_id = 1"))


@pytest.mark.parametrize("name", [name for name in SENT if name not in NOT_BY_COOKIE])
@one_in(40)
def test_without_the_password_nothing_that_opens_the_account_changes_unless_its_owner_is_told(
    site: Site, susan: Browser, name: str
) -> None:
    """C34, C68: on every route that there is; `tests/test_limit_sweep.py` fails for one that is not named there."""
    execute(site, "DELETE FROM limit_window")
    susan.post("/recovery_codes", data={"current_password": PASSWORD})
    execute(site, "INSERT INTO email_switch VALUES (1, 'new_sign_in', true) ON CONFLICT DO NOTHING")
    execute(site, PRIVATE)
    path = path_of(site, susan, name)
    execute(site, "DELETE FROM limit_window")
    execute(site, "DELETE FROM outbox_email")
    before = opens(site)

    for form in forms_of(name):
        susan.post(path, data={field: value for field, value in form.items() if field != "current_password"})

    assert opens(site) == before or is_told(site)


AN_APP = """
    INSERT INTO factor (user_id, kind, secret, sealed_with, last_step, spent_ahead, created_at)
    SELECT 1, 'app', 'x', 'x', 0, '', '2026-01-01' WHERE NOT EXISTS (SELECT 1 FROM factor)
"""
MAY_END = {"end_session", "end_other_sessions"}  # who is robbed must be quick, and the owner is told


def changed_without_a_code(site: Site, name: str) -> bool:
    """Whether a thief changes what opens the account who has the password and a session, but not the app."""
    execute(site, "DELETE FROM factor")
    execute(site, "DELETE FROM limit_window")
    susan = site.browser(follow_redirects=False)
    log_in(susan)
    path = path_of(site, susan, name)
    execute(site, AN_APP)
    execute(site, "UPDATE session SET second_proved_at = NULL")
    execute(site, PRIVATE)
    execute(site, "DELETE FROM limit_window")
    before = {table: rows for table, rows in opens(site).items() if table != "factor"}

    for form in forms_of(name):
        sent = {field: value for field, value in form.items() if field != "code"}
        susan.post(path, data=sent | {"current_password": PASSWORD})

    assert execute(site, "SELECT count(*) FROM factor") == [(1,)], name
    return before != {table: rows for table, rows in opens(site).items() if table != "factor"}


@deep
def test_with_the_password_but_without_the_app_nothing_that_opens_the_account_changes(
    site: Site, susan: Browser
) -> None:
    """On every route that there is, in one go: each of them alone would take as long as all."""
    execute(site, "DELETE FROM session")
    names = [name for name in SENT if name not in NOT_BY_COOKIE]

    assert {name for name in names if changed_without_a_code(site, name)} == MAY_END


def test_every_table_of_an_account_is_watched_or_harmless() -> None:
    """Whoever adds a table says which."""
    of_account = {
        name
        for name, table in SQLModel.metadata.tables.items()
        if any(key.column.table.name == "user_account" for key in table.foreign_keys)
    }

    assert of_account - set(OPENS) - HARMLESS == set()


@pytest.mark.parametrize("name", ["end_session", "end_other_sessions"])
def test_the_sweep_sees_what_a_cookie_alone_can_change(site: Site, susan: Browser, name: str) -> None:
    """Else it would prove nothing."""
    execute(site, "DELETE FROM limit_window")
    path, before = path_of(site, susan, name), opens(site)

    susan.post(path)

    assert opens(site) != before


def test_logging_out_ends_only_the_current_session(site: Site, susan: Browser) -> None:
    assert "logout" in EXCEPTIONS
    before = opens(site)

    susan.post("/logout")

    after = opens(site)
    assert len(after.pop("session")) == len(before.pop("session")) - 1
    assert after == before
