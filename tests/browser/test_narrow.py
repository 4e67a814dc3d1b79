"""Texts two fifths longer than English on the narrowest phone: every page, and every form that refuses something."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route

from tests import sites
from tests.browser.visitor import SCROLLS
from tests.pseudo import EVERYBODY, FIELDS, FORMS, PAGES, pseudo_site, readers_of
from tests.sites import Site
from tests.test_sweeps import path_of

pytestmark = pytest.mark.browser

NARROW = {"width": 320, "height": 640}
REFUSED = "/refused/"  # no page of the site: what the form of a name answers to nonsense


@pytest.fixture(scope="module")
def place(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with pseudo_site(migrated_sqlite, tmp_path_factory.mktemp("pseudo")) as site:
        yield site


@pytest.fixture
def phone(browser: Browser, place: Site) -> Iterator[Page]:
    context = browser.new_context(base_url=place.settings.base_url, viewport=NARROW)  # type: ignore[arg-type]
    yield context.new_page()
    context.close()


def serve(page: Page, place: Site, reader: sites.Browser) -> None:
    """Answers the page's requests as the site answers a reader's."""

    def answer(route: Route) -> None:
        path = route.request.url.removeprefix(place.settings.base_url)
        if path.startswith(REFUSED):
            nonsense = dict.fromkeys(FIELDS, "nonsense")
            found = reader.post(path_of(place, path.removeprefix(REFUSED)), data=nonsense)
        else:
            found = reader.get(path)
        headers = {"content-type": found.headers.get("content-type", ""), "cache-control": "no-store"}
        route.fulfill(status=found.status_code, headers=headers, body=found.content)

    page.route("**/*", answer)


@pytest.mark.parametrize("who", EVERYBODY)
def test_no_page_scrolls_sideways(place: Site, phone: Page, who: str) -> None:
    """One test for each reader: some forty pages in as many tenths of a second. David makes the mistakes."""
    reader = readers_of(place)[who]
    serve(phone, place, reader)
    refused = [f"{REFUSED}{name}" for name in FORMS if who == "david"]
    found: dict[str, int] = {}

    for path in [*(path_of(place, name) for name in PAGES), *refused]:
        if reader.get(path).headers["content-type"].startswith("text/html") or path.startswith(REFUSED):
            phone.goto(path)
            found[path] = phone.evaluate(SCROLLS)

    assert len(found) > 40
    assert {path: pixels for path, pixels in found.items() if pixels > 0} == {}
