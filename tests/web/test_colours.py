"""Every colour is one of the stylesheet's, by day and by night, and can be read; also where no stylesheet reaches."""

import re
from html.parser import HTMLParser
from itertools import product

import pytest

from tests.depth import deep
from tests.sites import Browser, Site
from webapp.mail_preview import samples
from webapp.settings import ROOT

Colours = dict[str, str]
HEX = re.compile(r"#[0-9a-f]{6}\b")
DAY, _, NIGHT = (ROOT / "static/css/base.css").read_text().partition("@media (prefers-color-scheme: dark)")
LIGHT: Colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", DAY))
DARK: Colours = LIGHT | dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", NIGHT))
SURFACES = ("paper", "sheet", "sunk")
WORDS = [
    *product(("ink", "ink-quiet", "blue", "blue-deep"), (*SURFACES, "blue-pale")),
    *product(("ink", "red", "red-deep"), (*SURFACES, "red-pale")),
    *product(("ink", "green"), ("paper", "sheet", "green-pale")),
    *product(("on-blue",), ("blue-fill", "blue-fill-deep")),
    *product(("on-red",), ("red-fill", "red-fill-deep")),
]
BY_NIGHT = re.compile(r"@media \(prefers-color-scheme: dark\) \{(.*?)\n    \}", re.DOTALL)
RULE = re.compile(r"([.\w, -]+?) \{ (.*?) \}")


def contrast(one: str, other: str) -> float:
    """As WCAG 2.2 defines it."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def painted(style: str) -> Colours:
    """What a declaration says of colours: which property, and the colour."""
    said = [part.partition(":") for part in style.replace("!important", "").split(";")]
    return {_property(name.strip()): found[0] for name, _, value in said if (found := HEX.search(value))}


def _property(name: str) -> str:
    if name.startswith("border"):
        return name.removesuffix("-color") if name != "border-color" else "border"
    return name


class Painted(HTMLParser):
    """The classes and colours of each element that an email shows."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[frozenset[str], Colours]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        colours = painted(given.get("style", ""))
        assert given.get("bgcolor", colours.get("background")) == colours.get("background"), given
        if colours and "display: none" not in given["style"]:
            self.found.append((frozenset(given.get("class", "").split()), colours))


def test_what_a_dark_screen_prints_can_be_read_on_paper() -> None:
    sheet = (ROOT / "static/css/print.css").read_text()
    on_paper = DARK | dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", sheet))

    words = {ink: contrast(on_paper[ink], on_paper["paper"]) for ink in ("ink", "ink-quiet", "blue", "red", "green")}

    assert {ink: found for ink, found in words.items() if found < 4.5} == {}


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_words_and_edges_stand_out_from_what_they_are_on(scheme: Colours) -> None:
    words = {pair: contrast(scheme[pair[0]], scheme[pair[1]]) for pair in WORDS}
    edges = {pair: contrast(scheme[pair[0]], scheme[pair[1]]) for pair in product(("edge", "blue"), SURFACES)}

    assert {pair: found for pair, found in words.items() if found < 4.5} == {}
    assert {pair: found for pair, found in edges.items() if found < 3} == {}


@deep
def test_every_colour_of_an_email_is_one_of_the_stylesheets_by_day_and_by_night(site: Site) -> None:
    faults = set()
    for sample in samples.samples(site.settings, site.app.state.templates):
        night = BY_NIGHT.search(sample.email.html)
        assert night
        rules = [
            (name.strip().removeprefix("."), painted(style))
            for names, style in RULE.findall(night[1])
            for name in names.split(",")
        ]
        (page := Painted()).feed(sample.email.html)
        for classes, colours in page.found:
            dark = {prop: colour for name, rule in rules if name in classes for prop, colour in rule.items()}
            pairs = {(prop, colour, dark.get(prop, "")) for prop, colour in colours.items()}
            faults |= {pair for pair in pairs if not is_token(*pair[1:])}
    assert faults == set()


def is_token(by_day: str, by_night: str) -> bool:
    return any((LIGHT[name], DARK[name]) == (by_day, by_night) for name in LIGHT)


def test_an_archive_has_the_colours_of_the_site() -> None:
    by_day, _, by_night = (ROOT / "templates/archives/_head.html").read_text().partition("prefers-color-scheme: dark")
    named = {"quiet": "ink-quiet"}
    is_named = re.compile(r"--(\w+): (#[0-9a-f]{6});")
    for text, scheme in ((by_day, LIGHT), (by_night, DARK)):
        found: Colours = dict(is_named.findall(text))
        assert len(found) == 5
        assert found == {name: scheme[named.get(name, name)] for name in found}


def test_a_browsers_own_edge_has_the_colour_of_the_paper(browser: Browser) -> None:
    base = (ROOT / "templates/base.html").read_text()
    manifest = browser.get("/manifest.webmanifest").json()

    assert {manifest["theme_color"], manifest["background_color"]} == {LIGHT["paper"]}
    assert re.findall(r'theme-color" content="(.*?)"', base) == [LIGHT["paper"], DARK["paper"]]
