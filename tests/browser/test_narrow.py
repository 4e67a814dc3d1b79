"""Long texts on the narrowest phone: every page, and every form that refuses something.

They are two fifths longer than English, or Russian, in which one word may be as long as three.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route

from tests import sites
from tests.browser.states import LONG_NAME
from tests.browser.visitor import SCROLLS
from tests.depth import deep, one_in, share
from tests.pseudo import EVERYBODY, FIELDS, FORMS, PAGES, pseudo_site, readers_of
from tests.sites import Site
from tests.test_sweeps import path_of
from tests.watching import standing_site
from webapp.i18n import PSEUDO

pytestmark = pytest.mark.browser

# Shows a page in the place of the one before, with all that scripts may show in it. To go there would read the
# stylesheet, the fonts and the scripts again, which took half a second of the processor each time.
SHOW = f"""async ([html, most]) => {{
    const body = new DOMParser().parseFromString(html, "text/html").body;
    for (const part of body.querySelectorAll("[hidden]")) part.hidden = false;
    document.body.replaceWith(document.adoptNode(body));
    const words = document.createTreeWalker(body, NodeFilter.SHOW_TEXT), broken = [], range = document.createRange();
    const short = new RegExp(`(?<=^|\\\\s)\\\\p{{L}}{{2,${{most}}}}(?=[.,:;!?]*(\\\\s|$))`, "gu");
    for (let node; (node = words.nextNode()); ) for (const word of node.data.matchAll(short)) {{
        range.setStart(node, word.index);
        range.setEnd(node, word.index + word[0].length);
        const tops = new Set([...range.getClientRects()].map((it) => it.top));
        if (tops.size > 1 && node.parentElement.offsetWidth > 1) broken.push(word[0]);
    }}
    const waiting = [...document.images].filter((it) => !it.complete && it.loading !== "lazy");
    await Promise.all(waiting.map((it) => new Promise((done) => {{ it.onload = it.onerror = done; }})));
    return [{SCROLLS}, broken];
}}"""
# What readers may set (WCAG 2.2, 1.4.12), and the texts that are cut off then, but for the first words of an email and
# the name of the site, which gives way to the rest of its row.
SPACED = """() => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(`* { line-height: 1.5 !important; letter-spacing: 0.12em !important;
        word-spacing: 0.16em !important; } p { margin-block-end: 2em !important; }`);
    document.adoptedStyleSheets = [sheet];
}"""
CUT = """() => [...document.querySelectorAll("body *")]
    .filter((it) => it.scrollWidth > it.clientWidth + 1 && it.clientWidth > 1)
    .filter((it) => getComputedStyle(it).overflowX === "hidden" && !it.matches(".email-preview, .site-name"))
    .map((it) => it.outerHTML.slice(0, 100))"""
# What has moved once a script has said the times in the reader's own zone.
MOVED = """() => {
    const places = () => [...document.querySelectorAll("body *")].filter((it) => !it.closest("time"))
        .map((it) => [it, JSON.stringify(it.getBoundingClientRect())]);
    const before = places();
    tellTime();
    return places().filter(([it, at], index) => at !== before[index][1]).map(([it]) => it.outerHTML.slice(0, 100));
}"""
NARROW = {"width": 320, "height": 640}
# How long a word may be and must still stay whole: of the pseudo-locale's, whose letters are many, and of Russian's.
LONGEST = {PSEUDO: 14, "ru": 18}
LONGEST_SPACED = {PSEUDO: 14, "ru": 9}  # a longer one in a heading, spaced wider, is wider than the screen


@pytest.fixture(scope="module", params=LONGEST)
def place(
    request: pytest.FixtureRequest, migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    with pseudo_site(migrated_sqlite, tmp_path_factory.mktemp("narrow"), request.param) as site:
        yield site


@pytest.fixture
def phone(browser: Browser, place: Site) -> Iterator[Page]:
    context = browser.new_context(base_url=place.settings.base_url, viewport=NARROW)  # type: ignore[arg-type]
    yield context.new_page()
    context.close()


def serve(page: Page, place: Site, reader: sites.Browser) -> None:
    """Answers the page's requests as the site answers a reader's."""

    def answer(route: Route) -> None:
        found = reader.get(route.request.url.removeprefix(place.settings.base_url))
        headers = {"content-type": found.headers.get("content-type", ""), "cache-control": "no-store"}
        route.fulfill(status=found.status_code, headers=headers, body=found.content)

    page.route("**/*", answer)


def answers(place: Site, reader: sites.Browser, who: str) -> Iterator[tuple[str, str]]:
    """The pages that a reader may see, and what the forms answer to nonsense. David makes the mistakes."""
    for name in PAGES if who != "a stranger" else share(PAGES, 0, 3):  # a stranger's are shorter
        page = reader.get(path_of(place, name))
        if page.headers["content-type"].startswith("text/html"):
            yield name, page.text
    for name in FORMS if who == "david" else ():
        nonsense = dict.fromkeys(FIELDS, "nonsense")
        yield f"{name}, refused", reader.post(path_of(place, name), data=nonsense).text


def opened(phone: Page, place: Site, who: str) -> sites.Browser:
    """A page of the site, on whose style sheet the others are then shown; returns the reader."""
    reader = readers_of(place)[who]
    serve(phone, place, reader)
    phone.goto("/login")
    return reader


@pytest.mark.parametrize("who", EVERYBODY)
@one_in(6)
def test_no_page_scrolls_sideways_or_breaks_a_short_word(place: Site, phone: Page, who: str) -> None:
    """One test for each reader: some forty pages in as many tenths of a second."""
    reader = opened(phone, place, who)
    (language,) = place.settings.languages
    most = LONGEST[language]

    found = {name: phone.evaluate(SHOW, [html, most]) for name, html in answers(place, reader, who)}

    assert len(found) > 15
    assert {name: pixels for name, (pixels, _broken) in found.items() if pixels > 0} == {}
    assert {name: broken for name, (_pixels, broken) in found.items() if broken} == {}


@pytest.mark.parametrize("who", EVERYBODY)
@one_in(3)
@deep
def test_with_wider_spaced_text_nothing_is_cut_off(place: Site, phone: Page, who: str) -> None:
    reader = opened(phone, place, who)
    phone.evaluate(SPACED)
    (language,) = place.settings.languages
    most = LONGEST_SPACED[language]

    found = {}
    for name, html in answers(place, reader, who):
        pixels, broken = phone.evaluate(SHOW, [html, most])
        too_long = {place.settings.site_name}  # for one line at the front door
        found[name] = (pixels, set(broken) - too_long, phone.evaluate(CUT))

    assert len(found) > 15
    assert {name: pixels for name, (pixels, _broken, _cut) in found.items() if pixels > 0} == {}
    assert {name: broken for name, (_pixels, broken, _cut) in found.items() if broken} == {}
    assert {name: cut for name, (_pixels, _broken, cut) in found.items() if cut} == {}


@deep
def test_with_wider_spaced_text_the_front_door_breaks_no_word(place: Site, phone: Page) -> None:
    reader = opened(phone, place, "a stranger")
    phone.evaluate(SPACED)
    (language,) = place.settings.languages

    _pixels, broken = phone.evaluate(SHOW, [reader.get("/").text, LONGEST[language]])

    assert set(broken) <= {place.settings.site_name}


@pytest.mark.parametrize("who", EVERYBODY[1:])
@one_in(2)
@deep
def test_nothing_moves_when_times_are_said_in_the_readers_own_zone(place: Site, phone: Page, who: str) -> None:
    reader = opened(phone, place, who)

    moved, times = {}, 0
    for name, html in answers(place, reader, who):
        phone.evaluate(SHOW, [html, 2])
        times += phone.locator("time:not([data-ago])").count()
        moved[name] = phone.evaluate(MOVED)

    assert times > 5
    assert {name: what for name, what in moved.items() if what} == {}


@pytest.mark.parametrize("width", [640, 700, 752])
@deep
def test_an_envelope_has_both_its_edges(place: Site, phone: Page, width: int) -> None:
    """Such as at 1280 pixels, twice enlarged (WCAG 2.2, 1.4.4): what is cut off at the left nobody can scroll to."""
    opened(phone, place, "a stranger")
    phone.set_viewport_size({"width": width, "height": 640})
    phone.goto("/")

    envelope = phone.locator(".panel-mail").bounding_box()

    assert envelope
    assert envelope["x"] >= 0
    assert envelope["x"] + envelope["width"] <= width


# Whether each button stands at the end of the first line of the name that it belongs to.
BESIDE = """(name) => [...document.querySelectorAll(".person:has(.follow)")].map((it) => {
    const link = it.querySelector(".person-name"), button = it.querySelector("button").getBoundingClientRect();
    link.textContent = name;
    const [first] = link.getClientRects();
    return button.left > first.right && button.top < first.bottom && button.right > innerWidth - 40;
})"""


@pytest.mark.parametrize("name", ["konstantinopel", LONG_NAME])
@deep
def test_the_button_stays_beside_a_long_name(place: Site, phone: Page, name: str) -> None:
    opened(phone, place, "susan")
    phone.goto("/user/susan/followers")

    assert set(phone.evaluate(BESIDE, name)) == {True}


@deep
def test_a_long_word_in_the_name_of_the_site_stays_whole_at_its_front_door(
    migrated_sqlite: Path, tmp_path: Path, browser: Browser
) -> None:
    with standing_site(migrated_sqlite, tmp_path, site_name="Огородники на реке") as site:
        context = browser.new_context(base_url=site.settings.base_url, viewport=NARROW)  # type: ignore[arg-type]
        page = context.new_page()
        serve(page, site, site.browser())
        page.goto("/")

        _pixels, broken = page.evaluate(SHOW, [site.browser().get("/").text, 10])

    assert broken == []
