"""The language of the person: what the browser asks for, among what the site offers."""

import pytest

from tests.conftest import Browser
from webapp import i18n

OFFERED = ("en", "ru", "de")


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        ("", "en"),
        ("de", "de"),
        ("DE-at", "de"),
        ("ru-RU,ru;q=0.9,en;q=0.8", "ru"),
        ("en;q=0.1, ru;q=0.9", "ru"),
        ("fr, de;q=0.5", "de"),
        ("fr", "en"),
        ("de;q=0", "en"),
        ("de;q=0, ru;q=0.1", "ru"),
        ("*", "en"),
        ("de;q=nonsense, ru;q=0.2", "ru"),
        (";;;,,,q=q=q", "en"),
        ("x" * 100_000, "en"),
        ("fr," * 100_000 + "de", "en"),
        ("\u00ff\x00", "en"),
        ("../../etc", "en"),
    ],
)
def test_the_best_of_the_offered_languages_is_chosen(header: str, chosen: str) -> None:
    assert i18n.choose(header, OFFERED) == chosen


def test_a_language_is_in_force_only_inside() -> None:
    with i18n.use("ru"):
        inside = i18n.current()
        with i18n.use("de"):
            deeper = i18n.current()

    assert (inside, deeper, i18n.current()) == ("ru", "de", "en")


def test_without_a_catalogue_the_words_are_those_of_the_code() -> None:
    with i18n.use("de"):
        assert i18n.gettext("Log in") == "Log in"
        assert i18n.ngettext("%(num)s hour", "%(num)s hours", 2) == "%(num)s hours"


@pytest.mark.parametrize("header", ["en", "xx", "", "ru, de"])
def test_a_page_says_in_which_language_it_is(browser: Browser, header: str) -> None:
    assert '<html lang="en">' in browser.get("/login", headers={"accept-language": header}).text
