"""Whatever anybody can change has a limit, on every route (C65); who commits, and in whose transaction."""

import ast
import hashlib
import re
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from httpx2 import Response

from tests.depth import deep, one_in
from tests.factors.steps import app_page, scan, set_up_app, setup_field
from tests.mailbox import PATIENCE
from tests.passkeys.authenticator import Authenticator, options_of
from tests.people.crowd import PART
from tests.sites import Browser, Site
from tests.stories import NEW_PASSWORD, PASSWORD, ask_for_reset, forget_and_find_link, log_in, standing_village
from tests.test_sweeps import ROUTES
from tests.watching import execute, give_passkey
from webapp import rate_limits
from webapp.accounts import tokens
from webapp.accounts.tokens import Purpose
from webapp.asked_emails import asked_emails
from webapp.asked_emails.asked_emails import Asked
from webapp.notifications import switches
from webapp.rate_limits import Limit
from webapp.settings import ROOT

WRITES = {route.name: route for route in ROUTES if "POST" in (route.methods or ())}
# Whoever adds a route names here what is sent to it, for susan's account or about it; a limit then counts it for her.
PROOF = {"current_password": PASSWORD}
SENT: dict[str, dict[str, str]] = {
    "home": {"body": "Hello."},
    "reply": {"body": "@david Hello yourself."},
    "edit_post": {"body": "Hello, then."},
    "delete_post": {},
    "restore_post": {},
    "language": {"language": "en"},
    "edit_profile": {"username": "susan", "about_me": "A line."},
    "recovery_codes": PROOF,
    "email_app_link": {},
    "authenticator_app": {},
    "remove_authenticator_app": {},
    "stop_factor_removal": {},
    "factor_removal": {},
    "passkeys": PROOF | {"name": "My phone"},
    "passkey": PROOF | {"name": "My laptop"},
    "remove_passkey": PROOF,
    "decline_passkey": {},
    "checkup": {"recovery_code": "2345"},
    "send_checkup_email": {},
    "decline_checkup": {},
    "change_email": PROOF | {"email": "new@example.org"},
    "emails": PROOF,
    "unsubscribe": {},
    "subscribe_again": {},
    "end_session": {},
    "end_other_sessions": {},
    "invites": {"name": "", "places": "1", "days": "7"},
    "revoke_invite": {},
    "follow": {},
    "unfollow": {},
    "mute": {},
    "unmute": {},
    "block": {},
    "unblock": {},
    "report": {"reason": "Dull."},
    "keep_post": {},
    "remove_post": {"reason": "Dull."},
    "disable_user": {"reason": "Dull."},
    "act_on_person": {"reason": "Dull."},
    "approve_request": {},
    "refuse_request": {},
    "pause_mail": {},
    "resume_mail": {},
    "send_mail_again": {},
    "address_works_again": {"mark": "0" * 32},
    "email_works": {},
    "another_picture": {},
    "export": PROOF,
    "import_posts": PROOF,
    "download_export": PROOF,
    "delete_account": PROOF | {"username": "susan"},
    "change_password": PROOF | {"password": NEW_PASSWORD},
    "reset_password": {"password": PASSWORD},
}
# Those of them that the account has no limit for, because it needs them against a thief, who would use it up.
DEFENCES = {
    "stop_factor_removal": "does nothing the second time, and asking for one is limited",
    "factor_removal": "counted for its link, and emails with such links are limited",
    "reset_password": "each link sets one password, and emails with such links are limited",
    "remove_passkey": "each can be removed once, and adding them is limited",
    "remove_authenticator_app": "it can be removed once, and adding it is limited, as codes for it are",
    "revoke_invite": "each can be revoked once, and making them is limited",
    "end_session": "counted for the session that does it",
    "end_other_sessions": "counted for the session that does it",
}
# What is counted for what somebody typed and where they come from, because there is no account yet, or none is known.
STRANGERS: dict[str, dict[str, str]] = {
    "login": {"username": "susan", "password": "not the right password"},
    "log_in_with_passkey": {"credential": "{}"},
    "register": {"email": "new@example.net"},
    "invitation": {"email": "newer@example.net"},
    "finish_registration": {"username": "newcomer", "password": PASSWORD},
    "reset_password_request": {"email": "susan"},
    "email_code": {"code": "1234 5678"},
    "recover": {"username": "susan", "code": "aaaa-bbbb-cccc"},
}
EXCEPTIONS = {
    "upload_archive": "a file, counted once it is one: tests/archive_imports",
    "second_step": "counted for the account that a password has led to: tests/second_step/test_limits.py",
    "email_removal_link": "an email that is asked for: as reset_password_request, by the same function",
    "lost_second_step": "an email that is asked for: as reset_password_request, by the same function",
    "keep_factors": "gives power back to who may be robbed, and does nothing the second time",
    "checkup_email": "notes only that a link arrived; emails with such links are limited",
    "checkup_app": "as checkup, and as the second step: tests/checkup/test_checkup.py",
    "checkup_passkey": "as checkup, by the same limit: tests/checkup/test_checkup.py",
    "logout": "nobody must be kept from leaving, and a session ends once",
    "report_not_me": "gives power back to who was robbed, and does nothing the second time",
    "undo_email": "gives power back to who was robbed, once",
    "undo_deletion": "gives an account back to its owner, once",
    "confirm_email": "each change can be confirmed once, and asking for them is limited",
    "bounces": "no account's: the operator's own mail server sends it, with a key",
    "check_email": "an email that is asked for again: as reset_password_request, by the same function",
    "renew_reset_link": "an email that is asked for: as reset_password_request, by the same function",
    "email_reset_link": "an email that is asked for: as reset_password_request, by the same function",
}


@pytest.fixture(scope="module")
def site(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with standing_village(migrated_sqlite, tmp_path_factory.mktemp("limited")) as village:
        yield village


@pytest.fixture
def susan(site: Site) -> Browser:
    execute(site, "DELETE FROM limit_window")
    execute(site, "DELETE FROM factor")  # an app of an earlier test would ask for its code
    execute(site, "UPDATE user_account SET disabled_at = NULL")
    execute(site, "DELETE FROM account_deletion")
    for password in (PASSWORD, NEW_PASSWORD):
        browser = site.browser(follow_redirects=False)
        if log_in(browser, password=password).status_code == 303:
            return browser
    raise AssertionError("susan is locked out")


@pytest.fixture(autouse=True)
def no_app_afterwards(site: Site) -> Iterator[None]:
    yield
    execute(site, "DELETE FROM factor")


def wait_until_made(site: Site) -> None:
    deadline = time.monotonic() + PATIENCE
    while not execute(site, "SELECT 1 FROM account_export WHERE state = 'ready'"):
        assert time.monotonic() < deadline, "no export was made"
        time.sleep(0.01)


def path_of(site: Site, susan: Browser, name: str) -> str:
    assert site.mailbox
    decisions = {"keep_post": 2, "remove_post": 3, "disable_user": 4}
    values: dict[str, object] = {"username": "david", "post_id": decisions.get(name, 1), "action": "disable"}
    if name in {"revoke_invite", "invitation"}:
        columns = "user_id, epoch, name, places, taken, created_at, expires_at"
        row = "SELECT id, epoch, '', 1, 0, '2026-01-01', '2999-01-01' FROM user_account WHERE id = 1"
        [(invite_id,)] = execute(site, f"INSERT INTO invite ({columns}) {row} RETURNING id")
        values["invite_id"] = invite_id
        values["token"] = tokens.issue(site.settings, Purpose.INVITE, invite_id, timedelta(hours=1))
    if "request_id" in WRITES[name].param_convertors:
        execute(site, "DELETE FROM registration_request")  # of the same name, by an earlier test
        columns = "email, username, password_hash, why, language, created_at, expires_at, reason"
        row = ":name, :name, '!', 'x', 'en', '2026-01-01', '2999-01-01', ''"
        added = f"INSERT INTO registration_request ({columns}) VALUES ({row}) RETURNING id"
        [(values["request_id"],)] = execute(site, added, name=name)
    if name in {"edit_post", "delete_post", "restore_post"}:
        susan.post("/", data={"body": "My own."})
        [(values["post_id"],)] = execute(site, "SELECT max(id) FROM post WHERE author_id = 1")
    if name == "restore_post":
        susan.post(f"/posts/{values['post_id']}/delete")
    if name == "checkup":
        row = "INSERT INTO recovery_code (user_id, label, code_hash, created_at) VALUES (1, '2345', 'x', '2026-01-01')"
        execute(site, f"{row} ON CONFLICT DO NOTHING")
    if "passkey_id" in WRITES[name].param_convertors:
        give_passkey(site)
        values["passkey_id"] = 1
    if name == "download_export":
        susan.post("/export", data=PROOF)
        wait_until_made(site)
    if name == "end_session":
        [(values["id"],)] = execute(site, "SELECT min(id) FROM session WHERE user_id = 1")
    if name == "authenticator_app":
        path = app_page(susan)
        page = susan.get(path).text
        app = scan(page)
        SENT[name] = {"setup": setup_field(page), "code": app.code(), "recovery_code": app.codes[0]}
        values["token"] = path.rpartition("/")[2]
    if name in {"remove_authenticator_app", "factor_removal"}:
        susan.follow_redirects = True
        SENT["remove_authenticator_app"] = {"code": set_up_app(susan).code()}
        susan.follow_redirects = False
        [(epoch,)] = execute(site, "SELECT epoch FROM user_account WHERE id = 1")
        values["token"] = tokens.issue(site.settings, Purpose.FACTOR_REMOVAL, 1, timedelta(hours=1), epoch)
    elif name == "reset_password":
        execute(site, "DELETE FROM limit_window")
        values["token"] = forget_and_find_link(site.browser(), site.mailbox).rpartition("/")[2]
    elif name == "finish_registration":
        values["token"] = tokens.register_link(site.settings, "newcomer@example.com").rpartition("/")[2]
    elif name == "email_code":
        asked = Asked("reset_password", "susan", id="an id", browser=asked_emails.mark("a browser"))
        values["token"] = asked_emails.seal(site.settings, asked)
    elif "token" in WRITES[name].param_convertors and name not in {"invitation", "authenticator_app"}:
        values["token"] = switches.unsubscribe_link(site.settings, 1, "mention", "susan@example.com").rpartition("/")[2]
    return WRITES[name].url_path_for(name, **{key: values[key] for key in WRITES[name].param_convertors})


def form_of(susan: Browser, name: str) -> dict[str, str]:
    """What is sent to a route; to one, what a passkey has said."""
    if name != "passkeys":
        return SENT[name]
    options = options_of(susan.get("/passkeys").text)
    return SENT[name] | {"handle": options["user"]["id"], "credential": Authenticator().make(options)}


def counted(site: Site, who: str) -> list[str]:
    """The names of the limits that have counted something for somebody."""
    secret = hashlib.blake2b(who.encode(), key=site.settings.key("limits"), digest_size=16).hexdigest()
    rows = execute(site, "SELECT key FROM limit_window WHERE key LIKE :who", who=f"{secret}:%")
    return [key.split(":")[1] for (key,) in rows]


@deep
def test_the_tables_name_every_route_that_changes_something() -> None:
    assert sorted([*SENT, *STRANGERS, *EXCEPTIONS]) == sorted(WRITES)


@deep
@pytest.mark.parametrize("headers", [{}, PART], ids=["page", "htmx"])
@pytest.mark.parametrize("name", [name for name in SENT if name not in {*DEFENCES, "email_app_link"}])
@one_in(9)
def test_every_route_says_when_it_goes_on_in_words_and_to_programs(
    site: Site, susan: Browser, name: str, headers: dict[str, str]
) -> None:
    """But the link for an app, which waits as all emails do that somebody asks for: tests/sign_in_methods."""
    path, form = path_of(site, susan, name), form_of(susan, name)
    use_up(site, "1")

    answer = susan.post(path, data=form, headers=headers)

    execute(site, "DELETE FROM limit_window")
    assert answer.status_code == 429, answer.text
    assert int(answer.headers["retry-after"]) > 0
    assert re.search(r"in \d+ (minute|hour|day)s?\b", answer.text)


def use_up(site: Site, who: str) -> None:
    """All limits that count for somebody, at their highest."""
    secret = hashlib.blake2b(who.encode(), key=site.settings.key("limits"), digest_size=16).hexdigest()
    limits = {each for each in vars(rate_limits).values() if isinstance(each, Limit)}
    rows = {(f"{secret}:{limit.name}:{rate.seconds}", rate.seconds) for limit in limits for rate in limit.counted}
    execute(site, "DELETE FROM limit_window")
    values = ", ".join(f"('{key}', 1000000, {time.time() + seconds})" for key, seconds in rows)
    execute(site, f"INSERT INTO limit_window (key, count, ends) VALUES {values}")


# The last of them changes the password.
@one_in(3)
@pytest.mark.parametrize("name", [name for name in SENT if name not in DEFENCES])
def test_every_change_is_counted_for_the_account(site: Site, susan: Browser, name: str) -> None:
    path, form = path_of(site, susan, name), form_of(susan, name)
    execute(site, "DELETE FROM limit_window")

    answer = susan.post(path, data=form)

    assert answer.status_code in {200, 303}, answer.text
    assert set(counted(site, "1")) & {limit.name for limit in vars(rate_limits).values() if hasattr(limit, "rates")}


@pytest.mark.parametrize("name", list(STRANGERS))
@deep
def test_whatever_strangers_send_is_counted_for_where_they_come_from(site: Site, susan: Browser, name: str) -> None:
    path = path_of(site, susan, name)
    execute(site, "DELETE FROM limit_window")
    stranger = site.browser("2001:db8:48:1::1")
    stranger.cookies.set("__Host-asked", "a browser")
    stranger.post(path, data=STRANGERS[name])

    limits = counted(site, "2001:db8:48:1::/64")
    assert limits != []
    assert counted(site, "2001:db8:48::/48") == [f"{limit}_48" for limit in limits], "and for its neighbours together"


@deep
def test_whoever_has_65536_networks_is_not_so_many_visitors(site: Site) -> None:
    """One rented server has them all: an IPv6 /48."""
    execute(site, "DELETE FROM limit_window")
    ask_for_reset(site.browser("2001:db8:48:1::1"), "nobody-1@example.com")
    [key] = [key for (key,) in execute(site, "SELECT key FROM limit_window") if "_48" in key]
    execute(site, "UPDATE limit_window SET count = :most WHERE key = :key", most=20 * 16 - 1, key=key)

    networks = ["2001:db8:48:2::1", "2001:db8:48:3::1", "2001:db8:49:1::1"]
    answers = [ask_for_reset(site.browser(each), f"nobody@{index}.example") for index, each in enumerate(networks)]

    assert [answer.status_code for answer in answers] == [200, 429, 200]


LOOKS: dict[str, Callable[[Browser], Response]] = {
    "search": lambda susan: susan.get("/search?q=garden"),
    "passkey_log_in": lambda susan: susan.post(
        "/change_password", data={"password": NEW_PASSWORD, "passkey_proof": "{}"}
    ),
}


@deep
@pytest.mark.parametrize("limit", LOOKS)
def test_what_strangers_do_too_is_counted_for_the_account_as_well(site: Site, susan: Browser, limit: str) -> None:
    """Else a member with a thousand networks would have no limit. A thief's answers of passkeys are not the owner's."""
    execute(site, "DELETE FROM limit_window")
    [(session,)] = execute(site, "SELECT max(id) FROM session")
    [(epoch,)] = execute(site, "SELECT epoch FROM user_account WHERE id = 1")

    assert LOOKS[limit](susan).status_code in {200, 422}
    assert counted(site, "1" if limit == "search" else f"prove 1 {epoch} {session}") == [limit]


@deep
@pytest.mark.parametrize("name", ["follow", "language"])
def test_over_the_limit_the_answer_says_when_it_goes_on(site: Site, susan: Browser, name: str) -> None:
    path = path_of(site, susan, name)
    execute(site, "DELETE FROM limit_window")

    answers = [susan.post(path, data=SENT[name]) for _time in range(61)]

    assert answers[-1].status_code == 429
    assert 0 < int(answers[-1].headers["retry-after"]) <= 60
    assert "You can continue in" in answers[-1].text


# Who ends transactions: views and their doors to HTTP, the mailer, background tasks and the command line.
COMMITTERS = {
    "cli",
    "imports",  # commands, too
    "backups",  # a drill fills a copy that no site uses
    "delivery",
    "database",
    "*/views.py",
    "authentication/auth.py",
    "authentication/email_links.py",
    "authentication/proof.py",
    "web/form_answers.py",
    "web/limits.py",
    "archives/maker.py",
    "archive_imports/importer.py",
    "deletion/erasure.py",
    "digests/planning.py",
    "factors/upkeep.py",
    "operator/error_alerts.py",
}
# What has a transaction of its own beside the request's, and why.
OWN_TRANSACTION = {
    "authentication/auth.py": "a GET only reads, and yet notes when somebody was here",
    "web/form_answers.py": "a form is begun before the request's own, and its answer kept after that",
    "web/limits.py": "a GET only reads, and yet a search is counted",
    "conversations/views.py": "a GET only reads, and yet notes that mentions were seen",
    "checkup/views.py": "a GET only reads, and yet notes who looked first",
}


def calls(name: str) -> set[str]:
    """The files of the application in which a method of that name is called, other than the command line's."""
    found = set()
    for file in sorted((ROOT / "webapp").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name:
                found.add(file.relative_to(ROOT / "webapp").as_posix())
    return found


def test_below_the_views_nothing_commits() -> None:
    committing = calls("commit")
    rooms, files = {who for who in COMMITTERS if "." not in who}, COMMITTERS

    below = [file for file in committing if not any(Path(file).match(each) for each in files)]
    assert [file for file in below if file.partition("/")[0] not in rooms] == []
    assert "posts/views.py" in committing


@deep
def test_no_view_opens_a_transaction_beside_the_requests() -> None:
    opening = calls("session") | calls("direct") | calls("open")
    of_requests = {
        file for file in opening if file.endswith("views.py") or file.startswith(("authentication/", "web/"))
    }

    assert of_requests - {"web/database_session.py"} == set(OWN_TRANSACTION)
