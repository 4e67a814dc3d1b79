"""/ready: whether this process can do its work, which is to write as well."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import pytest
from sqlalchemy import QueuePool, event, make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.databases import execute_on
from tests.depth import deep
from tests.inspection import query
from tests.mailbox import PATIENCE
from tests.sites import Site
from tests.watching import dump, execute
from webapp.database import Database
from webapp.settings import Settings


@contextmanager
def read_only(site: Site) -> Iterator[None]:
    """The site's database takes no writes for a while: a disk that is full or read-only, a standby."""
    engine = site.app.state.database.engine
    url = make_url(site.settings.database_url)
    is_sqlite = url.drivername.startswith("sqlite")
    if is_sqlite:
        event.listen(engine.sync_engine, "checkout", _refuse_writes)
    else:
        execute_on(url, f"ALTER DATABASE {url.database} SET default_transaction_read_only = on")
    site.run(_begin_anew, engine)
    yield
    if is_sqlite:
        event.remove(engine.sync_engine, "checkout", _refuse_writes)
    else:
        execute_on(url, f"BEGIN READ WRITE; ALTER DATABASE {url.database} RESET ALL; COMMIT")
    site.run(_begin_anew, engine)


async def _begin_anew(engine: AsyncEngine) -> None:
    """Closes all connections, once what runs beside the visitors has given its own back: no pool would close that."""
    assert isinstance(engine.pool, QueuePool)
    while engine.pool.checkedout():
        await asyncio.sleep(0.01)
    await engine.dispose()


def _refuse_writes(connection: Any, _record: object, _lent: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA query_only = ON")
    cursor.close()


def wait_until_ready(site: Site) -> None:
    """It looks every two seconds whether the database is back."""
    deadline, browser = time.monotonic() + PATIENCE, site.browser()
    while browser.get("/ready").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)


@deep
def test_a_process_that_can_write_is_ready_and_leaves_no_trace(any_site: Site) -> None:
    before = dump(any_site)

    answers = [any_site.browser().get("/ready") for _time in range(3)]

    assert [answer.status_code for answer in answers] == [200] * 3
    assert dump(any_site) == before


@deep
def test_a_read_only_database_is_reported_and_recovers_by_itself(
    database_url: str, make_settings: Callable[..., Settings], start_site: Callable[[Settings], Site]
) -> None:
    site = start_site(make_settings(database_url=database_url, mailer="process"))
    browser = site.browser()
    with read_only(site):
        asked = browser.post("/reset_password_request", data={"email": "susan@example.com"})
        form = browser.get("/login")
        deadline = time.monotonic() + PATIENCE  # it may have written a moment before, and is believed for two seconds
        while (ready := browser.get("/ready")).status_code == 200:
            assert time.monotonic() < deadline

    problem = "the database can't be written to; is the disk full or read-only?"
    assert (ready.status_code, ready.json()["problems"]) == (503, [problem])
    assert ready.headers["retry-after"] == "5"
    assert (asked.status_code, asked.headers["retry-after"]) == (503, "5")
    assert form.status_code == 200
    wait_until_ready(site)
    assert browser.post("/reset_password_request", data={"email": "susan@example.com"}).status_code == 200


@deep
def test_the_admins_are_told_once_when_the_database_is_back(
    sqlite_url: str, make_settings: Callable[..., Settings], start_site: Callable[[Settings], Site]
) -> None:
    site = start_site(make_settings(database_url=sqlite_url, admins=("host@example.com",), mailer="process"))
    browser = site.browser()
    with read_only(site):
        statuses = {browser.post("/reset_password_request", data={"email": "susan"}).status_code for _time in range(5)}
    assert statuses == {503}

    deadline = time.monotonic() + PATIENCE
    while not (emails := execute(site, "SELECT kind, recipient, parameters FROM outbox_email")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(0.5)

    assert emails == execute(site, "SELECT kind, recipient, parameters FROM outbox_email")
    [(kind, _recipient, parameters)] = emails
    assert kind == "alarm"
    assert "attempt to write a readonly database" in str(parameters)


NO_ROOM = """
CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
CREATE FUNCTION no_new_room() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
CREATE TRIGGER no_room BEFORE INSERT ON outbox_email EXECUTE FUNCTION no_room();
CREATE EVENT TRIGGER no_new_room ON ddl_command_start EXECUTE FUNCTION no_new_room();
"""


@deep
@pytest.mark.postgresql
def test_a_full_disk_that_has_room_for_a_small_try_is_not_ready(
    postgres_url: str, make_settings: Callable[..., Settings], start_site: Callable[[Settings], Site]
) -> None:
    """C72: PostgreSQL's tables have free places left when no file can grow, and nobody is in ADMINS to be told."""
    site, server = start_site(make_settings(database_url=postgres_url, admins=())), make_url(postgres_url)
    browser = site.browser()
    execute_on(server, NO_ROOM)
    refused = browser.post("/register", data={"email": "susan@example.com"})
    seen = []
    for _look in range(12):
        seen.append(browser.get("/ready").status_code)
        time.sleep(0.25)
    execute_on(server, "DROP EVENT TRIGGER no_new_room; DROP TRIGGER no_room ON outbox_email")
    wait_until_ready(site)

    assert refused.status_code == 503
    assert set(seen) == {503}
    assert browser.post("/register", data={"email": "susan@example.com"}).status_code == 200


@pytest.mark.postgresql
def test_a_try_to_grow_leaves_nothing_and_asks_for_no_right_of_its_own(postgres_url: str) -> None:
    """Whoever may make no temporary table is not away for ever."""
    server = make_url(postgres_url)
    name = server.database
    execute_on(
        server,
        "DROP ROLE IF EXISTS small; CREATE ROLE small LOGIN; GRANT ALL ON limit_window TO small;"
        f" REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC",
    )
    tables = query(postgres_url, "SELECT count(*) FROM pg_class")

    for user in (server.username, "small"):
        asyncio.run(_try_to_grow(server.set(username=user).render_as_string(hide_password=False)))

    assert query(postgres_url, "SELECT count(*) FROM pg_class") == tables
    execute_on(server, f"GRANT TEMPORARY ON DATABASE {name} TO PUBLIC; DROP OWNED BY small; DROP ROLE small")


async def _try_to_grow(url: str) -> None:
    async with aclosing(Database(url)) as database:
        await database.try_write(must_grow=True)
