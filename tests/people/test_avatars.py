"""The pictures that the site draws of people."""

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.people.crowd import arrive, import_people
from tests.sites import Site
from tests.watching import disable, execute, standing_site
from webapp.people import avatars

NAMES = [f"{first}{second}_{number}" for number in range(10) for first in "abcxyz" for second in "adgjmpsvy"]


@pytest.fixture(scope="module")
def standing(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with standing_site(migrated_sqlite, tmp_path_factory.mktemp("standing")) as site:
        import_people(site, "Ann", "bob", "hidden")
        disable(site, "bob")
        execute(site, "UPDATE user_account SET is_public = false WHERE username = 'hidden'")
        yield site


@pytest.mark.parametrize("name", ["susan", "x_1", "___", "9lives", "Z" * 30])
def test_a_picture_is_sound_and_asks_nobody_for_anything(name: str) -> None:
    """C38, C45: shapes, and one email of the name."""
    svg = ElementTree.fromstring(avatars.draw(name))

    tags = {element.tag.partition("}")[2] for element in svg.iter()}
    links = {value for element in svg.iter() for key, value in element.attrib.items() if key.endswith("href")}
    assert tags <= {"svg", "defs", "g", "path", "circle", "use", "text"}
    assert links == {"#q"}
    assert "".join(svg.itertext()) in name.upper()


@pytest.mark.parametrize("hue", range(avatars.HUES))
def test_the_initial_stands_out_on_every_hue(hue: int) -> None:
    """WCAG 2.2, 1.4.3."""
    grounds = [avatars._tone(hue, level) for level in (avatars.GROUND_LUMINANCE, avatars.FIGURE_LUMINANCE)]

    for ground, wanted in zip(grounds, (5.4, 3.5), strict=True):
        parts = tuple(int(ground[place : place + 2], 16) / 255 for place in (1, 3, 5))
        assert 1.05 / (avatars._luminance((parts[0], parts[1], parts[2])) + 0.05) > wanted


def test_people_look_different_and_always_the_same() -> None:
    pictures = {avatars.draw(name) for name in NAMES}

    assert len(pictures) > len(NAMES) * 0.95
    assert avatars.draw("Susan") == avatars.draw("susan")


def test_a_picture_is_kept_for_a_year_and_can_do_nothing(standing: Site) -> None:
    """C37: also when it is opened as a page of its own."""
    answer = standing.browser().get("/user/Ann/avatar.svg?v=1")

    assert answer.text == avatars.draw("ann")
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'; sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("who", ["bob", "nobody", "hidden", "no%20name", "%3Cscript%3E", "x" * 300])
def test_strangers_see_the_same_picture_of_all_who_do_not_show_themselves(standing: Site, who: str) -> None:
    """C12: it does not tell who is here, and is not kept: they may come, or come back."""
    answer = standing.browser().get(f"/user/{who}/avatar.svg")

    assert (answer.status_code, answer.text) == (200, avatars.NOBODY)
    assert answer.headers["cache-control"] == "no-store"


def test_people_see_each_other(standing: Site) -> None:
    susan = arrive(standing)

    hidden, gone = susan.get("/user/hidden/avatar.svg"), susan.get("/user/bob/avatar.svg")

    assert hidden.text == avatars.draw("hidden")
    assert gone.text == avatars.NOBODY


def test_the_picture_stands_beside_the_name_and_says_nothing_of_its_own(site: Site) -> None:
    page = arrive(site).get("/user/susan/followers").text

    picture = re.search(r'<img class="avatar"[^>]*>', page)
    assert picture
    assert 'src="/user/susan/avatar.svg?v=2"' in picture[0]
    assert 'alt=""' in picture[0]
