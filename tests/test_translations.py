"""Every text can be translated, and is: the catalogues are whole, and no text escapes them."""

import ast
import io
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from babel.messages import Catalog, extract, mofile, pofile

from tests.catalogues import CATALOGUES, LANGUAGES, is_missing, messages, report, strings
from webapp import i18n
from webapp.settings import ROOT

PLACEHOLDER = re.compile(r"%\(\w+\)[sd]")
COUNTS = (0, 1, 2, 5, 11, 14, 21, 22, 25, 111)
EVERY_FORM = range(201)  # in Arabic, the last of its six forms is that of 100
Texts = dict[str | tuple[str, ...], None]


@cache
def texts_of_the_code() -> Texts:
    """Every text that is marked, as `make translations` finds it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    mappings = [(one.pop("pattern"), one.pop("method"), one) for one in project["tool"]["babel"]["mappings"]]
    methods = [(pattern, method) for pattern, method, _options in mappings]
    options = {pattern: values for pattern, _method, values in mappings}
    return dict.fromkeys(
        (context, text) if context and isinstance(text, str) else text
        for _file, _line, text, _comments, context in extract.extract_from_dir(ROOT, methods, options)
    )


@pytest.mark.parametrize("file", CATALOGUES, ids=LANGUAGES)
def test_every_text_is_translated_and_none_is_left_over(file: Path) -> None:
    there = {key(message): message for message in messages(file)}

    assert set(texts_of_the_code()) - set(there) == set()
    assert set(there) - set(texts_of_the_code()) == set()
    assert [text for text, message in there.items() if is_missing(message)] == []


def test_no_text_stands_inside_an_f_string() -> None:
    """Python 3.11 reads those as one piece: whoever gathers the texts with it would lose them."""
    marks = {"_", "N_", "gettext", "ngettext", "pgettext"}
    found = [
        f"{file.name}:{call.lineno}"
        for file in (ROOT / "webapp").rglob("*.py")
        for string in ast.walk(ast.parse(file.read_text()))
        for call in (ast.walk(string) if isinstance(string, ast.JoinedStr) else ())
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in marks
        if call.args and isinstance(call.args[0], ast.Constant)
    ]

    assert found == []


@pytest.mark.parametrize("file", CATALOGUES, ids=LANGUAGES)
def test_every_translation_fills_in_what_its_text_does(file: Path) -> None:
    wrong: dict[str, str | tuple[str, ...]] = {}
    for message in messages(file):
        wanted = placeholders(message.id if isinstance(message.id, str) else message.id[-1])
        wrong |= {text: key(message) for text in strings(message) if placeholders(text) != wanted}
    assert wrong == {}


def test_a_text_without_one_of_its_plural_forms_is_missing(tmp_path: Path) -> None:
    file = tmp_path / "de" / "LC_MESSAGES" / "messages.po"
    file.parent.mkdir(parents=True)
    german = Catalog(locale="de")
    german.add("Home", "Startseite", locations=[("base.html", 1)])
    german.add(("%(num)s post", "%(num)s posts"), ("%(num)s Beitrag", ""), locations=[("post.html", 1)])
    with file.open("wb") as opened:
        pofile.write_po(opened, german)

    assert report(file) == [
        "de: 1 of 2 texts are missing, and shown in English:",
        "  post.html: '%(num)s post'",
    ]


def test_no_russian_sentence_ends_with_a_day() -> None:
    """A Russian day has a full stop of its own at its end, and two of them look like a mistake."""
    russian = i18n.TRANSLATIONS / "ru" / "LC_MESSAGES" / "messages.po"
    texts = [text for message in messages(russian) for text in strings(message)]

    assert [text for text in texts if re.search(r"%\((day|date)\)s\.(?!\w)", text)] == []


def test_no_russian_text_has_a_moment_after_a_word_for_until() -> None:
    """A moment ends in «в 12:00», and «до 27 ноября в 12:00» is no Russian."""
    russian = i18n.TRANSLATIONS / "ru" / "LC_MESSAGES" / "messages.po"
    texts = [text for message in messages(russian) for text in strings(message)]

    assert [text for text in texts if re.search(r"\bдо %\((when|due)\)s", text, re.IGNORECASE)] == []


def test_no_russian_text_would_have_to_decline_the_name_of_the_site() -> None:
    """«на сайте Тихая почта», since «на Тихая почта» is wrong, and nobody can know the right form."""
    russian = i18n.TRANSLATIONS / "ru" / "LC_MESSAGES" / "messages.po"
    before = re.compile(r"\b(?:в|до|для|за|из|к|на|о|об|от|по|про|с|у|администратор[а-я]*) %\(site\)s", re.IGNORECASE)

    assert [text for message in messages(russian) for text in strings(message) if before.search(text)] == []


def test_no_russian_line_begins_with_a_dash_and_a_number_stays_with_what_it_counts() -> None:
    with i18n.use("ru", is_typeset=True):
        hours = i18n.ngettext("%(num)s hour", "%(num)s hours", 5) % {"num": 5}
        texts = [i18n.gettext(text) for text in texts_of_the_code() if isinstance(text, str)]

    assert hours == "5\u00a0часов"
    assert sum("\u00a0—" in text for text in texts) > 20
    assert [text for text in texts if " —" in text] == []


@pytest.mark.parametrize("file", CATALOGUES, ids=LANGUAGES)
def test_the_compiled_catalogue_is_the_one_that_is_shown(file: Path) -> None:
    compiled = mofile.read_mo(io.BytesIO(file.with_suffix(".mo").read_bytes()))

    assert {key(each): strings(each) for each in compiled if each.id} == {
        key(each): strings(each) for each in messages(file)
    }


@pytest.mark.parametrize("file", CATALOGUES, ids=LANGUAGES)
def test_every_number_finds_its_form(file: Path) -> None:
    plurals = [message for message in messages(file) if message.pluralizable]

    with i18n.use(file.parts[-3]):
        for message in plurals:
            one, many = message.id
            shown = {i18n.ngettext(one, many, number).replace("\u00a0", " ") for number in EVERY_FORM}
            assert shown == {text.replace("\u00a0", " ") for text in strings(message)}
    assert len(plurals) > 5


def test_russian_has_three_forms() -> None:
    with i18n.use("ru"):
        words = [i18n.ngettext("%(num)s day", "%(num)s days", number).split()[-1] for number in COUNTS]

    assert words == ["дней", "день", "дня", "дней", "дней", "дней", "день", "дня", "дней", "дней"]


def key(message: Any) -> str | tuple[str, ...]:
    """Babel reads a text with several forms back as a list or a tuple. A text for one place only has its context."""
    if message.context:  # which comes in bytes from a compiled catalogue
        place = message.context.decode() if isinstance(message.context, bytes) else message.context
        return place, message.id
    return message.id if isinstance(message.id, str) else tuple(message.id)


def test_a_text_is_another_where_its_place_asks_for_it() -> None:
    with i18n.use("ru"):
        assert (i18n.gettext("Log in"), i18n.pgettext("heading", "Log in")) == ("Войти", "Вход")
    with i18n.use("en"):
        assert i18n.pgettext("heading", "Log in") == "Log in"


def placeholders(text: str) -> set[str]:
    return set(PLACEHOLDER.findall(text))
