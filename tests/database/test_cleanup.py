"""What is no longer needed goes, a little at a time, and nothing else does."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import anyio
import pytest
from sqlalchemy import event, insert, text
from sqlmodel import SQLModel

from tests.depth import deep
from tests.mailbox import PATIENCE
from tests.sites import Site
from tests.stories import ask_for_reset
from tests.watching import execute
from webapp import app, limit_windows
from webapp.accounts.models import Session, User
from webapp.audit.models import SecurityEvent
from webapp.database import cleanup, now
from webapp.database import execute as execute_in
from webapp.database.cleanup import BATCH, CleanupTask, CleanupWalk, Work
from webapp.limit_windows import LimitWindow
from webapp.mail.models import OutboxEmail, Priority
from webapp.registration.models import Invite
from webapp.settings import Settings

DAY = timedelta(days=1)


def add(site: Site, model: type[SQLModel], *rows: dict[str, Any]) -> None:
    async def run() -> None:
        async with site.app.state.database.session(is_writing=True) as db:
            await (await db.connection()).execute(insert(model), rows)
            await db.commit()

    site.run(run)


def a_session(number: int, age: timedelta) -> dict[str, Any]:
    """Number 1 is the account of `tidy_site`; a session ends after its two weeks."""
    moments = {"created_at": now() - age, "last_seen_at": now() - age, "expires_at": now() - age + 14 * DAY}
    fixed = {"user_id": 1, "epoch": 0, "is_remembered": True, "user_agent": "", "client_ip": ""}
    return {"token_hash": f"{number}", **fixed, **moments}


def a_window(number: int, age: timedelta) -> dict[str, Any]:
    return {"key": f"test:{number}", "count": 1, "ends": (now() - age).timestamp() + 600}


def an_event(number: int, age: timedelta) -> dict[str, Any]:
    return {
        "user_id": number,
        "kind": "logged_in",
        "created_at": now() - age,
        "client_ip": "",
        "user_agent": "",
        "details": {},
    }


def an_invite(_number: int, age: timedelta) -> dict[str, Any]:
    return {"user_id": 1, "epoch": 0, "name": "", "places": 1, "taken": 0, "expires_at": now() - age}


def an_email(number: int, age: timedelta, *, state: str = "dead", priority: Priority) -> dict[str, Any]:
    finished, ends = now() - age, now() - age + DAY
    moments = {"created_at": finished, "due_at": finished, "finished_at": finished, "expires_at": ends}
    fixed = {"kind": "register", "language": "en", "parameters": {}, "attempts": 1, "crashes": 0, "fence": 1}
    return {"message_id": f"<{number}@x>", "state": state, "priority": int(priority), **fixed, **moments}


Row = Callable[[int, timedelta], dict[str, Any]]
# What is kept, how one row is made, and how old it may become.
KEPT: list[tuple[type[SQLModel], Row, timedelta]] = [
    (Session, a_session, 14 * DAY),
    (LimitWindow, a_window, timedelta(minutes=70)),
    (SecurityEvent, an_event, 180 * DAY),
    (Invite, an_invite, 30 * DAY),
    (OutboxEmail, partial(an_email, priority=Priority.WAITED_FOR), 30 * DAY),
    (OutboxEmail, partial(an_email, priority=Priority.NEWCOMER, state="sent"), 30 * DAY),
    (OutboxEmail, partial(an_email, priority=Priority.NEWCOMER, state="expired"), DAY),
    (OutboxEmail, partial(an_email, priority=Priority.ASKED_BY_ANYBODY), DAY),
]
IDS = ["sessions", "limits", "events", "invites", "emails", "sent emails", "newcomers' emails", "strangers' resets"]
# Why no task deletes the rows of the other tables: what bounds them instead, or who deletes them.
BOUNDED = {
    "user_account": "the site's people",
    "account_deletion": "one for an account",
    "mention": "ten for a post",
    "report": "one for a person and a post",
    "follow": "one for two people",
    "mute": "one for two people",
    "block": "one for two people",
    "invite_use": "one for a person",
    "email_switch": "one for a person and a kind of email",
    "recovery_code": "ten for a person",
    "factor": "one for a person",
    "passkey": "twenty for a person",
    "export_chunk": "go with the export",
    "import_chunk": "go with the import",
    "mail_status": "one",
    "error_report": "one for a place in the code",
}


@contextmanager
def tidying(site: Site, tasks: Sequence[Work] = app.CLEANUP_TASKS) -> Iterator[None]:
    """Tidies up all the time in the running site meanwhile."""
    assert site.portal is not None
    work = partial(cleanup.run, site.app.state.database, tasks, site.app.state.alarms.report, every=0.02, pause=0.02)
    running = site.portal.start_task_soon(work)
    try:
        yield
    finally:
        running.cancel()


@pytest.fixture
def tidy_site(any_site: Site) -> Iterator[Site]:
    """A site with one account, that tidies up all the time; on each kind of database."""
    add_susan(any_site)
    with tidying(any_site):
        yield any_site


def add_susan(site: Site) -> None:
    names = {"username": "susan", "username_key": "susan", "email": "susan@example.com"}
    add(site, User, names | {"password_hash": "!"})


def count(site: Site, model: type[SQLModel]) -> int:
    [(rows,)] = execute(site, f"SELECT count(*) FROM {model.__tablename__}")
    return int(rows)


def wait_until_tidy(site: Site, model: type[SQLModel], rows: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while (there := count(site, model)) > rows:
        assert time.monotonic() < deadline, f"{there} rows are still there"
        time.sleep(0.02)


@pytest.mark.parametrize(("model", "row", "kept"), KEPT, ids=IDS)
@deep
def test_what_has_ended_goes_and_the_rest_stays(
    tidy_site: Site, model: type[SQLModel], row: Row, kept: timedelta
) -> None:
    minute = timedelta(minutes=1)
    ended = [row(number, kept + minute) for number in range(1, BATCH + 2)]
    add(tidy_site, model, *ended, row(9001, kept - minute), row(9002, timedelta(0)))

    wait_until_tidy(tidy_site, model, 2)
    add(tidy_site, model, row(1, kept + minute))
    wait_until_tidy(tidy_site, model, 2)

    assert count(tidy_site, model) == 2, "it comes again, and the two that are still good stay"


def test_no_table_grows_for_ever() -> None:
    """For the next table: a task deletes what is old, or something else bounds it."""
    tidied = {task.name for task in app.CLEANUP_TASKS}

    assert set(SQLModel.metadata.tables) - tidied == set(BOUNDED)


@deep
def test_ten_thousand_rows_hold_nobody_up(any_site: Site) -> None:
    """They go in batches, and between the batches others write."""
    add(any_site, SecurityEvent, *(an_event(number, 200 * DAY) for number in range(10_000)))
    browser, seen = any_site.browser(), list[int]()
    events = next(task for task in app.CLEANUP_TASKS if task.model is SecurityEvent)
    assert any_site.portal is not None

    tidied = any_site.portal.start_task_soon(cleanup.do_all, any_site.app.state.database, events, 0.02)
    while not tidied.done():
        ask_for_reset(browser, f"person{len(seen)}")
        seen.append(count(any_site, SecurityEvent))
    tidied.result(PATIENCE)

    assert count(any_site, SecurityEvent) == 0
    assert len(set(seen) - {0, 10_000}) >= 3, "somebody was served while rows were still to go"
    assert all(rows % BATCH == 0 for rows in seen)


# Short by nature: the costs of hashes are a handful, and a form's answer is kept for a minute.
SCANNED = re.compile(r"SCAN (?!(hash_cost|form_answer|user_account|anon_1)\b)")


@pytest.mark.parametrize("task", app.CLEANUP_TASKS, ids=lambda task: task.name)
@deep
def test_no_task_reads_a_whole_table(site: Site, task: Work) -> None:
    """Nor makes others wait for that: what ended is found by an index, or on a walk."""
    plans: list[str] = []

    def explain(_connection: Any, cursor: Any, statement: str, values: Any, *_more: Any) -> None:
        is_look = f"FROM {task.name} " in statement.replace("\n", " ") and "LIMIT" in statement
        if is_look or statement.startswith("DELETE"):  # and not what else runs in a site
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", values)
            plans.append("\n".join(row[-1] for row in cursor.fetchall()))

    for engine in (site.app.state.database.engine, site.app.state.database.reading):
        event.listen(engine.sync_engine, "before_cursor_execute", explain)
    site.run(task.run_batch, site.app.state.database)

    assert plans
    assert [plan for plan in plans if SCANNED.search(plan)] == []


@deep
@pytest.mark.postgresql
def test_rows_that_the_statistics_know_nothing_of_are_looked_for_once(
    make_settings: Callable[..., Settings], postgres_url: str, start_site: Callable[[Settings], Site]
) -> None:
    """PostgreSQL counted on one, looked for the batch again for each of the others, and gave up after six seconds."""
    site = start_site(make_settings(database_url=postgres_url, mailer="off"))
    emails = next(task for task in app.CLEANUP_TASKS if task.model is OutboxEmail)
    add(site, OutboxEmail, *(an_email(number, timedelta(0), priority=Priority.NOTICE) for number in range(1, 1001)))
    execute(site, "ANALYZE outbox_email")
    add(site, OutboxEmail, *(an_email(number, 40 * DAY, priority=Priority.NOTICE) for number in range(1001, 9001)))
    plans: list[str] = []

    def explain(_connection: Any, cursor: Any, statement: str, values: Any, *_more: Any) -> None:
        if statement.startswith("DELETE"):
            cursor.execute(f"EXPLAIN ANALYZE {statement}", values)
            plans.append("\n".join(row[0] for row in cursor.fetchall()))

    event.listen(site.app.state.database.engine.sync_engine, "before_cursor_execute", explain)
    site.run(emails.run_batch, site.app.state.database)

    [plan] = plans
    assert max(int(loops) for loops in re.findall(r"loops=(\d+)", plan)) < BATCH, plan


@pytest.mark.alike
def test_a_walk_looks_at_a_few_rows_at_a_time_and_begins_again(any_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleanup, "LOOKED_AT", 3)
    hours = timedelta(hours=3)
    add(any_site, LimitWindow, *(a_window(number, hours if number % 2 else timedelta(0)) for number in range(10, 20)))
    walk, database = CleanupWalk(LimitWindow, limit_windows.outdated), any_site.app.state.database

    there = []
    for _batch in range(4):
        any_site.run(walk.run_batch, database)
        there.append(count(any_site, LimitWindow))
    add(any_site, LimitWindow, a_window(10, hours) | {"key": "test:0"})
    any_site.run(walk.run_batch, database)

    assert there == [9, 7, 6, 5]
    assert count(any_site, LimitWindow) == 5


@pytest.mark.postgresql
def test_what_is_renewed_in_the_instant_of_the_tidying_stays(
    make_settings: Callable[..., Settings], postgres_url: str, start_site: Callable[[Settings], Site]
) -> None:
    """Such as an old email that an admin lets be sent again. PostgreSQL lets the tidying wait for whoever renews it."""
    site = start_site(make_settings(database_url=postgres_url, mailer="off"))
    add(site, OutboxEmail, an_email(1, 40 * DAY, priority=Priority.WAITED_FOR))
    emails = next(task for task in app.CLEANUP_TASKS if task.model is OutboxEmail)

    async def tidy_meanwhile() -> None:
        database = site.app.state.database
        async with database.session(is_writing=True) as db, anyio.create_task_group() as tasks:
            await execute_in(db, text("UPDATE outbox_email SET state = 'ready', finished_at = NULL"))
            tasks.start_soon(emails.run_batch, database)
            with anyio.fail_after(PATIENCE):
                while not (await execute_in(db, text("SELECT 1 FROM pg_locks WHERE NOT granted"))).all():
                    await anyio.sleep(0.01)
            await db.commit()

    site.run(tidy_meanwhile)

    assert count(site, OutboxEmail) == 1


def test_a_task_that_fails_keeps_no_other_from_being_done(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Any:
        raise ZeroDivisionError

    add_susan(site)
    add(site, Session, a_session(1, 15 * DAY))

    with tidying(site, [CleanupTask(LimitWindow, broken), *app.CLEANUP_TASKS]):
        wait_until_tidy(site, Session, 0)

    assert "work_failed" in caplog.messages
