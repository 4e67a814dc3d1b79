"""Two requests about one account in the same instant, on PostgreSQL: one is about to commit, the other goes through as
far as it can, for every such pair (C68).
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from httpx2 import Response
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from tests.depth import deep, one_in
from tests.factors.steps import set_up_app
from tests.mailbox import PATIENCE
from tests.passkeys.authenticator import Authenticator, options_of
from tests.security.test_stolen_cookie import NOT_BY_COOKIE, OPENS, WORSE
from tests.sites import Browser, Site
from tests.stories import NEW_PASSWORD, is_logged_in, log_in, standing_village
from tests.test_limit_sweep import PROOF, SENT, form_of, path_of
from tests.watching import execute, execute_each, statements
from webapp import rate_limits
from webapp.accounts import endings, tokens
from webapp.accounts.tokens import Purpose
from webapp.database import execute as execute_in
from webapp.recovery import reset

pytestmark = pytest.mark.postgresql

IS_WRITTEN = """
    SELECT 1 FROM pg_locks WHERE pid = pg_backend_pid()
    AND relation IN ('user_account'::regclass, 'passkey'::regclass, 'session'::regclass) AND mode = 'RowExclusiveLock'
"""
SOMEBODY_WAITS = "SELECT 1 FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
HOW_MANY_WAIT = "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted"
# As the account was in the beginning; what a test leaves behind is no part of the next.
AS_BEFORE = """
    UPDATE user_account SET username = :name, username_key = :name, email = :email, password_hash = :password_hash,
    disabled_at = NULL, password_locked_at = NULL, reset_paused_until = NULL, factor_removal_due_at = NULL
    WHERE id = :id
"""
LEFT_BEHIND = (
    "registration_request limit_window factor account_deletion address_change kept_username email_switch passkey"
    " recovery_code session"
)
# With what an admin decides about others. A request for an address counts in its epoch, a code of an app once.
SEEN = OPENS | {
    "david": "SELECT disabled_at FROM user_account WHERE id = 2",
    "david's posts": "SELECT id, removed_at FROM post WHERE author_id = 2 ORDER BY id",
    "request": "SELECT username, refused_at FROM registration_request",
    "factor": "SELECT id, kind FROM factor WHERE user_id = 1 ORDER BY id",
    "address_change": "SELECT id, confirmed_at, undone_at FROM address_change WHERE user_id = 1"
    " AND epoch = (SELECT epoch FROM user_account WHERE id = 1) ORDER BY id",
}


@pytest.fixture(scope="module")
def standing(
    migrated_sqlite: Path, standing_postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("at once")
    with standing_village(migrated_sqlite, folder, database_url=standing_postgres_url) as village:
        yield village


@pytest.fixture(scope="module")
def hashes(standing: Site) -> list[tuple[Any, ...]]:
    return execute(standing, "SELECT id, username, email, password_hash FROM user_account ORDER BY id")


@pytest.fixture
def site(standing: Site, hashes: list[tuple[Any, ...]]) -> Site:
    for number, name, email, password_hash in hashes:
        execute(standing, AS_BEFORE, id=number, name=name, email=email, password_hash=password_hash)
    execute_each(standing, [f"DELETE FROM {each}" for each in LEFT_BEHIND.split()])
    return standing


def at_once(
    site: Site, first: Callable[[], Response], second: Callable[[], Response]
) -> tuple[Response, Response, list[list[tuple[Any, ...]]]]:
    """Their answers, and what is seen of the account in the first's transaction.

    The first is about to commit what it has written to the account's row when the second sets out; it commits once the
    second waits for it, or has been answered.
    """
    commit, second_answer = AsyncSession.commit, Future[Response]()
    seen: list[list[tuple[Any, ...]]] = []

    async def and_meanwhile(db: AsyncSession) -> None:
        if not seen and (await execute_in(db, text(IS_WRITTEN))).all():
            seen.extend([list(map(tuple, (await execute_in(db, text(each))).all())) for each in SEEN.values()])
            waiting = pool.submit(second)
            waiting.add_done_callback(lambda done: second_answer.set_result(done.result()))
            with anyio.fail_after(PATIENCE):
                while not waiting.done() and not (await execute_in(db, text(SOMEBODY_WAITS))).all():
                    await anyio.sleep(0.01)
        await commit(db)

    with ThreadPoolExecutor(1) as pool, pytest.MonkeyPatch.context() as patch:
        patch.setattr(AsyncSession, "commit", and_meanwhile)
        return first(), second_answer.result(PATIENCE), seen


def in_line(site: Site, *works: Callable[[], Response]) -> list[Response]:
    """Their answers when each of them has to wait for susan's row, one behind the other."""

    async def let_wait(pool: ThreadPoolExecutor) -> list[Future[Response]]:
        waiting: list[Future[Response]] = []
        async with site.app.state.database.session(is_writing=True) as db:
            await endings.lock(db, 1)
            for work in works:
                waiting.append(pool.submit(work))
                with anyio.fail_after(PATIENCE):
                    while (await execute_in(db, text(HOW_MANY_WAIT))).scalar_one() < sum(
                        not one.done() for one in waiting
                    ):
                        await anyio.sleep(0.01)
            await db.commit()
        return waiting

    with ThreadPoolExecutor(len(works)) as pool:
        waiting: list[Future[Response]] = site.run(let_wait, pool)  # type: ignore[assignment]
        return [one.result(PATIENCE) for one in waiting]


async def count_once(site: Site) -> None:
    """What a reset counts anew was done once already, so there is a row that both of them change."""
    async with site.app.state.database.session(is_writing=True) as db:
        await rate_limits.count(db, site.settings, *((limit, "1") for limit in reset.LOCKING_UP))
        await db.commit()


def browser(site: Site) -> Browser:
    return site.browser(follow_redirects=False)


def logged_in(site: Site) -> Browser:
    log_in(susan := browser(site))
    return susan


ENDS: dict[str, Callable[[Site], Callable[[], Response]]] = {
    '"this wasn\'t me"': lambda site: press(site, tokens.not_me_link(site.settings, 1, "sign_in", "susan@example.com")),
    "a reset": lambda site: press(site, reset_link(site, 1), password=NEW_PASSWORD),
    '"log out everywhere else"': lambda site: end_others(logged_in(site)),
    "one session ended": lambda site: end_first(site, logged_in(site)),
}


def press(site: Site, link: str, **fields: str) -> Callable[[], Response]:
    return lambda: browser(site).post(link, data=fields)


def reset_link(site: Site, user_id: int) -> str:
    [(epoch,)] = execute(site, "SELECT epoch FROM user_account WHERE id = :id", id=user_id)
    return signed(site, Purpose.RESET_PASSWORD, user_id, epoch)


def signed(site: Site, purpose: Purpose, subject: int, epoch: int = 0) -> str:
    return f"/{purpose}/{tokens.issue(site.settings, purpose, subject, timedelta(minutes=9), epoch)}"


def end_first(site: Site, susan: Browser) -> Callable[[], Response]:
    [(first,)] = execute(site, "SELECT min(id) FROM session WHERE user_id = 1")
    return lambda: susan.post(f"/sessions/{first}/end")


def end_others(susan: Browser) -> Callable[[], Response]:
    return lambda: susan.post("/sessions/end_others")


WITH_APP = {"remove_authenticator_app", "factor_removal"}  # where a reset would ask for its code
PAIRS = [(end, name) for end in ENDS for name in SENT if name not in NOT_BY_COOKIE]


@pytest.mark.parametrize(("end", "name"), [pair for pair in PAIRS if pair[0] != "a reset" or pair[1] not in WITH_APP])
@deep
def test_what_a_session_does_in_the_instant_of_its_end_comes_to_nothing(site: Site, end: str, name: str) -> None:
    """It has proved who it is a moment ago, its request was let in before the end, and the password in it is right."""
    thief, ends = logged_in(site), ENDS[end](site)
    path, form = path_of(site, thief, name), PROOF | (WORSE.get(name) or form_of(thief, name))
    execute(site, "DELETE FROM limit_window")

    answer, _answer, seen = at_once(site, ends, lambda: thief.post(path, data=form))

    assert answer.status_code in {200, 303}
    assert execute_each(site, list(SEEN.values())) == seen


@pytest.mark.parametrize(("end", "name"), PAIRS)
@deep
def test_nobody_who_ends_something_and_a_session_wait_for_each_other(site: Site, end: str, name: str) -> None:
    """PostgreSQL ends such a wait after a second by giving up one of the two: it may be the owner who gets a 503."""
    thief, ends = logged_in(site), ENDS[end](site)
    path, form = path_of(site, thief, name), WORSE.get(name) or form_of(thief, name)
    form = {field: typed for field, typed in form.items() if field not in PROOF}  # the log-in was a moment ago
    execute(site, "DELETE FROM limit_window")
    site.run(count_once, site)

    answers = in_line(site, ends, lambda: thief.post(path, data=form))

    assert [answer.status_code for answer in answers if answer.status_code >= 500] == []


@pytest.mark.parametrize("is_removed_first", [True, False])
@deep
def test_a_passkey_that_is_removed_in_the_instant_of_its_log_in_opens_nothing(
    site: Site, is_removed_first: bool
) -> None:
    susan, thief, phone = logged_in(site), browser(site), Authenticator()
    options = options_of(susan.get("/passkeys").text)
    susan.post("/passkeys", data={"handle": options["user"]["id"], "credential": phone.make(options)})
    [(passkey,)] = execute(site, "SELECT id FROM passkey")
    answer = phone.use(thief.get("/login/passkey/challenge").json())

    def enter() -> Response:
        return thief.post("/login/passkey", data={"credential": answer})

    def remove() -> Response:
        return susan.post(f"/passkeys/{passkey}/remove")

    at_once(site, *((remove, enter) if is_removed_first else (enter, remove)))

    assert execute(site, "SELECT id FROM passkey") == []
    assert not is_logged_in(thief)
    assert is_logged_in(susan)


@pytest.mark.parametrize("what", ["passkey", "recovery_code", "factor"])
@deep
def test_who_logs_in_takes_the_row_of_the_account_before_what_opens_it(site: Site, what: str) -> None:
    """As whatever ends everything does: else the two could wait for each other, until PostgreSQL gives up one."""
    susan, here, phone = logged_in(site), browser(site), Authenticator()
    if what == "passkey":
        options = options_of(susan.get("/passkeys").text)
        susan.post("/passkeys", data={"handle": options["user"]["id"], "credential": phone.make(options)})
        path, form = "/login/passkey", {"credential": phone.use(here.get("/login/passkey/challenge").json())}
    else:
        app = set_up_app(susan)
        log_in(here)
        path, form = "/login/second_step", {"code": app.code() if what == "factor" else app.codes[0]}

    with statements(site) as seen:
        assert here.post(path, data=form).headers["location"] == "/"

    spent = next(number for number, each in enumerate(seen) if each.startswith(f"UPDATE {what} "))
    assert [each for each in seen[:spent] if "FROM user_account" in each and "FOR UPDATE" in each]


CHANGES = """
    INSERT INTO address_change (id, user_id, epoch, old_email, new_email, created_at, confirmed_at)
    SELECT id - 1, id, epoch, 'before@example.com', email, now(), now() FROM user_account WHERE id = 2
    UNION ALL SELECT id, id, epoch, email, 'after@example.com', now(), NULL FROM user_account WHERE id = 2
"""
BEING_DELETED = """
    INSERT INTO account_deletion (id, user_id, asked_at, due_at, reason)
    VALUES (1, 2, now(), now() + interval '9 days', '')
"""


# What david does by a link in an email.
EVENTS: dict[str, Callable[[Site], Callable[[], Response]]] = {
    "the new address confirmed": lambda site: press(site, signed(site, Purpose.CONFIRM_EMAIL, 2)),
    "a change of address undone": lambda site: press(site, signed(site, Purpose.UNDO_EMAIL, 1)),
    '"this wasn\'t me"': lambda site: press(site, tokens.not_me_link(site.settings, 2, "sign_in", "david@example.com")),
    '"this wasn\'t me", from before': lambda site: press(
        site, tokens.not_me_link(site.settings, 2, "sign_in", "before@example.com")
    ),
    "a reset": lambda site: press(site, reset_link(site, 2), password=NEW_PASSWORD),
    "the deletion undone": lambda site: press(site, signed(site, Purpose.UNDO_DELETION, 1)),
}


def decide(site: Site, decision: str) -> Callable[[], Response]:
    susan = logged_in(site)
    return lambda: susan.post(f"/admin/people/david/{decision}", data={"reason": "Spam."})


WITHOUT_DELETION = [event for event in EVENTS if event != "the deletion undone"]
WITH_DELETION = [event for event in EVENTS if event != "a reset"]  # its link is dead as long as that lasts
LIVES = [*((False, event) for event in WITHOUT_DELETION), *((True, event) for event in WITH_DELETION)]


def prepare(site: Site, *, is_being_deleted: bool) -> None:
    """David has changed his address, and asked for another; and perhaps for his account to be deleted."""
    execute(site, CHANGES)
    if is_being_deleted:
        execute(site, BEING_DELETED)
        execute(site, "UPDATE user_account SET disabled_at = now() WHERE id = 2")


def is_decided(site: Site) -> bool:
    """Whether the account is closed, and its owner can't open it."""
    closed = "SELECT 1 FROM user_account WHERE id = 2 AND disabled_at IS NOT NULL"
    return bool(execute(site, closed)) and not execute(site, "SELECT 1 FROM account_deletion WHERE reason = ''")


@deep
@pytest.mark.parametrize(("is_being_deleted", "event"), LIVES)
@pytest.mark.parametrize("decision", ["disable", "delete"])
@one_in(12)
def test_what_the_admin_decides_holds_whatever_the_owner_does_in_that_instant(
    site: Site, decision: str, event: str, is_being_deleted: bool
) -> None:
    prepare(site, is_being_deleted=is_being_deleted)

    answer, _answer, _seen = at_once(site, decide(site, decision), EVENTS[event](site))

    assert answer.status_code == 303
    assert is_decided(site)


@pytest.mark.parametrize(("is_being_deleted", "event"), LIVES)
@pytest.mark.parametrize("decision", ["disable", "delete"])
@deep
def test_a_decision_in_the_instant_of_what_the_owner_does_holds_or_says_that_it_does_not(
    site: Site, decision: str, event: str, is_being_deleted: bool
) -> None:
    prepare(site, is_being_deleted=is_being_deleted)

    _answer, answer, _seen = at_once(site, EVENTS[event](site), decide(site, decision))

    assert (answer.status_code == 303) is is_decided(site)
    assert answer.status_code == 303 or "has just changed" in answer.text
