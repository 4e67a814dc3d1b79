"""/ready: whether this process can do its work, which is to write as well."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import QueuePool, event, make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.databases import execute_on
from tests.depth import deep
from tests.sites import Site
from tests.watching import dump, execute
from webapp.operator.health import TRIED_EVERY
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


def test_a_process_that_can_write_is_ready_and_leaves_no_trace(any_site: Site) -> None:
    before = dump(any_site)

    answers = [any_site.browser().get("/ready") for _time in range(3)]

    assert [answer.status_code for answer in answers] == [200] * 3
    assert dump(any_site) == before


def test_a_read_only_database_is_reported_and_recovers_by_itself(
    database_url: str, make_settings: Callable[..., Settings], start_site: Callable[[Settings], Site]
) -> None:
    site = start_site(make_settings(database_url=database_url, mailer="process"))
    browser = site.browser()
    with read_only(site):
        asked = browser.post("/reset_password_request", data={"email": "susan@example.com"})
        form = browser.get("/login")
        deadline = time.monotonic() + 2 * TRIED_EVERY  # it may have written a moment before, and is believed that long
        while (ready := browser.get("/ready")).status_code == 200:
            assert time.monotonic() < deadline

    problem = "the database can't be written to; is the disk full or read-only?"
    assert (ready.status_code, ready.json()["problems"]) == (503, [problem])
    assert ready.headers["retry-after"] == "5"
    assert (asked.status_code, asked.headers["retry-after"]) == (503, "5")
    assert form.status_code == 200
    assert browser.get("/ready").status_code == 200
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

    deadline = time.monotonic() + 15
    while not (emails := execute(site, "SELECT kind, recipient, parameters FROM outbox_email")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(0.5)

    assert emails == execute(site, "SELECT kind, recipient, parameters FROM outbox_email")
    [(kind, _recipient, parameters)] = emails
    assert kind == "alarm"
    assert "attempt to write a readonly database" in str(parameters)
