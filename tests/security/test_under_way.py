"""What a thief had under way at the very moment of an ending comes to nothing (C33, C68)."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import anyio
import pytest
from httpx2 import Response
from sqlalchemy import text
from sqlmodel import SQLModel

from tests.addresses.steps import NEW, OLD, ask_and_find_link, links
from tests.depth import deep
from tests.mailbox import PATIENCE, Mailbox
from tests.moderation.cases import post
from tests.passkeys.authenticator import Authenticator, options_of
from tests.people.crowd import arrive, import_people
from tests.security.test_endings import by_hand
from tests.security.test_roles import ADMIN
from tests.security.test_stolen_cookie import OPENS
from tests.sites import Browser, Site
from tests.stories import NEW_PASSWORD, PASSWORD, is_logged_in, log_in, register
from tests.test_limit_sweep import SENT, path_of
from tests.watching import execute, execute_each, standing_site
from webapp.accounts import endings, users
from webapp.accounts.endings import NOTHING
from webapp.addresses import changes
from webapp.audit import events
from webapp.database import execute as execute_in
from webapp.settings import Settings

LONG_AGO = "UPDATE session SET last_seen_at = '2026-01-01 00:00:00.000000'"
NOT_SEEN = "SELECT 1 FROM session WHERE last_seen_at = '2026-01-01 00:00:00.000000'"
WAITS = "SELECT 1 FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
FORMS = {
    "/passkeys": {"name": "A thief's"},
    "/recovery_codes": {},
    "/change_email": {"email": "thief@example.org"},
    "/change_password": {"password": NEW_PASSWORD},
    "/edit_profile": {"username": "mallory", "about_me": ""},
    "/letters": {},
    "/export": {},
    "/delete_account": {"username": "susan"},
}
SEEN = [*OPENS.values(), "SELECT id FROM account_export"]


def end_everything(site: Site) -> None:
    by_hand(site, lambda db, user: endings.log_out_everywhere(db, user.id))


def end_the_session(site: Site) -> None:
    """The latest: it is gone, and nothing else has changed."""
    execute(site, "DELETE FROM session WHERE id = (SELECT max(id) FROM session)")


@pytest.fixture(scope="module")
def standing(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with standing_site(migrated_sqlite, tmp_path_factory.mktemp("under way")) as site:
        assert site.mailbox
        register(site.browser(), site.mailbox)
        yield site


@pytest.fixture
def postgres_site(
    make_settings: Callable[..., Settings], postgres_url: str, start_site: Callable[[Settings], Site]
) -> Site:
    return start_site(make_settings(database_url=postgres_url, admins=(OLD,)))


@pytest.mark.parametrize("end_it", [end_everything, end_the_session], ids=lambda end_it: end_it.__name__)
@pytest.mark.parametrize("path", FORMS)
@deep
def test_a_session_that_ended_while_its_proof_waited_for_a_turn_changes_nothing(
    standing: Site, path: str, end_it: Callable[[Site], None]
) -> None:
    """The password is right, before and after: what has ended is the session that sends it."""
    thief, fields = standing.browser(follow_redirects=False), FORMS[path]
    log_in(thief)
    execute(standing, "DELETE FROM limit_window")
    if path == "/passkeys":
        options = options_of(thief.get(path).text)
        fields = fields | {"handle": options["user"]["id"], "credential": Authenticator().make(options)}
    answers: list[Future[Response]] = []
    after: list[list[tuple[object, ...]]] = []

    with ThreadPoolExecutor(1) as pool:

        def end(run: str) -> None:
            if run == "verify" and not answers:
                execute(standing, LONG_AGO)
                answers.append(pool.submit(thief.post, path, data=fields | {"current_password": PASSWORD}))
                deadline = time.monotonic() + PATIENCE
                while execute(standing, NOT_SEEN):
                    assert time.monotonic() < deadline, "the session's visit was never noted"
                    time.sleep(0.01)
                end_it(standing)
                after.extend(execute_each(standing, SEEN))

        standing.argon2.meanwhile = end
        thief.post("/export", data={"current_password": "a guess, before it in the queue"})
        standing.argon2.meanwhile = lambda _run: None
        answer = answers[0].result(PATIENCE)

    assert (answer.status_code, "Your account has just changed" in answer.text) == (422, True)
    assert execute_each(standing, SEEN) == after


@pytest.mark.parametrize("path", ["/recovery_codes", "/change_password"])
def test_a_session_that_ends_while_the_site_hashes_for_it_changes_nothing(standing: Site, path: str) -> None:
    """Ended by itself, or with the passkey that opened it, it set the account's password a moment later."""
    thief = standing.browser(follow_redirects=False)
    log_in(thief)
    execute(standing, "DELETE FROM limit_window")
    after: list[list[tuple[object, ...]]] = []

    def end(run: str) -> None:
        if run == "hash" and not after:
            end_the_session(standing)
            after.extend(execute_each(standing, SEEN))

    standing.argon2.meanwhile = end
    answer = thief.post(path, data=FORMS[path] | {"current_password": PASSWORD})
    standing.argon2.meanwhile = lambda _run: None

    assert answer.status_code in {303, 422}
    assert execute_each(standing, SEEN) == after


def overtaken(standing: Site, overtake: Callable[[Browser], object]) -> str:
    """What a person reads whose change of password is overtaken while the site hashes for it. The account is in
    Russian, the browser in English.
    """
    susan = standing.browser()
    susan.headers["accept-language"] = "en"
    log_in(susan)
    execute(standing, "DELETE FROM limit_window")
    execute(standing, "UPDATE user_account SET language = 'ru' WHERE username = 'susan'")

    def meanwhile(run: str) -> None:
        if run == "hash":
            overtake(susan)

    standing.argon2.meanwhile = meanwhile
    page = susan.post("/change_password", data=FORMS["/change_password"] | {"current_password": PASSWORD}).text
    standing.argon2.meanwhile = lambda _run: None
    execute(standing, "UPDATE user_account SET language = 'en' WHERE username = 'susan'")
    return page


def test_who_is_logged_out_under_way_reads_so_in_the_language_of_the_log_in_page(standing: Site) -> None:
    """The account's language went with the session."""
    page = overtaken(standing, lambda _susan: end_the_session(standing))

    assert '<html lang="en"' in page
    assert "Your account has just changed. Try again." in page


def test_who_changes_the_account_in_two_tabs_at_once_reads_so_in_its_language(standing: Site) -> None:
    """The session goes on, under a new id."""
    page = overtaken(standing, lambda susan: susan.post("/sessions/end_others"))

    assert '<html lang="ru"' in page
    assert "Аккаунт только что изменился." in page.replace("\xa0", " ")


@pytest.mark.postgresql
@deep
def test_this_was_not_me_takes_back_an_address_that_is_being_confirmed_at_that_moment(
    postgres_site: Site, mailbox: Mailbox
) -> None:
    """It is read as the owner's still, and the thief's when everything ends: the reset would go to the thief."""
    register(postgres_site.browser(), mailbox)
    log_in(postgres_site.browser())
    log_in(thief := postgres_site.browser())
    not_me = links(mailbox, OLD, "/not_me/")[0]
    ask_and_find_link(thief, mailbox)

    with ThreadPoolExecutor(1) as pool:

        async def confirm() -> Future[str]:
            async with postgres_site.app.state.database.session(is_writing=True) as db:
                change = await changes.get(db, 1)
                assert change
                await changes.confirm(db, postgres_site.settings, change, events.BY_OPERATOR, NOTHING)
                pressed = pool.submit(lambda: postgres_site.browser().post(not_me).text)
                with anyio.fail_after(PATIENCE):
                    while not (await execute_in(db, text(WAITS))).all():
                        await anyio.sleep(0.01)
                await db.commit()
                return pressed

        pressed: Future[str] = postgres_site.run(confirm)  # type: ignore[assignment]
        assert "Your account is locked" in pressed.result(PATIENCE)

    assert execute(postgres_site, "SELECT email, password_locked_at IS NULL FROM user_account") == [(OLD, False)]
    assert execute(postgres_site, "SELECT new_email, undone_at IS NULL FROM address_change") == [(NEW, False)]


@pytest.mark.postgresql
@pytest.mark.parametrize("name", sorted(ADMIN & SENT.keys()))
@deep
def test_an_admins_press_comes_to_nothing_if_everything_ends_before_it_is_through(
    postgres_site: Site, name: str
) -> None:
    """The admin may be none any more: the press waits for what was first, and does nothing then."""
    import_people(postgres_site, "david")
    for _number in range(5):
        post(postgres_site, "david")
    admin = arrive(postgres_site, "susan")
    path = path_of(postgres_site, admin, name)
    answers: list[Future[Response]] = []

    with ThreadPoolExecutor(1) as pool:

        async def end() -> None:
            async with postgres_site.app.state.database.session(is_writing=True) as db:
                susan = await users.find(db, "susan")
                assert susan
                await endings.log_out_everywhere(db, susan.id)
                answers.append(pool.submit(admin.post, path, data=SENT[name]))
                with anyio.fail_after(PATIENCE):
                    while not answers[0].done() and not (await execute_in(db, text(WAITS))).all():
                        await anyio.sleep(0.01)
                await db.commit()

        postgres_site.run(end)
        answer = answers[0].result(PATIENCE)

    assert (answer.status_code, "Your account has just changed" in answer.text) == (422, True)


@deep
def test_a_session_that_ends_under_way_never_becomes_somebody_elses(standing: Site) -> None:
    """SQLite gives the highest number again once its row is gone: the new cookie of a new password was that of whoever
    logged in meanwhile.
    """
    assert standing.mailbox
    register(standing.browser(), standing.mailbox, "mallory")
    log_in(helper := standing.browser(), "mallory")
    log_in(thief := standing.browser(follow_redirects=False), "mallory")
    [(last,)] = execute(standing, "SELECT max(id) FROM session")
    david = standing.browser()
    register(david, standing.mailbox, "david")
    execute(standing, "UPDATE user_account SET epoch = 1 WHERE username = 'david'")
    execute(standing, "DELETE FROM session WHERE id > :last", last=last)

    def end(run: str) -> None:
        if run == "hash":
            standing.argon2.meanwhile = lambda _run: None
            helper.post(f"/sessions/{last}/end")
            log_in(david, "david")

    standing.argon2.meanwhile = end
    answer = thief.post("/change_password", data={"current_password": PASSWORD, "password": NEW_PASSWORD})

    assert answer.status_code == 303
    assert "david" not in thief.get("/").text
    assert is_logged_in(david)


# Nothing holds a number of theirs longer than a moment, or it does no harm.
MAY_COME_AGAIN = {
    "mail_status": "has one row",
    "outbox_email": "an email that is being sent keeps its row",
    "security_event": "is only read by account",
    "report": "is decided by post",
    "decided_report": "is only listed",
}


def test_sqlite_never_gives_the_number_again_that_something_still_holds(standing: Site) -> None:
    made = dict(execute(standing, "SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
    tables = SQLModel.metadata.tables.items()
    numbered = {name for name, table in tables if [column.name for column in table.primary_key] == ["id"]}

    assert {name for name in numbered if "AUTOINCREMENT" not in made[name]} == MAY_COME_AGAIN.keys()
