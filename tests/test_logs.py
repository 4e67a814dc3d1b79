"""What the log says, and above all what nothing ever says: links, passwords, sessions, addresses."""

import io
import json
import logging
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from tests.depth import deep
from tests.mailbox import Mailbox
from tests.sites import Site
from tests.stories import NEW_PASSWORD, PASSWORD, ask_for_reset, forget_and_find_link, log_in, register
from tests.watching import ask, configured_log, dump, wait_until_posted
from webapp.database import Database
from webapp.logs import JSONLines, Plain, mask
from webapp.settings import Settings


@pytest.fixture
def lines(site: Site) -> Iterator[Callable[[], list[dict[str, object]]]]:
    """The log of the site, read as a machine would."""
    written = io.StringIO()
    with configured_log(site.settings) as handler:
        handler.setStream(written)
        yield lambda: [json.loads(line) for line in written.getvalue().split("\n")[:-1]]


@deep
@pytest.mark.alike
def test_no_secret_is_left_anywhere_after_a_whole_story(
    any_site: Site, mailbox: Mailbox, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """C21: log lines, database values, outbox rows and error pages, searched for every secret of the story."""
    caplog.set_level(logging.DEBUG)
    browser = any_site.browser()
    browser.post("/register", data={"email": "susan@example.com"})
    registration = mailbox.link("susan@example.com")
    browser.post(registration, data={"username": "susan", "password": PASSWORD})
    log_in(browser)
    session = browser.cookies["__Host-session"]
    link = forget_and_find_link(any_site.browser(), mailbox)
    pages = [
        any_site.browser().get(link[:-3] + "xyz").text,
        any_site.browser().put(link).text,
        any_site.browser().get(link + "/nothing").text,
        any_site.browser().get(link, headers={"host": "evil.example"}).text,
        any_site.browser().post(link, headers={"sec-fetch-site": "cross-site"}).text,
        any_site.browser().post(link, json={"password": NEW_PASSWORD}).text,
        any_site.browser().post(link, data={"password": NEW_PASSWORD}).text,
        log_in(any_site.browser(), "susan", "a mistyped password").text,
    ]
    any_site.browser().post(f"{link}/renew")
    wait_until_posted(any_site)
    renewed = mailbox.link("susan@example.com")

    secrets = {
        "the registration token": registration.rpartition("/")[2],
        "the reset token": link.rpartition("/")[2],
        "its signature": link.rpartition(".")[2],
        "the renewed token": renewed.rpartition("/")[2],
        "the password": PASSWORD,
        "the new password": NEW_PASSWORD,
        "the mistyped password": "a mistyped password",
        "the session": session,
    }
    places = {
        "log": "\n".join(JSONLines().format(record) for record in caplog.records if record.name.startswith("webapp")),
        "database": repr(dump(any_site)),
        "pages": "".join(pages),
    }
    if any_site.settings.database_url.startswith("sqlite"):
        files = [file for file in tmp_path.iterdir() if file.name.startswith("site.db")]
        places["database files"] = b"".join(file.read_bytes() for file in files).decode("latin-1")
    found = [(secret, place) for secret, value in secrets.items() for place, text in places.items() if value in text]
    assert found == []
    assert places["log"].count("/reset_password/{token}") >= 5, "the log names the route"
    assert all("argon2id" in places[place] for place in places if place.startswith("database"))
    assert not re.search(r"susan@|@example\.com", places["log"]), "and no whole address"


def test_a_line_is_json_and_names_route_status_and_time(
    site: Site, lines: Callable[[], list[dict[str, object]]]
) -> None:
    """C56"""
    site.browser().get("/reset_password/secret-in-the-path?secret=in-the-query")

    [line] = [line for line in lines() if line["event"] == "request"]

    assert {name: line[name] for name in ("level", "method", "route", "status")} == {
        "level": "info",
        "method": "GET",
        "route": "/reset_password/{token}",
        "status": 404,
    }
    assert re.fullmatch(r"[0-9a-f]{16}", str(line["request_id"]))
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", str(line["time"]))
    assert isinstance(line["ms"], float)
    assert "secret" not in json.dumps(line)


def test_a_path_without_a_route_is_not_repeated(site: Site, lines: Callable[[], list[dict[str, object]]]) -> None:
    """C21: a link with an email too many is a link."""
    site.browser().get("/reset-password/secret-in-the-path")

    [line] = [line for line in lines() if line["event"] == "request"]

    assert (line["route"], line["status"]) == (None, 404)
    assert "secret" not in json.dumps(line)


def test_line_breaks_are_escaped(site: Site, lines: Callable[[], list[dict[str, object]]]) -> None:
    """C56: nobody writes a line of his own into the log."""
    forged = '\n{"event": "forged"}\r\n\x1b[31m\u2028'
    log_in(site.browser(), forged)
    ask(site, "GET\n{}", "/x%0a%7b%7d", [("host", "blog.example"), ("user-agent", forged.replace("\u2028", ""))])
    logging.getLogger("webapp.requests").info("said %s", forged, extra={"fields": {"note": forged}})

    said = lines()

    assert [line for line in said if line["event"] == "forged"] == []
    assert said[-1]["note"] == forged


@pytest.mark.parametrize("speaker", ["uvicorn.error", "asyncio", "sqlalchemy.pool"])
def test_what_the_site_runs_on_writes_lines_of_the_same_kind(
    site: Site, lines: Callable[[], list[dict[str, object]]], speaker: str
) -> None:
    """C56: an error that only the server notices is one line, and as discreet."""
    secret = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJyZXNldF9wYXNzd29yZCI6MX0.c2lnbmF0dXJl"
    try:
        raise ZeroDivisionError(f"susan@example.com {secret}")
    except ZeroDivisionError as error:
        logging.getLogger(speaker).error("Exception in %s\n", f"susan@example.com {secret}", exc_info=error)

    [line] = lines()

    assert (line["logger"], line["level"]) == (speaker, "error")
    assert "ZeroDivisionError" in str(line["trace"])
    assert not re.search("susan|eyJ", json.dumps(line))


def test_each_request_has_a_number_of_its_own(site: Site, lines: Callable[[], list[dict[str, object]]]) -> None:
    browser = site.browser()
    for _request in range(3):
        browser.get("/login", headers={"x-request-id": "forged"})

    numbers = {line["request_id"] for line in lines() if line["event"] == "request"}

    assert len(numbers) == 3
    assert "forged" not in numbers


def test_static_files_and_unknown_people_leave_no_line(
    site: Site, lines: Callable[[], list[dict[str, object]]]
) -> None:
    site.browser().get("/static/x/app.js")
    ask_for_reset(site.browser(), "nobody@example.com")
    wait_until_posted(site)

    assert [line["event"] for line in lines()].count("request") == 2, "the request and the page after it"


def record(message: str, **more: object) -> logging.LogRecord:
    made = logging.LogRecord("webapp.test", logging.INFO, __file__, 1, message, None, None)
    made.__dict__.update(more)
    return made


@pytest.mark.parametrize("formatter", [JSONLines(), Plain()], ids=["json", "text"])
def test_an_event_is_one_line(formatter: logging.Formatter) -> None:
    """C56"""
    text = formatter.format(record("a\nb\r\nc", fields={"note": "d\ne"}))

    assert "\n" not in text
    assert "\r" not in text


HOSTILE = "no\nsuch\r\n12:00:00 info    request status=200\x1b[2J\u2028\u202eevil\x85\x0b\u2066"


@pytest.mark.parametrize("formatter", [JSONLines(), Plain()], ids=["json", "text"])
def test_no_error_writes_a_line_of_its_own(formatter: logging.Formatter) -> None:
    """C56: what it says may be what somebody typed. A trace for people has many lines, each with a margin."""
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        text = formatter.format(record("went wrong", exc_info=sys.exc_info(), fields={"note": HOSTILE}))

    first, *others = text.split("\n")
    assert "went wrong" in first
    assert all(line.startswith("  ") for line in others)
    assert "ValueError" in text
    assert "".join([first, *others]).isprintable()


@deep
def test_the_values_of_a_failed_statement_are_not_in_its_trace(
    any_site: Site, mailbox: Mailbox, caplog: pytest.LogCaptureFixture
) -> None:
    """C21: what the driver says may hold a row; the log hides the parameters."""
    register(any_site.browser(), mailbox)
    any_site.run(any_site.app.state.database.engine.dispose)
    error = OperationalError("SELECT :x", {"x": "secret"}, Exception("gone"), hide_parameters=True)

    assert any_site.app.state.database.engine.sync_engine.hide_parameters
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    ("address", "masked"),
    [
        ("susan@example.com", "s…@example.com"),
        ("a@b.c", "a…@b.c"),
        ("susan", "s…"),
        ("", "…"),
        ("@x", "@…"),
        ("pass@word", "p…"),
        ("a@b.c d", "a…"),
    ],
)
def test_an_address_is_masked(address: str, masked: str) -> None:
    """C56"""
    assert mask(address) == masked


def test_in_development_lines_are_for_people(make_settings: Callable[..., Settings]) -> None:
    text = Plain().format(record("request", fields={"route": "/login", "status": 200}))

    assert re.fullmatch(r"\d\d:\d\d:\d\d info    request route=/login status=200", text)


@pytest.mark.parametrize(
    ("server", "form"),
    [
        ("gunicorn.error", "%(asctime)s [%(process)d] [%(levelname)s] %(message)s"),
        ("hypercorn.error", "[%(asctime)s] [%(process)d] [%(levelname)s] %(message)s"),
        ("_granian", "[%(levelname)s] %(message)s"),
        ("another", "%(process)d %(thread)d %(threadName)s %(pathname)s:%(lineno)d %(funcName)s %(message)s"),
    ],
)
def test_another_server_keeps_lines_of_its_own(make_settings: Callable[..., Settings], server: str, form: str) -> None:
    """Whatever they are made of; the site sits in its process, not the other way round."""
    with configured_log(make_settings(log_format="json")):
        theirs = io.StringIO()
        handler = logging.StreamHandler(theirs)
        handler.setFormatter(logging.Formatter(form))
        logger = logging.Logger(server)
        logger.addHandler(handler)

        logger.info("Booting worker with pid: %s", 7)

        assert theirs.getvalue().endswith("Booting worker with pid: 7\n")


def test_a_site_that_stops_logs_nothing_of_its_pool(site: Site, lines: Callable[[], list[dict[str, object]]]) -> None:
    site.run(Database(site.settings.database_url).aclose)

    assert [line for line in lines() if "database" in str(line["logger"])] == []
