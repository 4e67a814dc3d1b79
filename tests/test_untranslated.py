"""No text escapes the catalogues: in the pseudo-locale, which accents every vowel, none is left plain."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.depth import deep, one_in
from tests.pseudo import EVERYBODY, FIELDS, FORMS, PAGES, pseudo_site, readers_of
from tests.sites import Browser, Site
from tests.test_sweeps import REFUSED, path_of
from webapp.mail_preview import samples
from webapp.settings import ROOT

# What is nobody's to translate: names of people, sites, browsers and headers; addresses; what people wrote.
NAMES_AND_NUMBERS = re.compile(
    # Secrets of authenticator apps and recovery codes come first: one in 512 begins with AM or PM.
    r"[A-Z2-7]{4}( [A-Z2-7]{4}){7}|\b[a-z2-9]{4}(-[a-z2-9]{4}){2}\b"
    r"|\{\w+\}|https?://\S+|\S+@\S+|@\w+|/\S+"
    r"|Microblog|English( \(long\))?|susan\w*|david|erin|testclient|Firefox|Android|Hello\.|nonsense|UTC|HTML|Atom"
    r"|(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\w* \d+|[AP]M"
    # the samples of emails
    r"|\b(ann|bob|dora|emil|fay|gus|hanna|ida|john|jon)\b"
    r"|Cheap watches, only today! Write to me\.|Advertising( is not wanted here)?\."
    r"|This site is for people from Bristol\."
    r"|your tomatoes are ripe|I've watered them|The first tomatoes are ripe|Look what @susan grew"
    r"|Thanks, @susan|Rain at last|More of it|have you seen my watering can"
)
UNTRANSLATED = re.compile(r"\b[^\W\d_]*[aeiouyAEIOUY][^\W\d_]*\b")
SAID = {"aria-label", "title", "alt", "placeholder"}  # and what scripts say: data-...
A_NAME = re.compile(r"[a-z]\S*")  # of a field, a user or an event, in such an attribute
DESCRIBING = {"description", "og:description", "og:title"}
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
    return (
        name.startswith("data-")
        and not name.startswith(("data-hx-", "data-options", "data-times"))
        and not A_NAME.fullmatch(value or "")
    )


def escaped(texts: list[str]) -> list[str]:
    lines = (" ".join(text.split()) for text in texts)
    return [line for line in lines if UNTRANSLATED.search(NAMES_AND_NUMBERS.sub("", line))]


def escaped_from(page: str) -> list[str]:
    reader = Reader()
    reader.feed(page)
    return escaped(reader.texts)


@pytest.fixture(scope="module")
def site(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with pseudo_site(migrated_sqlite, tmp_path_factory.mktemp("pseudo")) as site:
        yield site


@pytest.fixture(scope="module")
def readers(site: Site) -> dict[str, Browser]:
    return readers_of(site)


@one_in(3)
@pytest.mark.parametrize("who", EVERYBODY)
def test_every_page_is_translated(site: Site, readers: dict[str, Browser], who: str) -> None:
    names = [name for name in PAGES if name not in {"mailbox_html", "gallery_html"}]
    pages = {name: readers[who].get(path_of(site, name)) for name in names}

    read = {name: page for name, page in pages.items() if page.headers["content-type"].startswith("text/html")}
    assert len(read) > 40
    assert {name: escaped_from(page.text) for name, page in read.items() if escaped_from(page.text)} == {}


@pytest.mark.parametrize("filled", ["", "\x00", "x" * 5_000, "nonsense"], ids=["empty", "invisible", "long", "wrong"])
@deep
def test_every_mistake_is_said_in_translation(site: Site, readers: dict[str, Browser], filled: str) -> None:
    mistakes = dict.fromkeys(FIELDS, filled)

    answers = {name: readers["david"].post(path_of(site, name), data=mistakes).text for name in FORMS}

    assert {name: escaped_from(text) for name, text in answers.items() if escaped_from(text)} == {}


@pytest.mark.parametrize("kind", list(REFUSED))
def test_every_refusal_is_translated(readers: dict[str, Browser], kind: str) -> None:
    _status, method, path, how = REFUSED[kind]

    assert escaped_from(readers["a stranger"].request(method, path, **how).text) == []


@deep
def test_every_email_is_translated(site: Site) -> None:
    every = samples.samples(site.settings, site.app.state.templates)

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
    assert escaped_from("<code>AMJK BCDA EFGH JKLM NOPQ RSTU VWXY ZABC</code> <li>john-abcd-efgh</li>") == []
