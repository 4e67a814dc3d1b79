"""What a thief had under way at the very moment of an ending comes to nothing (C33, C68)."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import anyio
import pytest
from httpx2 import Response
from sqlalchemy import text

from tests.addresses.steps import NEW, OLD, ask_and_find_link, links
from tests.depth import one_in
from tests.mailbox import PATIENCE, Mailbox
from tests.passkeys.authenticator import Authenticator, options_of
from tests.security.test_endings import by_hand
from tests.security.test_stolen_cookie import OPENS
from tests.sites import Site
from tests.stories import NEW_PASSWORD, PASSWORD, log_in, register
from tests.watching import execute, execute_each, standing_site
from webapp.accounts import endings
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
    return start_site(make_settings(database_url=postgres_url))


@pytest.mark.parametrize("path", FORMS)
@one_in(2)
def test_a_session_that_ended_while_its_proof_waited_for_a_turn_changes_nothing(standing: Site, path: str) -> None:
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
                by_hand(standing, lambda db, user: endings.log_out_everywhere(db, user.id))
                after.extend(execute_each(standing, SEEN))

        standing.argon2.meanwhile = end
        thief.post("/export", data={"current_password": "a guess, before it in the queue"})
        standing.argon2.meanwhile = lambda _run: None
        answer = answers[0].result(PATIENCE)

    assert (answer.status_code, "Your account has just changed" in answer.text) == (422, True)
    assert execute_each(standing, SEEN) == after


@pytest.mark.postgresql
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
