"""The pictures that the site draws of people."""

import math
import re

import pytest

from tests.people.crowd import arrive
from tests.sites import Site
from webapp.people import avatars
from webapp.settings import ROOT

NAMES = [f"{first}{second}_{number}" for number in range(10) for first in "abcxyz" for second in "adgjmpsvy"]
SHEET = (ROOT / "static" / "css" / "avatar.css").read_text()


@pytest.mark.parametrize("name", ["susan", "x_1", "___", "9lives", "Z" * 30])
def test_a_picture_has_one_character_of_the_name(name: str) -> None:
    """C38"""
    assert avatars.draw(name).initial in set(name.upper())


def test_the_stylesheet_draws_every_picture() -> None:
    """C45: with nothing that would have to be fetched."""
    counts = {"hue": avatars.HUES, "figure": avatars.FIGURES, "corners": avatars.CORNERS}

    wanted = {f"{kind}-{number}" for kind, count in counts.items() for number in range(count)}
    assert set(re.findall(r"\.((?:hue|figure|corners)-\d+) {", SHEET)) == wanted
    assert "url(" not in SHEET


def test_every_size_that_a_template_asks_for_is_drawn() -> None:
    templates = [file.read_text() for file in (ROOT / "templates").rglob("*.html")]

    asked = {size for page in templates for size in re.findall(r"\bavatar\(\w+, (\d+)\)", page)}
    assert asked <= set(re.findall(r"\.avatar-(\d+) {", SHEET))
    assert len(asked) > 3


@pytest.mark.parametrize(("tone", "wanted"), [("ground", 5), ("figure", 3.5)])
def test_the_initial_stands_out_on_every_hue(tone: str, wanted: float) -> None:
    """WCAG 2.2, 1.4.3."""
    found = re.search(rf"--{tone}: oklch\(([\d.]+) ([\d.]+) var\(--hue\)\)", SHEET)
    assert found
    hues = [float(hue) for hue in re.findall(r"--hue: ([\d.]+)", SHEET)]

    contrasts = [1.05 / (luminance(float(found[1]), float(found[2]), hue) + 0.05) for hue in hues]

    assert len(set(hues)) == avatars.HUES
    assert min(contrasts) > wanted


def luminance(lightness: float, chroma: float, hue: float) -> float:
    """How light a colour of OKLCH is, from 0 to 1 (CSS Color 4, 10.8; WCAG 2.2, relative luminance)."""
    a, b = chroma * math.cos(math.radians(hue)), chroma * math.sin(math.radians(hue))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    middle = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    red = 4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short
    green = -1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short
    blue = -0.0041960863 * long - 0.7034186147 * middle + 1.7076147010 * short
    return 0.2126 * max(red, 0) + 0.7152 * max(green, 0) + 0.0722 * max(blue, 0)


def test_people_look_different_and_always_the_same() -> None:
    pictures = {avatars.draw(name) for name in NAMES}

    assert len(pictures) > len(NAMES) * 0.95
    assert avatars.draw("Susan") == avatars.draw("susan")


def test_the_picture_stands_beside_the_name_and_says_nothing_of_its_own(site: Site) -> None:
    page = arrive(site).get("/user/susan/followers").text

    pictures = re.findall(r'<span class="avatar [^>]*>(.*?)</span>', page)
    assert pictures
    assert set(pictures) == {""}
    assert page.count('<span class="avatar ') == page.count('data-initial="S" aria-hidden="true">')
