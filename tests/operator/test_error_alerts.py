"""Error mails to ADMINS: once, in words, and without anybody's secrets."""

import ast
import itertools
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.database.test_cleanup import tidying
from tests.depth import deep, one_in
from tests.inspection import query
from tests.sites import Site
from webapp.archive_imports import uploads
from webapp.archives import exports
from webapp.database.cleanup import CleanupTask
from webapp.delivery import dispatcher
from webapp.delivery.dispatcher import Dispatcher
from webapp.mail import mime
from webapp.mail.kinds import KINDS
from webapp.operator.error_alerts import TRIED_EVERY
from webapp.settings import ROOT, Settings

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


@deep
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
@deep
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


# What fails while no visitor waits for it

Break = Callable[[pytest.MonkeyPatch], None]


def fails(*_anything: object, **_more: object) -> Any:
    raise RuntimeError("broken")


async def breaks(*_anything: object, **_more: object) -> Any:
    fails()


def break_an_email(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(KINDS, "register", replace(KINDS["register"], write=breaks))


def break_a_template(patch: pytest.MonkeyPatch) -> None:
    usual = mime.compose
    patch.setattr(dispatcher, "compose", lambda *told: (fails if told[2].kind == "register" else usual)(*told))


def break_the_mailer(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Dispatcher, "claim", _once(Dispatcher.claim))


def break_exports(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(exports.queue, "claim", breaks)


def break_imports(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(uploads.queue, "claim", breaks)


def _once(usual: Callable[..., Any]) -> Callable[..., Any]:
    """Fails the first time."""
    outcomes = itertools.chain([breaks], itertools.repeat(usual))
    return lambda *told: next(outcomes)(*told)


@pytest.mark.parametrize(
    ("break_it", "place"),
    [
        (break_an_email, "email register"),
        (break_a_template, "email register"),
        (break_the_mailer, "mailer"),
        (break_exports, "export"),
        (break_imports, "import"),
    ],
)
@one_in(5)
def test_the_admins_are_told_of_what_fails_where_nobody_waits(
    break_it: Break,
    place: str,
    make_settings: Callable[..., Settings],
    sqlite_url: str,
    start_site: Callable[..., Site],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    break_it(monkeypatch)
    site = start_site(make_settings(database_url=sqlite_url, admins=("host@example.com",)), restarts=(0.05,))
    site.browser().post("/register", data={"email": "susan@example.com"})

    assert site.mailbox
    told = site.mailbox.last(to="host@example.com")

    assert told.subject == f"[Microblog] RuntimeError in {place}"
    assert ("broken" in told.text, "Request:" in told.text) == (True, False)


def test_the_admins_are_told_of_tidying_up_that_fails(
    make_settings: Callable[..., Settings],
    sqlite_url: str,
    start_site: Callable[[Settings], Site],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(CleanupTask, "run_batch", breaks)
    site = start_site(make_settings(database_url=sqlite_url, admins=("host@example.com",)))

    with tidying(site):
        assert site.mailbox
        assert site.mailbox.last(to="host@example.com").subject == "[Microblog] RuntimeError in session"


# The event of a trace in the log, and why ADMINS need not be told of it there.
TOLD_ELSEWHERE = {
    "alarm_not_posted": "it is what tells them",
    "flush_failed": "each request that waits for the disk fails with it",
    "letter_not_written": "the outcome has the error, which whoever records it reports",
    "unhandled": "whoever asked for this answer reports it",
}


@deep
def test_whatever_leaves_a_trace_in_the_log_is_told_to_the_admins() -> None:
    silent = {
        event
        for file in (ROOT / "webapp").rglob("*.py")
        for function in ast.walk(ast.parse(file.read_text()))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and not _calls(function, "report")
        for event in _traced(function)
    }

    assert silent == TOLD_ELSEWHERE.keys()


def _calls(function: ast.AST, name: str) -> bool:
    called = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
    return any(name in {getattr(each, "attr", ""), getattr(each, "id", "")} for each in called)


def _traced(function: ast.AST) -> list[str]:
    """The events that a function logs with a trace."""
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    return [
        str(getattr(call.args[0], "value", "?"))
        for call in calls
        if isinstance(call.func, ast.Attribute) and getattr(call.func.value, "id", "") == "log"
        if call.func.attr == "exception" or any(keyword.arg == "exc_info" for keyword in call.keywords)
    ]
