"""Who may do what: every route of the site, as a stranger, another person, the owner and an admin (C36)."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlmodel import SQLModel

from tests.archive_imports.test_upload import EMPTY as EMPTY_ARCHIVE
from tests.depth import deep, one_in
from tests.factors.steps import set_up_app
from tests.mailbox import Mailbox
from tests.sites import Browser, Site
from tests.stories import PASSWORD, forget_and_find_link, log_in, register
from tests.test_sweeps import NAMES, PUBLIC, ROUTES, path_of
from tests.watching import execute, execute_each, give_passkey, standing_site
from webapp.accounts import tokens

# Whoever holds the link, for the account that the link is about.
LINK = {
    "finish_registration",
    "invitation",
    "reset_password",
    "renew_reset_link",
    "report_not_me",
    "email_reset_link",
    "checkup_email",
    "confirm_email",
    "undo_email",
    "undo_deletion",
    "second_step",
    "lost_second_step",
    "email_removal_link",
    "factor_removal",
    "keep_factors",
    "unsubscribe",
    "subscribe_again",
}
# Everybody, also without an account.
ANYONE = PUBLIC - LINK
# Who is logged in, for themselves only.
SELF = {
    "news",
    "mentions",
    "logout",
    "settings",
    "edit_profile",
    "delete_account",
    "invites",
    "export",
    "download_export",
    "import_posts",
    "upload_archive",
    "change_password",
    "passkeys",
    "checkup",
    "send_checkup_email",
    "checkup_app",
    "checkup_passkey",
    "checkup_challenge",
    "prove_challenge",
    "decline_checkup",
    "decline_passkey",
    "recovery_codes",
    "sign_in_methods",
    "email_app_link",
    "authenticator_app",
    "remove_authenticator_app",
    "stop_factor_removal",
    "change_email",
    "another_picture",
    "email_works",
    "sessions",
    "end_other_sessions",
    "emails",
    "followers",
    "following",
    "follow",
    "unfollow",
    "mute",
    "unmute",
    "block",
    "unblock",
    "muted_and_blocked",
    "report",
    "reply",
}
# Who is logged in, for what is their own: the path names it.
OWNER = {"edit_post", "delete_post", "restore_post", "end_session", "passkey", "remove_passkey", "revoke_invite"}
ADMIN = {
    "admin_reports",
    "keep_post",
    "remove_post",
    "disable_user",
    "admin_people",
    "admin_person",
    "act_on_person",
    "approve_request",
    "refuse_request",
    "admin_mail",
    "pause_mail",
    "resume_mail",
    "send_mail_again",
    "address_works_again",
}
# A stranger is sent to the log-in page everywhere, as tests/test_sweeps.py says; here in depth.
ROLES = ["another", pytest.param("stranger", marks=deep)]
WRITES = [route.name for route in ROUTES if "POST" in (route.methods or ())]
# Fields that some form of ours has, filled in well, and fields that would be somebody's if we took them.
GREEDY = {
    "username": "susan",
    "current_password": PASSWORD,
    "password": "a quite different staple",
    "email": "thief@example.com",
    "about_me": "taken over",
    "is_public": "1",
    "body": "taken over",
    "reason": "taken over",
    "code": "AAAA-AAAA-AAAA",
    "new_sign_in": "1",
    "id": "1",
    "user_id": "1",
    "author_id": "1",
    "follower_id": "1",
    "reporter_id": "1",
    "session_id": "1",
    "is_admin": "1",
    "epoch": "7",
    "recovery_code": "AAAA-AAAA-AAAA",
    "trust": "1",
    "disabled_at": "2026-01-01",
}
OTHERS_MAY_NAME_HER = {("follow", "followed_id"), ("mention", "user_id"), ("mute", "muted_id"), ("block", "blocked_id")}
_numbers = itertools.count()


@pytest.fixture(scope="module")
def site(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with susan, who has used all of it, and its host."""
    with standing_site(
        migrated_sqlite, tmp_path_factory.mktemp("roles"), admins=("host@example.com",), member_invites=5
    ) as site:
        assert site.mailbox
        for name in ("susan", "host", "erin"):
            register(site.browser(), site.mailbox, name)
        use(site, site.mailbox)
        yield site


@pytest.fixture(scope="module")
def susan(site: Site) -> Browser:
    return person(site, "susan")


@pytest.fixture(scope="module")
def david(site: Site) -> Browser:
    return somebody(site)


def use(site: Site, mailbox: Mailbox) -> None:
    """Fills each table that can hold something of susan's."""
    browser = person(site, "susan")
    browser.post("/", data={"body": "my own words"})
    browser.post("/letters", data={"new_sign_in": "1"})
    for name in ("suzan", "susan"):
        browser.post("/edit_profile", data={"username": name, "current_password": PASSWORD})
    browser.post("/follow/host")
    browser.post("/mute/host")
    browser.post("/block/erin")
    browser.post("/export", data={"current_password": PASSWORD})
    browser.post("/import", data={"current_password": PASSWORD})
    browser.post("/import/upload", files={"archive": ("archive.zip", EMPTY_ARCHIVE)})
    browser.post("/recovery_codes", data={"current_password": PASSWORD})
    browser.post("/change_email", data={"current_password": PASSWORD, "email": "susan@example.org"})
    browser.post("/invites", data={"name": "for a friend", "places": "2", "days": "7"})
    came = "INSERT INTO invite_use (user_id, invite_id, inviter_id, created_at) VALUES (1, 1, 1, '2026-01-01')"
    execute(site, came)
    give_passkey(site)
    host = person(site, "host")
    host.post("/", data={"body": "a word of the host's"})
    [[other]] = execute(site, "SELECT id FROM post WHERE author_id = 2")
    browser.post(f"/posts/{other}/report", data={"reason": "dull"})
    site.app.state.link = forget_and_find_link(site.browser(), mailbox)
    site.app.state.codes = set_up_app(browser).codes
    person(site, "susan")


def person(site: Site, name: str) -> Browser:
    browser = site.browser(follow_redirects=False)
    answer = log_in(browser, name)
    if answer.headers["location"] == "/login/second_step":
        answer = browser.post("/login/second_step", data={"code": site.app.state.codes.pop()})
    assert answer.headers["location"] == "/"
    return browser


def somebody(site: Site) -> Browser:
    """A person with an account of their own, new for each test: what they do to themselves is their own affair."""
    name = f"david{next(_numbers)}"
    link = urlsplit(tokens.register_link(site.settings, f"{name}@example.com")).path
    site.browser().post(link, data={"username": name, "password": PASSWORD})
    return person(site, name)


def aimed(site: Site, name: str) -> str:
    """The path of a route, which names what is susan's: her name, her post, her session."""
    if name == "end_session":
        return f"/sessions/{execute(site, 'SELECT max(id) FROM session WHERE user_id = 1')[0][0]}/end"
    return path_of(site, name)


def susans(site: Site) -> dict[str, list[tuple[Any, ...]]]:
    """Every row that is susan's, and what the log of events says of her; not when she was last seen."""
    queries = {}
    for table in SQLModel.metadata.tables.values():
        owners = [column.name for column in table.columns if _is_susans(table.name, column)]
        for owner in owners:
            columns = ", ".join(column.name for column in table.columns if column.name not in {"last_seen_at"})
            queries[f"{table.name}.{owner}"] = f"SELECT {columns} FROM {table.name} WHERE {owner} = 1 ORDER BY 1, 2"
    return dict(zip(queries, execute_each(site, list(queries.values())), strict=True))


def _is_susans(table: str, column: Any) -> bool:
    refers = any(key.column.table.name == "user_account" for key in column.foreign_keys)
    is_hers = refers or (table, column.name) in {("user_account", "id"), ("security_event", "user_id")}
    if table == "account_deletion":
        return False  # with it she would be gone; her account's own row says that nobody has brought that about
    return is_hers and (table, column.name) not in OTHERS_MAY_NAME_HER


def test_the_table_names_every_route_once() -> None:
    groups = [ANYONE, LINK, SELF, OWNER, ADMIN]

    assert sorted(itertools.chain(*groups)) == sorted(NAMES)


@deep
def test_susan_has_something_in_every_table(site: Site) -> None:
    """Else the tests below would watch over nothing."""
    assert [name for name, rows in susans(site).items() if not rows] == []


@pytest.mark.parametrize("name", [name for name in WRITES if name not in LINK])
@pytest.mark.parametrize("role", ROLES)
@one_in(20)
def test_nobody_else_changes_what_is_susans(site: Site, susan: Browser, name: str, role: str) -> None:
    """C36: though the path, and each field that could, names her."""
    path, before = aimed(site, name), susans(site)
    browser = site.browser(follow_redirects=False) if role == "stranger" else somebody(site)

    answer = browser.post(path, data=GREEDY)

    assert answer.status_code < 500
    assert susans(site) == before


@pytest.mark.parametrize("name", [name for name in WRITES if name in ADMIN])
@one_in(3)
def test_only_admins_decide(site: Site, name: str) -> None:
    """C36"""
    path = aimed(site, name)

    as_stranger = site.browser(follow_redirects=False).post(path)
    as_another = somebody(site).post(path)
    as_host = person(site, "host").post(path)

    assert as_stranger.status_code == 303
    assert as_stranger.headers["location"] in {"/login", f"/login?next={path}"}
    assert as_another.status_code == 403
    assert as_host.status_code in {303, 422}


@pytest.mark.parametrize("name", [name for name in NAMES if name not in LINK and not name.startswith("mailbox")])
@pytest.mark.parametrize("role", ROLES)
@one_in(8)
def test_nobody_reads_what_only_susan_may(site: Site, david: Browser, name: str, role: str) -> None:
    """C36: her address, her client IPs, her emails."""
    browser = site.browser(follow_redirects=False) if role == "stranger" else david
    networks = [network for (network,) in execute(site, "SELECT DISTINCT client_ip FROM session WHERE user_id = 1")]

    answer = browser.get(aimed(site, name))

    # The gallery's sample person is called susan@example.com; its emails are nobody's.
    secrets = ["susan@example.org", *networks, *([] if name.startswith("gallery") else ["susan@example.com"])]
    assert [secret for secret in secrets if re.search(rf"{re.escape(secret)}(?!\d)", answer.text)] == []


@pytest.mark.parametrize("name", ["delete_post", "restore_post", "end_session"])
def test_the_owner_is_refused_nothing(site: Site, susan: Browser, name: str) -> None:
    """C36: the refusals above are refusals of others. In the order of the table: deleted, then brought back."""
    path, before = aimed(site, name), susans(site)

    answer = susan.post(path)

    assert answer.status_code == 303
    assert susans(site) != before
