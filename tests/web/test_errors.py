"""What breaks is said in a sentence, without a trace, and with a number to ask about."""

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.depth import deep, one_in
from tests.mailbox import Mailbox
from tests.sites import Site
from tests.stories import NEW_PASSWORD, PASSWORD, forget_and_find_link, log_in, register
from tests.watching import configured_log, dump, execute, table
from webapp.fair_queue import Busy
from webapp.routes import routes
from webapp.settings import Settings

SECRET = "the-canary-in-the-trace"
FORM = ("GET", "POST")


def breaks_with(site: Site, error: BaseException, path: str = "/broken", *, methods: tuple[str, ...] = FORM) -> None:
    """Gives the site one more page, which is broken."""

    async def broken(_request: Request) -> Response:
        raise error

    site.app.router.routes.insert(0, Route(path, broken, methods=methods))


@pytest.mark.parametrize("kind", [ZeroDivisionError, RuntimeError, AssertionError, UnicodeError, RecursionError])
@pytest.mark.parametrize("headers", [{}, {"hx-request": "true", "hx-request-type": "partial"}], ids=["page", "part"])
@one_in(3)
def test_an_unhandled_exception_gives_the_page_with_a_number_and_no_trace(
    site: Site, caplog: pytest.LogCaptureFixture, kind: type[Exception], headers: dict[str, str]
) -> None:
    """C55"""
    breaks_with(site, kind(SECRET))

    answer = site.browser().get("/broken", headers=headers)

    assert answer.status_code == 500
    assert "our fault, not yours." in answer.text
    assert re.search(r"<code>[0-9a-f]{16}</code>", answer.text)
    assert not re.search(rf"{SECRET}|Traceback|{kind.__name__}|starlette|webapp|python|\.py", answer.text, re.I)
    [record] = [record for record in caplog.records if record.getMessage() == "unhandled"]
    assert record.levelno == logging.ERROR
    assert record.exc_info


def test_the_number_on_the_page_is_the_number_in_the_log(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """C55"""
    breaks_with(site, ZeroDivisionError(SECRET))
    with configured_log(site.settings):
        page = site.browser().get("/broken").text

    found = re.search(r"<code>([0-9a-f]{16})</code>", page)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert found
    assert {line["event"] for line in lines if line.get("request_id") == found[1]} >= {"unhandled", "request"}


@pytest.mark.parametrize(
    "error",
    [
        Busy(),
        OperationalError("SELECT", {}, Exception(SECRET)),
        ConnectionRefusedError(SECRET),
        ConnectionResetError(SECRET),
    ],
    ids=repr,
)
def test_what_will_be_over_soon_gives_503_and_says_when_to_come_back(site: Site, error: Exception) -> None:
    """C55"""
    breaks_with(site, error)

    answer = site.browser().get("/broken")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "Nothing is lost; try again." in answer.text
    assert SECRET not in answer.text


@deep
def test_while_the_database_is_away_guards_fail_closed(site: Site, mailbox: Mailbox, tmp_path: Path) -> None:
    """C55: nobody is let in, every form gives 503 and not the wrong answer, and the tables' return is enough."""
    register(site.browser(), mailbox)
    browser = site.browser(follow_redirects=False)
    log_in(browser)
    link = forget_and_find_link(site.browser(), mailbox)
    for name in ("user_account", "session", "limit_window", "outbox_email"):
        execute(site, f"ALTER TABLE {name} RENAME TO away_{name}")

    answers = {
        "home": browser.get("/"),
        "log in": log_in(site.browser()),
        "register": site.browser().post("/register", data={"email": "new@example.com"}),
        "ask": site.browser().post("/reset_password_request", data={"email": "susan"}),
        "link": site.browser().get(link),
        "reset": site.browser().post(link, data={"password": NEW_PASSWORD}),
        "log out": browser.post("/logout"),
        "ready": site.browser().get("/ready"),
    }
    form, health = site.browser().get("/login"), site.browser().get("/health")
    for name in ("user_account", "session", "limit_window", "outbox_email"):
        execute(site, f"ALTER TABLE away_{name} RENAME TO {name}")

    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(answers, 503)
    assert {answer.headers.get("retry-after") for name, answer in answers.items() if name != "ready"} == {"5"}
    assert not any("sqlite" in answer.text.lower() for answer in answers.values())
    assert (form.status_code, health.status_code) == (200, 200), "what needs no database is served"
    assert browser.get("/").status_code == 200


def test_a_database_that_is_not_there_gives_503(
    tmp_path: Path, make_settings: Callable[..., Settings], start_site: Callable[[Settings], Site]
) -> None:
    """C55"""
    nowhere = "postgresql+asyncpg://nobody@127.0.0.1:1/nothing"
    site = start_site(make_settings(database_url=nowhere, mailer="process"))

    answer = log_in(site.browser())
    ready = site.browser().get("/ready")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert ready.status_code == 503
    assert "nobody" not in answer.text + ready.text


@deep
@one_in(2)
def test_an_error_after_the_work_began_keeps_none_of_it(any_site: Site, mailbox: Mailbox) -> None:
    """C55: a reset whose email can't be posted changes no password."""
    register(any_site.browser(), mailbox)
    link = forget_and_find_link(any_site.browser(), mailbox)
    before = table(any_site, "user_account")
    execute(any_site, "ALTER TABLE outbox_email RENAME TO away")

    answer = any_site.browser().post(link, data={"password": NEW_PASSWORD})

    execute(any_site, "ALTER TABLE away RENAME TO outbox_email")
    assert answer.status_code in {500, 503}
    assert table(any_site, "user_account") == before
    assert log_in(any_site.browser(), password=PASSWORD).url.path == "/"


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/nothing", 404, "The page was moved or deleted"),
        ("GET", "/login/", 404, "The page was moved or deleted"),
        ("PUT", "/login", 405, "This page doesn&#39;t work that way."),
        ("GET", "/logout", 405, "This page doesn&#39;t work that way."),
    ],
)
def test_each_refusal_says_what_it_is_and_leads_on(site: Site, method: str, path: str, status: int, words: str) -> None:
    answer = site.browser().request(method, path)

    assert answer.status_code == status
    assert words in answer.text
    assert 'class="button" href="/"' in answer.text
    assert "<code>" not in answer.text, "a number is for what is our fault"


def test_who_or_what_is_not_there_is_named(
    start_site: Callable[..., Site], make_settings: Callable[..., Settings], sqlite_url: str, mailbox: Mailbox
) -> None:
    """Within a page, the sentence is all that one sees: it speaks of the person or the post, not of a page."""
    site = start_site(make_settings(database_url=sqlite_url, admins=("susan@example.com",)))
    register(browser := site.browser(), mailbox)
    log_in(browser)
    words = {"post_id": "no such post to be seen here", "username": "nobody by that name to be seen here"}
    absent = {"post_id": "404", "username": "nobody", "action": "disable"}

    for route in (route for route in routes(site.settings) if isinstance(route, Route)):
        named = [name for name in words if name in route.param_convertors]
        path = re.sub(r"{(\w+)[^}]*}", lambda found: absent.get(found[1], "1"), route.path)
        for method in (route.methods or set()) & {"GET", "POST"} if named else ():
            answer = browser.request(method, path, data={} if method == "POST" else None)
            said = words[named[0]] in answer.text
            assert (answer.status_code, said) == (404, True) or answer.status_code == 422, f"{method} {path}"


def test_a_wrong_method_says_which_are_right(site: Site) -> None:
    answer = site.browser().put("/login")

    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}


@deep
def test_an_error_page_shows_who_is_logged_in(site: Site, mailbox: Mailbox) -> None:
    browser = site.browser()
    register(browser, mailbox)
    log_in(browser)
    before = dump(site)

    page = browser.get("/nothing").text

    assert 'aria-label="Your account, susan"' in page
    assert dump(site) == before


@deep
def test_what_failed_before_anybody_was_known_offers_no_log_in(site: Site, mailbox: Mailbox) -> None:
    """Whoever reads it may well be logged in: the body was too large to be read."""
    browser = site.browser()
    register(browser, mailbox)
    log_in(browser)

    page = browser.post("/", data={"body": "x" * 70_000})

    assert page.status_code == 413
    assert [f'href="{path}"' in page.text for path in ("/login", "/register", "/")] == [False, False, True]
    assert 'href="/login"' in site.browser().get("/nothing").text


def test_whoever_sent_what_nobody_read_hears_that_the_browser_still_has_it(site: Site) -> None:
    """Without scripts the button on that page leads to an empty form."""
    words = "Your browser's Back button brings back what you typed."
    browser = site.browser()

    refused = browser.post("/register", data={"email": "x" * 70_000})
    others = [browser.get("/nothing"), browser.post("/nothing", data={"email": "x"})]

    assert (refused.status_code, words in refused.text) == (413, True)
    assert [words in answer.text for answer in others] == [False, False]


@deep
@pytest.mark.parametrize(("error", "status"), [(ZeroDivisionError(SECRET), 500), (Busy(), 503)], ids=["500", "503"])
@pytest.mark.parametrize(("path", "field"), [("/", "body"), ("/edit_profile", "about_me"), ("/change_email", "email")])
@one_in(3)
def test_what_was_typed_into_a_form_that_failed_is_in_it_again(
    site: Site, mailbox: Mailbox, error: Exception, status: int, path: str, field: str
) -> None:
    register(site.browser(), mailbox)
    susan = site.browser()
    log_in(susan)
    breaks_with(site, error, path, methods=("POST",))

    answer = susan.post(path, data={field: "A long thought", "current_password": PASSWORD})
    back = susan.get(path)

    assert answer.status_code == status
    assert "What you typed is kept." in answer.text
    assert 'href="">Back to the form</a>' in answer.text
    assert "A long thought" in back.text
    assert "It isn&#39;t sent yet." in back.text
    assert PASSWORD not in back.text
    assert "A long thought" not in susan.get(path).text, "once"


@deep
def test_of_a_form_with_a_secret_address_nothing_is_kept(site: Site, mailbox: Mailbox) -> None:
    """C21"""
    register(site.browser(), mailbox)
    susan = site.browser()
    log_in(susan)
    link = forget_and_find_link(susan, mailbox)
    breaks_with(site, ZeroDivisionError(SECRET), "/reset_password/{token}", methods=("POST",))

    answer = susan.post(link, data={"username": "susan", "password": NEW_PASSWORD})

    assert answer.status_code == 500
    assert "What you typed is kept" not in answer.text
    assert "draft" not in " ".join(susan.cookies)
    assert 'href="">Back to the form</a>' in answer.text, "and the address isn't repeated"
    assert link not in answer.text


def test_a_page_that_failed_can_be_tried_again(site: Site) -> None:
    breaks_with(site, Busy(), "/explore", methods=("GET",))

    assert 'class="button" href="">Try again</a>' in site.browser().get("/explore?before=7").text


def test_a_button_that_failed_leads_back_to_its_page(site: Site) -> None:
    breaks_with(site, Busy(), "/logout", methods=("POST",))
    page = f"{site.settings.base_url}/user/susan?before=7"

    answer = site.browser().post("/logout", headers={"referer": page})
    from_link = site.browser().post("/logout", headers={"referer": f"{site.settings.base_url}/check_email/{'x' * 80}"})

    assert 'class="button" href="/user/susan?before=7">Back</a>' in answer.text
    assert 'class="button" href="/">To the start page</a>' in from_link.text
