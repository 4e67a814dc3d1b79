"""No text escapes the catalogues: in the pseudo-locale, which accents every vowel, none is left plain."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import product
from pathlib import Path

import pytest

from tests.sites import Browser, Site
from tests.stories import ask_for_reset, log_in, register
from tests.test_sweeps import NAMES, REFUSED, ROUTES, path_of
from tests.watching import standing_site
from webapp.i18n import PSEUDO
from webapp.mail_preview import samples
from webapp.settings import ROOT

# What is nobody's to translate: names of people, sites, browsers and headers; addresses; what people wrote.
NAMES_AND_NUMBERS = re.compile(
    r"\{\w+\}|https?://\S+|\S+@\S+|@\w+|/\S+"
    r"|Microblog|English( \(long\))?|susan\w*|david|erin|testclient|Firefox|Android|Hello\.|nonsense|UTC|HTML|Atom"
    r"|(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\w* \d+|[AP]M"
    # the samples of emails
    r"|\b(ann|bob|dora|emil|fay|gus|hanna|ida|john|jon)\b"
    r"|Cheap watches, only today! Write to me\.|Advertising( is not wanted here)?\."
)
UNTRANSLATED = re.compile(r"\b[^\W\d_]*[aeiouyAEIOUY][^\W\d_]*\b")
SAID = {"aria-label", "title", "alt", "placeholder"}  # and what scripts say: data-...
A_NAME = re.compile(r"[a-z]\S*")  # of a field, a user or an event, in such an attribute
DESCRIBING = {"description", "og:description", "og:title"}
FOR_MACHINES = {"health", "ready", "security_txt", "mailbox_source", "gallery_source"}
FOR_DEVELOPERS = {"gallery", "gallery_email", "mailbox_email"}  # they show names of templates and headers, too
EVERYBODY = ["a stranger", "susan", "david"]
PAGES = [name for name in NAMES if name not in FOR_MACHINES | FOR_DEVELOPERS]
FORMS = [route.name for route in ROUTES if "POST" in (route.methods or ()) and route.name != "logout"]
SENTENCE = re.compile(r"""["'`]([A-Z][a-z]+ [a-z][^"'`]*|[A-Z][a-z]+[.!?])["'`]""")


class Reader(HTMLParser):
    """What of a page a person reads, hears, or is told by a script."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.silent: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"style", "script", "time", "pre"}:
            self.silent.append(tag)
        values = dict(attrs)
        self.texts += [value or "" for name, value in attrs if name in SAID or is_for_scripts(name, value)]
        if (values.get("name") or values.get("property")) in DESCRIBING:
            self.texts.append(values["content"] or "")

    def handle_endtag(self, tag: str) -> None:
        if self.silent and self.silent[-1] == tag:
            self.silent.pop()

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.texts.append(data)


def is_for_scripts(name: str, value: str | None) -> bool:
    return name.startswith("data-") and not name.startswith("data-hx-") and not A_NAME.fullmatch(value or "")


def escaped(texts: list[str]) -> list[str]:
    lines = (" ".join(text.split()) for text in texts)
    return [line for line in lines if UNTRANSLATED.search(NAMES_AND_NUMBERS.sub("", line))]


def escaped_from(page: str) -> list[str]:
    reader = Reader()
    reader.feed(page)
    return escaped(reader.texts)


@pytest.fixture(scope="module")
def site(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with susan, who looks after it and writes, and with david and erin."""
    only = {"languages": (PSEUDO,), "admins": ("susan@example.com",)}
    with standing_site(migrated_sqlite, tmp_path_factory.mktemp("pseudo"), **only) as site:
        assert site.mailbox
        for name in ("susan", "david", "erin"):
            register(site.browser(), site.mailbox, name)
        ask_for_reset(site.browser())
        site.app.state.link = site.mailbox.link("susan@example.com", subject="⟦Rését")
        for name in ("david", "susan"):
            author = site.browser()
            log_in(author, name)
            author.post("/", data={"body": "Hello."})
            author.post("/follow/susan")
        yield site


@pytest.fixture(scope="module")
def readers(site: Site) -> dict[str, Browser]:
    readers = {"a stranger": site.browser(), "susan": site.browser(), "david": site.browser()}
    for name in ("susan", "david"):
        log_in(readers[name], name)
    return readers


@pytest.mark.parametrize(("who", "name"), list(product(EVERYBODY, PAGES)))
def test_every_page_is_translated(site: Site, readers: dict[str, Browser], who: str, name: str) -> None:
    answer = readers[who].get(path_of(site, name))

    if answer.headers["content-type"].startswith("text/html") and name not in {"mailbox_html", "gallery_html"}:
        assert escaped_from(answer.text) == []


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("filled", ["", "\x00", "x" * 5_000, "nonsense"], ids=["empty", "invisible", "long", "wrong"])
def test_every_mistake_is_said_in_translation(site: Site, readers: dict[str, Browser], name: str, filled: str) -> None:
    fields = ("username", "email", "password", "password2", "current_password", "body", "about_me", "reason", "code")

    answer = readers["david"].post(path_of(site, name), data=dict.fromkeys(fields, filled))

    assert escaped_from(answer.text) == []


@pytest.mark.parametrize("kind", list(REFUSED))
def test_every_refusal_is_translated(readers: dict[str, Browser], kind: str) -> None:
    _status, method, path, how = REFUSED[kind]

    assert escaped_from(readers["a stranger"].request(method, path, **how).text) == []


def test_every_email_is_translated(site: Site) -> None:
    every = list(samples.samples(site.settings, site.app.state.templates))

    found = {
        sample.id: escaped([sample.email.subject, sample.email.text or ""]) + escaped_from(sample.email.html or "")
        for sample in every
    }

    assert len(every) > 20
    assert {name: texts for name, texts in found.items() if texts} == {}


@pytest.mark.parametrize("file", sorted((ROOT / "static").glob("*.js"), key=str), ids=lambda file: file.name)
def test_scripts_have_no_words_of_their_own(file: Path) -> None:
    """They say what the page gives them in `data-` attributes."""
    if "htmx" not in file.name:
        assert SENTENCE.findall(re.sub("//.*", "", file.read_text())) == []


def test_a_text_that_escapes_is_found() -> None:
    assert escaped_from('<p>Ⅰ ⟦Lóg ín⟧ <b aria-label="Close">×</b> now</p>') == ["Close", "now"]
    assert escaped_from('<meta name="description" content="A place"><p>⟦Ä⟧ susan, 26 UTC</p>') == ["A place"]
