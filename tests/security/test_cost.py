"""C64: no text costs more than its length, whatever it is made of and wherever it is typed."""

import asyncio
import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote, urlencode

import pytest
import regex
from pydantic import BaseModel
from sqlmodel import SQLModel
from starlette.requests import Request

from tests import hostile
from tests.depth import deep, one_in, share
from tests.sites import SECRET_KEY, Site
from tests.stories import forget_and_find_link, log_in, register
from tests.test_sweeps import ROUTES, path_of
from tests.watching import ask, standing_site
from webapp import i18n, logs
from webapp.accounts import known_browsers, tokens
from webapp.accounts.tokens import Purpose
from webapp.feeds import atom
from webapp.names import identities
from webapp.passwords import strength
from webapp.passwords.hasher import MAX_LENGTH
from webapp.people import avatars
from webapp.people.follows import Key
from webapp.posts import text
from webapp.posts.timeline import Card
from webapp.search import words
from webapp.settings import Settings
from webapp.web import client_ip, forms, pages, plain_text, templating
from webapp.web import cookies as web_cookies
from webapp.web.forms import Form
from webapp.web.request_head import MAX_HEADER_BYTES

SETTINGS = Settings(base_url="https://blog.example", secret_key=SECRET_KEY, database_url="sqlite+aiosqlite://")
SITE = SimpleNamespace(state=SimpleNamespace(settings=SETTINGS))
TIMES = 5  # what as many letters `a` take
FLOOR, FLOOR_OF_PAGES = 4.0, 15.0  # ms below which nobody notices
HOST = ("host", "blog.example")
TYPE = ("content-type", "application/x-www-form-urlencoded")


def shapes(of: type[BaseModel] = BaseModel) -> Iterator[type[BaseModel]]:
    """The shapes of all forms."""
    for shape in of.__subclasses__():
        if shape.__module__.startswith("webapp.") and not issubclass(shape, SQLModel):
            yield shape
        yield from shapes(shape)


FIELDS = [(shape, name) for shape in dict.fromkeys(shapes()) for name in shape.model_fields]


def too_dear(
    work: Callable[[str], object],
    size: int,
    floor: float = FLOOR,
    texts: Callable[[int], Sequence[str]] = hostile.texts,
) -> list[str]:
    """The texts of that size that cost much more than as many letters."""
    work("a" * size)  # what is made once for all is made now
    most = max(TIMES * hostile.milliseconds(lambda: work("a" * size), 5), floor)
    return [typed[:40] for typed in texts(size) if hostile.is_dear(lambda typed=typed: work(typed), most)]  # type: ignore[misc]


def read(shape: type[BaseModel], body: bytes) -> Form[BaseModel]:
    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    head = [(b"content-type", b"application/x-www-form-urlencoded")]
    scope = {"type": "http", "method": "POST", "headers": head, "query_string": b"", "app": SITE}
    return asyncio.run(Form.read(Request(scope, receive), shape))


@deep
@pytest.mark.parametrize(("shape", "name"), FIELDS, ids=[f"{shape.__name__}.{name}" for shape, name in FIELDS])
@one_in(6)
def test_no_field_of_any_form_is_expensive_to_read(shape: type[BaseModel], name: str) -> None:
    """Fields of the same kind, such as passwords, share the texts."""
    size = forms.longest(shape.model_fields[name]).characters
    alike = [field for field in FIELDS if kind_of(*field) == kind_of(shape, name)]
    texts = share(hostile.texts(size), alike.index((shape, name)), len(alike))

    def check(typed: str) -> None:
        form = Form(shape, {name: typed})
        form.check(SETTINGS)

    assert too_dear(check, size, texts=lambda _size: texts) == []


def kind_of(shape: type[BaseModel], name: str) -> str:
    """The same for fields that the same code looks at."""
    field, checks = shape.model_fields[name], shape.__pydantic_decorators__
    own = shape if checks.field_validators or checks.model_validators or checks.root_validators else BaseModel
    return repr((own, field.annotation, field.metadata))


def test_the_sweep_sees_all_forms() -> None:
    names = {f"{shape.__name__}.{name}" for shape, name in FIELDS}

    assert {"Write.body", "Login.username", "EditProfile.about_me", "Recover.code", "ReportPost.reason"} <= names
    assert len(names) >= 20


@pytest.mark.parametrize(("shape", "name"), FIELDS, ids=[f"{shape.__name__}.{name}" for shape, name in FIELDS])
def test_a_field_that_is_too_long_is_refused_before_anything_looks_at_it(shape: type[BaseModel], name: str) -> None:
    most = forms.longest(shape.model_fields[name])

    form = read(shape, urlencode({name: " " * (most.characters + 1)}).encode())

    assert f" {most.said} characters" in form.errors[name]
    assert not form.is_valid
    assert most.characters <= 4000


def request(**headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "headers": raw, "query_string": b"", "client": ("192.0.2.1", 1)})


def of_client(typed: str) -> None:
    asked = request(x_forwarded_for=typed)
    asked.scope["app"] = Stage
    client_ip.of(asked)


class Stage:
    class state:  # noqa: N801
        settings = SETTINGS


def cookies(typed: str) -> None:
    asked = request(cookie=f'__Host-session="{typed}"')
    asked.scope["app"] = Stage
    web_cookies.read(asked, "session")


LOOKS: dict[str, tuple[Callable[[str], object], int]] = {
    "a password": (lambda typed: strength.of(typed, 12, "susan", "susan@example.com", "x.org"), MAX_LENGTH),
    "a password's context": (lambda typed: strength.of("a" * 12 + "bcdefg", 12, typed, typed), 2000),
    "a name or an address": (identities.identity_or_nonsense, 320),
    "a search": (lambda typed: words.for_posts(words.parse(f"a{typed}"), is_sqlite=True), words.MOST_CHARACTERS - 1),
    "a search for people": (
        lambda typed: words.for_people(words.parse(f"a{typed}"), is_sqlite=False),
        words.MOST_CHARACTERS - 1,
    ),
    "a way back": (pages.local_path, 8000),
    "a place in a list": (Key.parse, 8000),
    "a token": (lambda typed: refused(lambda: tokens.verify(SETTINGS, Purpose.RESET_PASSWORD, typed)), 8000),
    "a token's claims": (
        lambda typed: refused(lambda: tokens.verify(SETTINGS, Purpose.RESET_PASSWORD, f"{tokens.HEADER}.{typed}.x")),
        8000,
    ),
    "the languages": (lambda typed: i18n.choose(typed, ("en", "ru")), MAX_HEADER_BYTES),
    "a browser": (known_browsers.described, MAX_HEADER_BYTES),
    "a browser's mark": (known_browsers.mark, MAX_HEADER_BYTES),
    "a client's address": (of_client, MAX_HEADER_BYTES),
    "the cookies": (cookies, MAX_HEADER_BYTES - 100),
    "a line of the log": (logs.redact, 3000),
    "a masked address": (logs.mask, 2000),
    "a picture": (avatars.draw, 30),
    "a post that comes as HTML": (lambda typed: plain_text.of(f"<p>{typed}", "x.org"), 2000),
    "a post that comes as one tag": (lambda typed: plain_text.of(f"<a {typed}>", "x.org"), 2000),
}


def refused(work: Callable[[], object]) -> None:
    with pytest.raises(tokens.TokenInvalid):
        work()


@pytest.mark.parametrize("name", LOOKS)
@one_in(4)
def test_nothing_that_reads_what_was_sent_is_expensive(name: str) -> None:
    def look(typed: str) -> None:
        with contextlib.suppress(ValueError):
            work(typed)

    work, size = LOOKS[name]

    assert too_dear(look, size) == []


def kept(piece: str) -> str:
    """As much of it as a post can have; nothing if it can have none."""
    characters = regex.findall(r"\X", piece * 4000)[: text.MOST_CHARACTERS]
    try:
        return text.clean("".join(characters)[: text.MOST_CODE_POINTS])
    except ValueError:
        return ""


@pytest.fixture(scope="module")
def posts() -> list[str]:
    """What a post can be made of."""
    pieces = [form.format(piece) for piece in hostile.PIECES for form in ("{}", "{} ", "{}a\u0301")]
    return [words for words in map(kept, pieces) if words]


FILTERS: dict[str, Callable[[str], object]] = {
    "a post": lambda body: text.markup(body, {"susan"}),
    "its mentions": text.mentioned,
    "its number of characters": text.count,
    "a feed": lambda body: atom.write(
        atom.Feed("x", "/x", "/x", [Card(1, 1, "susan", True, body, datetime.now(UTC))]), SETTINGS
    ),
    "a line of an email": templating.environment(SETTINGS).filters["wrapped"],
}


@pytest.mark.parametrize("name", FILTERS)
@deep
def test_nothing_that_shows_a_text_is_expensive(posts: list[str], name: str) -> None:
    """All of them for a post; what else reads such texts shares them."""
    show = FILTERS[name]
    posts = list(posts if name == "a post" else share(posts, list(FILTERS).index(name), len(FILTERS) - 1))
    show("a" * 280 + " https://a.example/ @susan")  # what is made once for all is made now
    most = max(TIMES * hostile.milliseconds(lambda: show("a" * 280), 5), FLOOR)

    dear = [body[:40] for body in posts if hostile.is_dear(lambda body=body: show(body), most)]  # type: ignore[misc]

    assert len(posts) > 50
    assert dear == []


@pytest.fixture(scope="module")
def site(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with standing_site(migrated_sqlite, tmp_path_factory.mktemp("dear"), admins=("susan@example.com",)) as site:
        assert site.mailbox
        register(site.browser(), site.mailbox)
        register(site.browser(), site.mailbox, "david")
        site.app.state.link = forget_and_find_link(site.browser(), site.mailbox)
        browser = site.browser()
        log_in(browser)
        browser.post("/", data={"body": "Hello."})
        site.app.state.cookie = "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.cookies.jar)
        yield site


QUERIES = ("q", "next", "email", "before", "after", "of")
READERS = [route.name for route in ROUTES if "GET" in (route.methods or ()) and not route.name.startswith("mailbox")]


@pytest.mark.parametrize("name", [name for name in READERS if not name.startswith("gallery")])
@deep
def test_no_query_of_any_page_is_expensive(site: Site, name: str) -> None:
    """Another text in each of its fields, together as long as a request's address may be. The pages share the texts."""
    path, cookie = path_of(site, name), ("cookie", site.app.state.cookie)

    def look(*typed: str) -> None:
        values = (quote(each)[:1200].rpartition("%")[0] or each for each in typed)
        query = "&".join(f"{name}={value}" for name, value in zip(QUERIES, values, strict=True))
        assert ask(site, "GET", f"{path}?{query}", [HOST, cookie]).status < 500

    letters = ["a" * 900] * len(QUERIES)
    look(*letters)
    most = max(TIMES * hostile.milliseconds(lambda: look(*letters), 5), FLOOR_OF_PAGES)
    texts = hostile.between_letters(900)
    groups = [[*texts[place:], *letters][: len(QUERIES)] for place in range(0, len(texts), len(QUERIES))]
    shared = share(groups, READERS.index(name), 6)

    assert [group for group in shared if hostile.is_dear(lambda group=group: look(*group), most)] == []  # type: ignore[misc]


HEADERS = [
    *("accept-language", "cookie", "user-agent", "content-type", "if-none-match", "if-modified-since", "origin"),
    *("x-forwarded-for", "host", "referer", "hx-request", "hx-request-type", "hx-current-url", "sec-fetch-site"),
]


@deep
@pytest.mark.parametrize("header", HEADERS)
@one_in(6)
def test_no_header_is_expensive(site: Site, header: str) -> None:
    method, path = ("GET", "/explore/feed.atom") if header in OF_FEEDS else ("POST", "/login")

    def texts(size: int) -> Sequence[str]:
        return share(hostile.between_letters(size), HEADERS.index(header), 3)

    def look(typed: str) -> None:
        value = typed.encode("latin-1", "replace").decode("latin-1")
        assert ask(site, method, path, [HOST, (header, value)] if header != "host" else [("host", value)]).status < 500

    assert too_dear(look, MAX_HEADER_BYTES - len(header), FLOOR_OF_PAGES, texts) == []


OF_FEEDS = {"if-none-match", "if-modified-since", "accept-language"}


FORMS = [route.name for route in ROUTES if {"GET", "POST"} <= (route.methods or set())]


@deep
@pytest.mark.parametrize("name", FORMS)
@one_in(20)
def test_no_form_of_any_page_is_expensive_to_answer(site: Site, name: str) -> None:
    """All fields of it at once, another text in each, to susan with her rights: what is looked at and shown again."""
    path = path_of(site, name)
    with_cookie = [] if name in {"login"} else [("cookie", site.app.state.cookie)]
    page = ask(site, "GET", path, [HOST, *with_cookie]).text
    found = re.search(rf'<form[^>]*action="{re.escape(path)}".*?</form>', page, re.DOTALL)
    controls = re.findall(r"<(?:input|textarea)[^>]*>", found[0] if found else page)
    typed = " ".join(control for control in controls if "checkbox" not in control)
    fields = re.findall(r'name="(\w+)"', typed)

    # The forms share the texts: what reads a field by itself was given all of them above.
    texts = share(hostile.between_letters(2000), FORMS.index(name), 18)

    def send(typed: str) -> None:
        place = texts.index(typed) if typed in texts else None
        values = [typed if place is None else texts[place - number] for number in range(len(fields))]
        filled = dict(zip(fields, values, strict=True))
        answer = ask(site, "POST", path, [HOST, TYPE, *with_cookie], urlencode(filled).encode())
        assert answer.status < 500

    assert too_dear(send, 2000, FLOOR_OF_PAGES, lambda size: texts) == []
