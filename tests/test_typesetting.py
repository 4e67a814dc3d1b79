"""Russian lines on pages and in emails end where a typographer ends them. Commands and plain text show no trace."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.depth import deep, one_in
from tests.pseudo import EVERYBODY, FIELDS, FORMS, PAGES, pseudo_site, readers_of
from tests.sites import Browser, Site
from tests.test_sweeps import path_of
from webapp.cli.main import main
from webapp.mail_preview import samples

SHORT = "[авикосуя]|во|до|за|из|ко|на|не|ни|но|об|от|по|со"
PARTED = re.compile(rf" —| UTC|\d [А-яё]{{3}}|\d г\.|(?<![\w-])(?:{SHORT}) [А-яё«\d]| (?:бы|же|ли)\b", re.IGNORECASE)
STICKS = re.compile(r"[А-яё\d]\u00a0[А-яё]")


class Reader(HTMLParser):
    """The texts of a page or an email that stand in lines: its title doesn't, nor does what isn't shown."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.silent: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"style", "script", "pre", "title"} or (dict(attrs).get("style") or "").startswith("display: none"):
            self.silent.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.silent and self.silent[-1] == tag:
            self.silent.pop()

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.texts.append(data)


def parted(page: str) -> list[str]:
    reader = Reader()
    reader.feed(page)
    lines = (re.sub(r"[ \t\n]+", " ", text) for text in reader.texts)
    return [line for line in lines if PARTED.search(line)]


@pytest.fixture(scope="module")
def site(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with pseudo_site(migrated_sqlite, tmp_path_factory.mktemp("russian"), "ru") as site:
        yield site


@pytest.fixture(scope="module")
def readers(site: Site) -> dict[str, Browser]:
    return readers_of(site)


@deep
@pytest.mark.parametrize("who", EVERYBODY)
@one_in(3)
def test_no_page_parts_what_belongs_together(site: Site, readers: dict[str, Browser], who: str) -> None:
    names = [name for name in PAGES if not name.startswith(("mailbox", "gallery"))]
    pages = {name: readers[who].get(path_of(site, name)) for name in names}

    read = {name: page.text for name, page in pages.items() if page.headers["content-type"].startswith("text/html")}
    assert sum("\u00a0" in page for page in read.values()) > 20
    assert {name: parted(page) for name, page in read.items() if parted(page)} == {}


@pytest.mark.parametrize("filled", ["", "x" * 5_000, "nonsense"], ids=["empty", "long", "wrong"])
@deep
def test_no_mistake_parts_what_belongs_together(site: Site, readers: dict[str, Browser], filled: str) -> None:
    mistakes = dict.fromkeys(FIELDS, filled)

    answers = {name: readers["david"].post(path_of(site, name), data=mistakes).text for name in FORMS}

    assert {name: parted(text) for name, text in answers.items() if parted(text)} == {}


@deep
def test_no_email_parts_what_belongs_together_and_in_its_text_nothing_sticks(site: Site) -> None:
    every = samples.samples(site.settings, site.app.state.templates)

    assert len(every) > 20
    assert {one.id: parted(one.email.html or "") for one in every if parted(one.email.html or "")} == {}
    assert [one.id for one in every if STICKS.search(f"{one.email.subject} {one.email.text}")] == []


@deep
def test_in_what_a_command_prints_nothing_sticks(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LANGUAGE", "ru")
    for name, value in {"BASE_URL": "http://localhost:8000", "SECRET_KEY": "k" * 8 + "3f1a9c7e5b2d8064" * 2}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MAILER", "off")
    monkeypatch.setenv("DATABASE_URL", site.settings.database_url)

    for command in ("reset-link david", "users show david", "users list", "mail", "doctor", "migrate"):
        main(command.split())

    said = "".join(capsys.readouterr())
    assert "действует 10 минут" in said
    assert STICKS.findall(said) == []
