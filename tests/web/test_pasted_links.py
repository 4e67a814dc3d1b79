"""Links as people paste them lead to the page that was meant, for every route that ends in a token."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from starlette.routing import Route

from tests.depth import deep, one_in
from tests.mailbox import Mailbox
from tests.sites import SECRET_KEY, Browser, Site
from tests.stories import forget_and_find_link, register
from tests.watching import standing_site
from webapp.accounts import tokens
from webapp.accounts.tokens import Purpose
from webapp.routes import routes
from webapp.settings import Settings

SETTINGS = Settings(base_url="https://blog.example", secret_key=SECRET_KEY, database_url="sqlite+aiosqlite://")
PATHS = [
    route.path
    for route in routes(SETTINGS)
    if isinstance(route, Route) and route.path.endswith("{token}") and "GET" in (route.methods or ())
]
OPEN = [path for path in PATHS if path != "/authenticator_app/{token}"]  # which asks a stranger to log in first
TOKEN = tokens.issue(SETTINGS, Purpose.RESET_PASSWORD, 1, timedelta(minutes=10))
MIDDLE = len(TOKEN) // 2
AFTER = [".", ")", ">", "/", ",", ";", ":", "!", "?", '"', "'", "`", "]", "}", "*", "_", "-", "…", "”", "»", "\\", "|"]
SPACES = [" ", "\t", "\n", "\r\n", "\u00a0", "\u200b", "\ufeff", "\u2028", "=\r\n", "=\n", "\r\n> ", "\n>> ", "\u00ad"]
MANGLED = {
    **{f"{TOKEN}{sign}": sign for sign in AFTER},
    **{
        f"{TOKEN}{signs}": signs for signs in [").", ">.", ".)", "...", "**", ")]", ".\n", "> ", "//", "&gt;", "&#62;."]
    },
    **{f"{space}{TOKEN}": space for space in SPACES if "=" not in space},
    **{f"{TOKEN}{space}": space for space in SPACES},
    **{f"{TOKEN[:MIDDLE]}{space}{TOKEN[MIDDLE:]}": space for space in SPACES},
    **{TOKEN.replace(".", f"{space}."): space for space in SPACES},
    **{f"{TOKEN[:-1]}{space}{TOKEN[-1:]}.": space for space in SPACES},
    **{
        f"{before}{TOKEN}{after}": before
        for before, after in map(tuple, ["<>", "()", "[]", '""', "“”", "«»", "**", "//"])
    },
}
LACKING = {
    "cut": TOKEN[:-1],
    "cut, with a full stop": f"{TOKEN[:-1]}.",
    "no signature": TOKEN.rpartition(".")[0],
    "longer": f"{TOKEN}A",
    "with a word behind it": f"{TOKEN} Thanks",
    "twice": f"{TOKEN},{TOKEN}",
    "another alphabet": TOKEN.replace("A", "\u0410"),
    "NUL": f"{TOKEN}\0",
}


@pytest.fixture(scope="module")
def standing(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with standing_site(migrated_sqlite, tmp_path_factory.mktemp("standing")) as site:
        yield site


@pytest.fixture(scope="module")
def visitor(standing: Site) -> Browser:
    return standing.browser(follow_redirects=False)


def test_there_are_links_to_sweep() -> None:
    assert len(PATHS) >= 6


@pytest.mark.parametrize("path", PATHS)
@deep
def test_whatever_clings_to_a_whole_link_is_dropped(visitor: Browser, path: str) -> None:
    clean = path.format(token=TOKEN)
    for mangled, what in MANGLED.items():
        answer = visitor.get(path.format(token=quote(mangled)))

        assert (answer.status_code, answer.headers.get("location")) == (303, clean), repr(what)
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("broken", ["/{name}%20/{token}", "/{half} {rest}/{token}", "/{name}//{token}"])
def test_a_break_before_the_token_is_mended_too(visitor: Browser, path: str, broken: str) -> None:
    name = path.split("/")[1]

    answer = visitor.get(broken.format(name=name, half=name[:3], rest=name[3:], token=TOKEN))

    assert answer.headers.get("location") == f"/{name}/{TOKEN}"


@pytest.mark.parametrize("path", OPEN)
def test_a_clean_link_is_answered_at_once(visitor: Browser, path: str) -> None:
    assert visitor.get(path.format(token=TOKEN)).status_code in {200, 404, 410}


@pytest.mark.parametrize("path", OPEN)
@pytest.mark.parametrize("kind", LACKING)
@one_in(4)
def test_a_link_that_lacks_something_is_left_as_it_is(visitor: Browser, path: str, kind: str) -> None:
    assert visitor.get(path.format(token=quote(LACKING[kind]))).status_code == 404


def test_what_stood_behind_the_question_mark_is_kept(visitor: Browser) -> None:
    answer = visitor.get(f"/reset_password/{TOKEN}.?lang=ru&from=/a%20b")

    assert answer.headers["location"] == f"/reset_password/{TOKEN}?lang=ru&from=/a%20b"


def test_a_form_is_sent_nowhere_else(visitor: Browser) -> None:
    assert visitor.post(f"/reset_password/{TOKEN}.", data={"password": "x"}).status_code == 404


def test_a_link_with_the_full_stop_of_its_sentence_resets_the_password(site: Site, mailbox: Mailbox) -> None:
    register(site.browser(), mailbox)
    browser = site.browser()
    link = forget_and_find_link(browser, mailbox)

    page = browser.get(f"{link}).")

    assert page.status_code == 200
    assert str(page.url).endswith(link)
    assert 'name="password"' in page.text
