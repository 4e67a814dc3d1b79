"""Without scripts: a form whose answer was an error, a limit or the log-in page still has in it what was typed."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.depth import deep, one_in
from tests.sites import Browser, Site
from tests.stories import PASSWORD, log_in, standing_village
from tests.test_sweeps import ROUTES
from tests.watching import execute
from webapp.fair_queue import Busy
from webapp.settings import ROOT
from webapp.web import drafts

# Pages with a form that is sent to the page itself, for who is logged in; addresses with a token are secrets.
FORMS = {
    route.name: route
    for route in ROUTES
    if {"GET", "POST"} <= (route.methods or set()) and "token" not in route.param_convertors
}
FOR_STRANGERS = {
    "login": {"username"},
    "register": {"email"},
    "reset_password_request": {"email"},
    "recover": {"username"},
}
TEXTS = {
    "home": {"body"},
    "edit_post": {"body"},
    "reply": {"body"},
    "edit_profile": {"username", "about_me"},
    "change_email": {"email"},
    "invites": {"name", "places", "days"},
    "delete_account": {"username"},
    "report": {"reason"},
    "remove_post": {"reason"},
    "disable_user": {"reason"},
    "passkeys": {"name"},
}
NO_TEXT = {
    "second_step": "only codes, and behind a password",
    "change_password": "only passwords",
    "recovery_codes": "only a password",
    "email_app_link": "only a button",
    "authenticator_app": "only codes",
    "remove_authenticator_app": "only a code",
    "checkup": "only the beginning of a code",
    "remove_passkey": "only a password",
    "passkey": "its name, as passkeys: tests/passkeys",
    "export": "only a password",
    "block": "only a button",
    "import_posts": "only a password",
    "emails": "only switches and a password",
    "act_on_person": "a reason, as remove_post",
}


@dataclass
class Fields(HTMLParser):
    """The texts of the form that is sent to a path: name and what is in it."""

    path: str
    found: dict[str, str] = field(default_factory=dict)
    inside: bool = False
    area: str = ""

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.inside = given.get("action") == self.path and given.get("method") == "post"
        elif self.inside and tag == "input" and given.get("type", "text") in {"text", "email"} and "name" in given:
            self.found[given["name"]] = given.get("value", "")
        elif self.inside and tag == "textarea":
            self.area = given["name"]
            self.found[self.area] = ""

    def handle_endtag(self, tag: str) -> None:
        self.area = "" if tag == "textarea" else self.area
        self.inside = self.inside and tag != "form"

    def handle_data(self, data: str) -> None:
        if self.area:
            self.found[self.area] += unescape(data).removeprefix("\n")


@pytest.fixture(scope="module")
def site(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with standing_village(migrated_sqlite, tmp_path_factory.mktemp("kept")) as village:
        log_in(susan := village.browser())
        susan.post("/", data={"body": "Hello, david."})
        yield village


@pytest.fixture
def susan(site: Site) -> Browser:
    execute(site, "DELETE FROM limit_window")
    browser = site.browser()
    log_in(browser)
    return browser


def path_of(name: str) -> str:
    number = 6 if name == "edit_post" else 1  # one's own
    return FORMS[name].url_path_for(name, **dict.fromkeys(FORMS[name].param_convertors, number))


def texts(browser: Browser, path: str) -> dict[str, str]:
    return texts_of(browser.get(path).text, path)


def texts_of(page: str, path: str) -> dict[str, str]:
    fields = Fields(path)
    fields.feed(page)
    return {name: text for name, text in fields.found.items() if not drafts._is_secret(name)}


def refuses(site: Site, path: str, error: Exception) -> Route:
    """Puts a view before the real one that fails when something is sent."""

    async def failing(_request: Request) -> Response:
        raise error

    route = Route(path, failing, methods=["POST"])
    site.app.router.routes.insert(0, route)
    return route


def test_the_tables_name_every_form() -> None:
    assert sorted(set(FORMS) - {*TEXTS, *NO_TEXT, *FOR_STRANGERS}) == []


@pytest.mark.parametrize("name", TEXTS)
@deep
def test_a_form_has_the_texts_that_the_table_says(susan: Browser, name: str) -> None:
    assert set(texts(susan, path_of(name))) == TEXTS[name]


@pytest.mark.parametrize("error", [ZeroDivisionError(), Busy()], ids=["500", "503"])
@pytest.mark.parametrize("name", TEXTS)
@one_in(3)
def test_what_was_typed_is_in_the_form_again_after_an_error(
    site: Site, susan: Browser, name: str, error: Exception
) -> None:
    path = path_of(name)
    typed = {text: f"typed into {text}" for text in TEXTS[name]}
    route = refuses(site, path, error)

    answer = susan.post(path, data=typed)
    site.app.router.routes.remove(route)

    assert answer.status_code in {500, 503}
    assert re.search(r"What you typed is kept", answer.text)
    assert texts(susan, path) == typed


@deep
@pytest.mark.parametrize("name", FOR_STRANGERS)
def test_what_a_stranger_typed_is_in_the_form_again_after_an_error(site: Site, name: str) -> None:
    """But no password and no code, only once, and not if somebody has logged in meanwhile."""
    path, stranger, shared = path_of(name), site.browser(), site.browser()
    typed = {text: f"typed into {text}" for text in FOR_STRANGERS[name]}
    route = refuses(site, path, Busy())

    answers = [each.post(path, data={**typed, "password": PASSWORD, "code": "123456"}) for each in (stranger, shared)]
    site.app.router.routes.remove(route)
    execute(site, "DELETE FROM limit_window")
    back, again = stranger.get(path).text, texts(stranger, path)
    log_in(shared)
    shared.post("/logout")

    assert all("What you typed is kept." in answer.text for answer in answers)
    assert FOR_STRANGERS[name] <= texts_of(back, path).keys()
    assert typed.items() <= texts_of(back, path).items()
    assert "It isn&#39;t sent yet." in back
    assert PASSWORD not in back
    assert "123456" not in back
    assert not typed.items() & again.items(), "once"
    assert not typed.items() & texts(shared, path).items()


def test_a_stranger_comes_back_to_the_form_while_the_database_is_away(site: Site) -> None:
    """The form fails before it is routed anywhere."""
    execute(site, "ALTER TABLE limit_window RENAME TO away")

    answer = site.browser().post("/reset_password_request", data={"email": "susan"})
    execute(site, "ALTER TABLE away RENAME TO limit_window")

    assert answer.status_code == 503
    assert "What you typed is kept." in answer.text
    assert 'href="">Back to the form</a>' in answer.text


@pytest.mark.parametrize("name", TEXTS)
@one_in(3)
def test_what_was_typed_is_in_the_form_again_after_logging_in_again(site: Site, susan: Browser, name: str) -> None:
    path = path_of(name)
    typed = {text: f"typed into {text}" for text in TEXTS[name]}
    execute(site, "DELETE FROM session")

    answer = susan.post(path, data=typed)
    back = log_in(susan)

    assert "what you typed is still here" in answer.text
    assert (texts_of(back.text, path) if path == "/" else texts(susan, path)) == typed


@deep
@pytest.mark.parametrize("name", TEXTS)
@one_in(3)
def test_a_mistake_leaves_in_the_form_what_was_typed(susan: Browser, name: str) -> None:
    """Too long for every field, by far."""
    path, typed = path_of(name), {text: f"{text} " + "x" * 1500 for text in TEXTS[name]}

    answer = susan.post(path, data=typed)

    assert answer.status_code == 422
    assert texts_of(answer.text, path) == typed


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("home", {"body": "A thought"}),
        ("edit_post", {"body": "A better thought"}),
        ("edit_profile", {"username": "susan", "about_me": "A line"}),
        ("change_email", {"email": "new@example.org", "current_password": PASSWORD}),
    ],
)
@deep
def test_what_was_typed_stays_in_the_form_that_was_sent_too_often(
    site: Site, susan: Browser, name: str, sent: dict[str, str]
) -> None:
    path = path_of(name)
    susan.post(path, data=sent)
    execute(site, "UPDATE limit_window SET count = 1000000")

    answer = susan.post(path, data=sent)

    assert answer.status_code == 429
    assert texts_of(answer.text, path) == {text: sent[text] for text in TEXTS[name]}


WRITTEN_ABOUT_A_POST = [name for name in TEXTS if "body" in TEXTS[name] and "post_id" in FORMS[name].param_convertors]


@deep
@pytest.mark.parametrize("how", ["deleted_at", "removed_at"])
@pytest.mark.parametrize("name", WRITTEN_ABOUT_A_POST)
def test_words_about_a_post_that_has_gone_meanwhile_are_in_the_form_at_home(
    site: Site, susan: Browser, name: str, how: str
) -> None:
    path, words = path_of(name), "A thought that took a while."
    assert "body" in texts(susan, path)
    execute(site, f"UPDATE post SET {how} = created_at")

    answer = susan.post(path, data={"body": words})
    missing = susan.post(path, data={"body": " "})
    execute(site, f"UPDATE post SET {how} = NULL")

    assert "That post is gone." in answer.text
    assert texts_of(answer.text, "/") == {"body": words}
    assert missing.status_code == 404


# A browser that goes back, and the tab's own storage, bring back what was typed, but not into a field that says "off".
NOT_KEPT = {
    "code": "a secret",
    "recovery_code": "a secret",
    "username": "typed out by who deletes the account, so that nobody does by accident",
    "q": "it stands in the address",
    "homepage": "for robots only",
}


@deep
def test_no_text_is_kept_from_going_back_but_secrets() -> None:
    sources = [file.read_text() for file in (ROOT / "templates").rglob("*.html")]
    fields = [
        field for source in sources for field in re.findall(r"(?:field\(form|<input)[^\n]*autocomplete=\"off\"", source)
    ]
    names = [re.search(r'form, "(\w+)"|name="(\w+)"', field) for field in fields]

    assert len(fields) > 5
    assert {name[1] or name[2] for name in names if name} == set(NOT_KEPT)
