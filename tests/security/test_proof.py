"""Proof before power: what changes an account, its names, its emails' switches or what opens it asks who that is."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.depth import deep, one_in
from tests.factors.steps import scan, set_up_app, setup_field
from tests.passkeys.authenticator import Authenticator, options_of
from tests.security.test_roles import ADMIN, ANYONE, LINK, WRITES
from tests.sites import Browser, Site
from tests.stories import NEW_PASSWORD, PASSWORD, log_in, register
from tests.test_sweeps import SETTINGS
from tests.watching import dump, execute, standing_site, wait_until_posted
from webapp.accounts import tokens

Fields = dict[str, str]
APP_PAGE = tokens.app_link(SETTINGS, 1, 0).removeprefix(SETTINGS.base_url)  # of who registers first


def adding_an_app(susan: Browser) -> Fields:
    page = susan.get(APP_PAGE).text
    app = scan(page)
    return {"setup": setup_field(page), "code": app.code(), "recovery_code": app.codes[0]}


def removing_an_app(susan: Browser) -> Fields:
    return {"code": set_up_app(susan).codes[0]}


def nothing(susan: Browser) -> Fields:
    return {}


def adding_a_passkey(susan: Browser) -> Fields:
    options = options_of(susan.get("/passkeys").text)
    return {"name": "My phone", "handle": options["user"]["id"], "credential": Authenticator().make(options)}


def with_a_passkey(**fields: str) -> Callable[[Browser], Fields]:
    def add_one(susan: Browser) -> Fields:
        assert susan.post("/passkeys", data=adding_a_passkey(susan)).status_code == 200
        return fields

    return add_one


# Whoever adds a route that changes something names it here with what is sent to it, or below with a reason.
PROVED: dict[str, tuple[str, Callable[[Browser], Fields]]] = {
    "edit_profile": ("/edit_profile", lambda susan: {"username": "suzan", "about_me": "What I typed."}),
    "emails": ("/letters", lambda susan: {"digest": "1", "new_sign_in": "1"}),
    "change_email": ("/change_email", lambda susan: {"email": "typed@example.org"}),
    "recovery_codes": ("/recovery_codes", lambda susan: {}),
    "authenticator_app": (APP_PAGE, adding_an_app),
    "remove_authenticator_app": ("/sign-in_methods/app/remove", removing_an_app),
    "delete_account": ("/delete_account", lambda susan: {"username": "susan"}),
    "export": ("/export", lambda susan: {}),
    "import_posts": ("/import", lambda susan: {}),
    "download_export": ("/export/download", lambda susan: {}),
    "passkeys": ("/passkeys", adding_a_passkey),
    "passkey": ("/passkeys/1", with_a_passkey(name="My old phone")),
    "remove_passkey": ("/passkeys/1/remove", with_a_passkey()),
    "change_password": ("/change_password", lambda susan: {"password": NEW_PASSWORD}),
}
WITHOUT = {
    "home": "says something, and changes nothing of the account",
    "reply": "says something, and changes nothing of the account",
    "edit_post": "one post, for ten minutes, and it says so",
    "delete_post": "one post, which can be brought back",
    "restore_post": "one post",
    "report": "tells the admin, and no more",
    "follow": "whom one reads",
    "unfollow": "whom one reads",
    "mute": "whom one reads",
    "unmute": "whom one reads",
    "block": "whom one meets here",
    "unblock": "whom one meets here",
    "language": "in which language pages and emails come",
    "logout": "nobody must be kept from leaving",
    "end_session": "ends, opens nothing, and the owner is told",
    "end_other_sessions": "ends, opens nothing, and the owner is told",
    "stop_factor_removal": "gives power back to who may be robbed",
    "decline_passkey": "what the home page offers",
    "checkup": "tries a way in, and changes none",
    "send_checkup_email": "writes to the address that the account has",
    "email_app_link": "writes to the address that the account has",
    "checkup_app": "tries a way in, and changes none",
    "checkup_passkey": "tries a way in, and changes none",
    "decline_checkup": "what the home page offers",
    "another_picture": "one of those that the site draws",
    "invites": "lets others in, by a link that ends with the account's epoch",
    "revoke_invite": "ends, opens nothing",
    "upload_archive": "takes the pass that import_posts gives for a proof",
    "email_works": "has emails sent again to the address that the account has",
}
A_REQUEST = """
    INSERT INTO registration_request (id, email, username, password_hash, why, language, created_at, expires_at, reason)
    VALUES (1, 'fay@example.com', 'fay', '!', 'Why not?', 'en', '2026-01-01', '2999-01-01', '')
"""
# What an admin changes, for everybody: with what, and how what was there before is brought about.
BY_ADMIN: dict[str, tuple[str, Fields, str]] = {
    "pause_mail": ("/admin/mail/pause", {}, ""),
    "resume_mail": ("/admin/mail/resume", {}, "UPDATE mail_status SET paused_at = '2026-01-01'"),
    "send_mail_again": (
        "/admin/mail/send_again",
        {"letter": "1"},
        "UPDATE outbox_email SET state = 'dead', recipient = 'susan@example.com' WHERE id = 1",
    ),
    "address_works_again": (
        "/admin/mail/works_again",
        {},
        "INSERT INTO refused_address VALUES ('a@example.com', '2026-01-01', 'bounce', NULL, 'full')",
    ),
    "act_on_person": ("/admin/people/david/disable", {"reason": "Dull, I typed."}, ""),
    "approve_request": ("/admin/requests/1/approve", {}, A_REQUEST),
    "refuse_request": ("/admin/requests/1/refuse", {"reason": "Dull, I typed."}, A_REQUEST),
    "keep_post": ("/admin/reports/1/keep", {}, ""),
    "remove_post": ("/admin/reports/1/remove", {"reason": "Dull, I typed."}, ""),
    "disable_user": ("/admin/reports/1/disable", {"reason": "Dull, I typed."}, ""),
}
OLD_SECOND = "UPDATE session SET second_proved_at = '2026-01-01 00:00:00.000000'"
OLD = "UPDATE session SET proved_at = '2026-01-01 00:00:00.000000'"


@pytest.fixture
def standing(migrated_sqlite: Path, tmp_path: Path) -> Iterator[Site]:
    with standing_site(migrated_sqlite, tmp_path) as site:
        assert site.mailbox
        register(site.browser(), site.mailbox)
        yield site


def test_the_tables_name_every_route_that_changes_something() -> None:
    own = {name for name in WRITES if name not in ADMIN | ANYONE | LINK} | {"home"}

    assert (set(PROVED) | set(WITHOUT)) - (ANYONE - {"home"}) == own


@pytest.mark.parametrize("name", list(PROVED))
@one_in(8)
def test_an_old_proof_is_asked_for_again_in_the_page_and_nothing_is_lost(standing: Site, name: str) -> None:
    path, fields_of = PROVED[name]
    susan = standing.browser()
    log_in(susan)
    fields = fields_of(susan)
    execute(standing, OLD)
    wait_until_posted(standing)
    before = {table: rows for table, rows in dump(standing).items() if table != "limit_window"}

    refused = susan.post(path, data=fields)

    assert refused.status_code == 422
    assert re.search(r'<input id="current_password" name="current_password"[^>]*aria-invalid', refused.text)
    typed = [
        value
        for field, value in fields.items()
        if field not in {"setup", "password", "credential", "handle"} and value != "1"
    ]
    assert [value for value in typed if value not in refused.text] == []
    assert {table: rows for table, rows in dump(standing).items() if table != "limit_window"} == before

    done = susan.post(path, data=fields | {"current_password": PASSWORD})
    assert done.status_code == 200, done.text
    assert 'aria-invalid="true"' not in done.text


@pytest.fixture
def hosted(migrated_sqlite: Path, tmp_path: Path) -> Iterator[Site]:
    """susan looks after it, and has reported a post of david's."""
    with standing_site(migrated_sqlite, tmp_path, admins=("susan@example.com",)) as site:
        assert site.mailbox
        for name in ("susan", "david"):
            register(site.browser(), site.mailbox, name)
        david, susan = site.browser(), site.browser()
        log_in(david, "david")
        david.post("/", data={"body": "Dull."})
        log_in(susan)
        susan.post("/posts/1/report", data={"reason": "Dull."})
        yield site


def test_the_table_names_every_route_of_the_admins_that_changes_something() -> None:
    assert set(BY_ADMIN) == ADMIN & set(WRITES)


@pytest.mark.parametrize("name", list(BY_ADMIN))
@deep
def test_an_admins_old_proof_is_asked_for_again_and_nothing_is_lost(hosted: Site, name: str) -> None:
    """Who has stolen an admin's cookie pauses no mail with it, and disables nobody."""
    path, fields, before = BY_ADMIN[name]
    susan = hosted.browser()
    log_in(susan)
    wait_until_posted(hosted)
    if before:
        execute(hosted, before)
    if name == "address_works_again":
        fields = {"mark": re.findall(r'name="mark" value="(\w+)"', susan.get("/admin/mail").text)[0]}
    execute(hosted, OLD)
    was = {table: rows for table, rows in dump(hosted).items() if table != "limit_window"}

    refused = susan.post(path, data=fields | {"form_id": "of-the-page-before-it"})

    assert refused.status_code == 422
    assert '<input id="current_password" name="current_password"' in refused.text
    assert ('aria-invalid="true"' in refused.text) != ("Is it you?" in refused.text), "the page that asks blames nobody"
    assert [value for value in fields.values() if value not in refused.text] == []
    assert "of-the-page-before-it" not in refused.text, "it has one of its own, and no form may say a field twice"
    wrong = susan.post(path, data=fields | {"current_password": "not the right one"})
    assert "not your current password" in wrong.text.replace("&#39;", "'")
    assert {table: rows for table, rows in dump(hosted).items() if table != "limit_window"} == was
    done = susan.post(path, data=fields | {"current_password": PASSWORD})
    assert done.url.path in {"/admin/mail", "/admin/reports", "/admin/people", "/admin/people/david"}, done.text
    assert {table: rows for table, rows in dump(hosted).items() if table not in {"limit_window", "session"}} != {
        table: rows for table, rows in was.items() if table != "session"
    }


# What is sent by who has an app already; a second one cannot be added.
BESIDE_AN_APP = PROVED | {"remove_authenticator_app": ("/sign-in_methods/app/remove", nothing)}
del BESIDE_AN_APP["authenticator_app"]


def unchanging(site: Site) -> dict[str, object]:
    return {table: rows for table, rows in dump(site).items() if table not in {"limit_window", "user_account"}}


@pytest.mark.parametrize("name", list(BESIDE_AN_APP))
@one_in(15)
def test_where_there_is_a_second_step_the_password_alone_proves_nothing(standing: Site, name: str) -> None:
    """Somebody with the password and a session, or a trusted browser, adds no passkey of their own."""
    path, fields_of = BESIDE_AN_APP[name]
    susan = standing.browser()
    log_in(susan)
    app, fields = set_up_app(susan), fields_of(susan)
    execute(standing, OLD_SECOND)
    wait_until_posted(standing)
    before = unchanging(standing)

    asked = susan.post(path, data=fields | {"current_password": PASSWORD})
    wrong = susan.post(path, data=fields | {"current_password": PASSWORD, "code": "aaaa-bbbb-cccc"})

    assert [asked.status_code, wrong.status_code] == [422, 422]
    assert all(re.search(r'<input id="code" name="code"[^>]*aria-invalid', page.text) for page in (asked, wrong))
    assert "That recovery code isn&#39;t right" in wrong.text
    assert unchanging(standing) == before
    done = susan.post(path, data=fields | {"current_password": PASSWORD, "code": app.code()})
    assert done.status_code == 200, done.text
    assert 'aria-invalid="true"' not in done.text


@pytest.mark.parametrize("name", ["pause_mail", "act_on_person", "approve_request", "remove_post"])
@deep
def test_an_admins_password_alone_is_not_enough_either(hosted: Site, name: str) -> None:
    path, fields, before = BY_ADMIN[name]
    susan = hosted.browser()
    log_in(susan)
    app = set_up_app(susan)
    if before:
        execute(hosted, before)
    execute(hosted, OLD_SECOND)
    wait_until_posted(hosted)
    was = unchanging(hosted)

    refused = susan.post(path, data=fields | {"current_password": PASSWORD})

    assert refused.status_code == 422
    assert re.search(r'<input id="code" name="code"[^>]*aria-invalid', refused.text)
    assert unchanging(hosted) == was
    done = susan.post(path, data=fields | {"current_password": PASSWORD, "code": app.code()})
    assert 'name="code"' not in done.text
    assert unchanging(hosted) | {"session": 0} != was | {"session": 0}


@deep
def test_a_log_in_without_the_second_step_has_not_passed_it(standing: Site) -> None:
    """In a browser that is trusted, and in one that was logged in when the app was added elsewhere."""
    susan, other = standing.browser(), standing.browser()
    log_in(susan)
    log_in(other)
    app = set_up_app(susan)
    assert 'name="code"' not in susan.get("/passkeys").text
    assert 'name="code"' in other.get("/passkeys").text

    log_in(other)
    other.post("/login/second_step", data={"code": app.code(), "trust": "1"})
    assert 'name="code"' not in other.get("/passkeys").text
    other.post("/logout")
    assert log_in(other).url.path == "/"
    assert 'name="code"' in other.get("/passkeys").text


@one_in(3)
@pytest.mark.parametrize("name", ["emails", "authenticator_app", "remove_authenticator_app"])
def test_a_recent_proof_is_enough(standing: Site, name: str) -> None:
    path, fields_of = PROVED[name]
    susan = standing.browser()
    log_in(susan)
    fields = fields_of(susan)

    assert 'aria-invalid="true"' not in susan.post(path, data=fields).text


def test_a_password_that_was_typed_in_one_page_counts_in_the_next(standing: Site) -> None:
    susan = standing.browser()
    log_in(susan)
    execute(standing, OLD)
    susan.post("/recovery_codes", data={"current_password": PASSWORD})

    assert 'name="current_password"' not in susan.get(APP_PAGE).text


def test_a_wrong_password_is_told_however_recent_the_last_proof_is(standing: Site) -> None:
    susan = standing.browser()
    log_in(susan)

    answer = susan.post("/letters", data={"digest": "1", "new_sign_in": "1", "current_password": "not the right one"})

    assert answer.status_code == 422
    assert "not your current password" in answer.text.replace("&#39;", "'")


def test_a_proof_counts_for_a_quarter_of_an_hour(standing: Site) -> None:
    susan = standing.browser()
    log_in(susan)

    def ago(seconds: int) -> str:
        return time.strftime("%Y-%m-%d %H:%M:%S.000000", time.gmtime(time.time() - seconds))

    execute(standing, f"UPDATE session SET proved_at = '{ago(14 * 60)}'")
    assert 'name="current_password"' not in susan.get(APP_PAGE).text
    execute(standing, f"UPDATE session SET proved_at = '{ago(16 * 60)}'")
    assert 'name="current_password"' in susan.get(APP_PAGE).text
