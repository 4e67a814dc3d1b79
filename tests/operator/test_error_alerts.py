"""Error mails to ADMINS: once, in words, and without anybody's secrets."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
import time_machine
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.inspection import query
from tests.sites import Site
from webapp.operator.error_alerts import TRIED_EVERY
from webapp.settings import Settings

TOKEN = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


async def one(request: Request) -> Response:
    raise RuntimeError(f"one for susan@example.com with {TOKEN} and {request.app.state.settings.secret_key}")


async def two(request: Request) -> Response:
    raise ValueError("two")


@pytest.fixture
def broken(make_settings: Callable[..., Settings], database_url: str, start_site: Callable[[Settings], Site]) -> Site:
    """A site with two views that break."""
    site = start_site(make_settings(database_url=database_url, admins=("host@example.com", "other@example.com")))
    site.app.router.routes[:0] = [Route("/one/{secret}", one), Route("/two", two)]
    return site


@pytest.mark.alike
def test_the_admins_are_told_what_where_and_how_often(broken: Site) -> None:
    assert broken.mailbox
    answer = broken.browser().get("/one/a-secret-in-the-path")

    email = broken.mailbox.last(to="host@example.com, other@example.com", count=2)

    assert answer.status_code == 500
    assert email.subject == "[Microblog] RuntimeError in GET /one/{secret}"
    assert "How often since the last email about it: 1" in email.text
    assert "in one" in email.text, "the traceback"
    request_id = email.text.partition("Request: ")[2].split()[0]
    assert request_id in answer.text


@pytest.mark.alike
def test_no_secret_is_in_it(broken: Site) -> None:
    assert broken.mailbox
    broken.browser().get("/one/a-secret-in-the-path")

    text = broken.mailbox.last().text

    for secret in ("a-secret-in-the-path", TOKEN, "susan@example.com", broken.settings.secret_key):
        assert secret not in text
    assert "[cut]" in text


@pytest.mark.alike
def test_the_same_error_is_told_once_in_a_quarter_of_an_hour_with_its_count(broken: Site) -> None:
    assert broken.mailbox
    browser = broken.browser()
    for _ in range(5):
        browser.get("/one/x")
    browser.get("/two")
    broken.mailbox.last(count=4)
    assert len(broken.mailbox.all()) == 4, "one email to each host for each distinct error"

    with time_machine.travel(datetime.now(UTC), tick=True) as clock:
        clock.shift(901)
        browser.get("/one/x")

        assert "How often since the last email about it: 5" in broken.mailbox.last(count=6).text


def test_the_admins_read_it_in_the_sites_own_language_whoever_met_it(
    make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[[Settings], Site]
) -> None:
    site = start_site(make_settings(database_url=sqlite_url, admins=("host@example.com",), languages=("ru", "en")))
    site.app.router.routes[:0] = [Route("/two", two)]

    site.browser().get("/two", headers={"accept-language": "en"})

    assert site.mailbox
    email = site.mailbox.last(to="host@example.com")
    assert (email.message["Content-Language"], email.text.splitlines()[1]) == ("ru", "Где: GET /two")


def test_nobody_is_told_where_nobody_is_named(
    make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[[Settings], Site]
) -> None:
    site = start_site(make_settings(database_url=sqlite_url))
    site.app.router.routes[:0] = [Route("/two", two)]

    answer = site.browser().get("/two")

    assert answer.status_code == 500
    assert site.mailbox
    assert site.mailbox.all() == []


@pytest.mark.postgresql
def test_the_database_is_back_when_it_takes_the_email_about_it(
    make_settings: Callable[..., Settings],
    postgres_url: str,
    start_site: Callable[[Settings], Site],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """On a full disk some tables still have room for a row, and others don't."""
    site = start_site(make_settings(database_url=postgres_url, admins=("host@example.com",)))
    full = "BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END"
    query(postgres_url, f"CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $${full}$$")
    query(postgres_url, "CREATE TRIGGER full_disk BEFORE INSERT ON outbox_email EXECUTE FUNCTION full_disk()")

    refused = [site.browser().post("/register", data={"email": "mary@example.com"}) for _ in range(2)]
    time.sleep(TRIED_EVERY + 0.5)
    assert [answer.status_code for answer in refused] == [503, 503]
    assert "database_back" not in caplog.messages
    query(postgres_url, "DROP TRIGGER full_disk ON outbox_email")

    assert site.mailbox
    told = site.mailbox.last(to="host@example.com")
    assert told.subject == "[Microblog] The database could not be used"
    assert "What: could not extend file: No space left on device" in told.text
    assert [caplog.messages.count(event) for event in ("database_away", "database_back")] == [1, 1]
    assert not [record for record in caplog.records if record.exc_info]
