"""People who hide from strangers seem not to exist: on no page, in no picture, and behind no mention."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.depth import deep
from tests.people.crowd import arrive, import_people
from tests.posts.wall import let_post, numbers_in
from tests.sites import Browser, Site
from tests.watching import execute, standing_site
from webapp.posts import statements

MENTIONS = "Thanks to @hal and @nobody, says @ann."
PAGES = ["/explore", "/user/ann", "/user/ann/1", "/search?q=thanks", "/explore/feed.atom", "/user/ann/feed.atom"]


@pytest.fixture(scope="module")
def standing(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with standing_site(migrated_sqlite, tmp_path_factory.mktemp("hidden")) as site:
        import_people(site, "ann", "hal")
        let_post(site, ("ann", MENTIONS))
        execute(site, "UPDATE user_account SET is_public = false WHERE username = 'hal'")
        yield site


@pytest.fixture(scope="module")
def susan(standing: Site) -> Browser:
    return arrive(standing)


@deep
@pytest.mark.parametrize("path", PAGES)
def test_a_mention_of_a_hidden_person_leads_strangers_nowhere(standing: Site, susan: Browser, path: str) -> None:
    """As one of nobody does, on the pages and in the feeds; people who are logged in can follow it."""
    stranger = standing.browser().get(path).text
    seen = susan.get(path).text

    assert "@hal" in stranger
    assert not re.search(r"/user/(hal|nobody)\b", stranger)
    assert "/user/ann" in stranger
    assert ("/user/hal" in seen) == (not path.endswith(".atom"))


@pytest.mark.alike
@deep
def test_explore_looks_past_hidden_people_only_so_far(any_site: Site) -> None:
    """Of a site where most hide, each page reads a bounded number of posts; the way on leads to all of them."""
    import_people(any_site, "ann", "hal")
    execute(any_site, "UPDATE user_account SET is_public = false WHERE username = 'hal'")
    early = let_post(any_site, ("ann", "early"))
    let_post(any_site, ("hal", "hidden"), count=statements.MOST_SCANNED + 10)
    late = let_post(any_site, ("ann", "late"))
    stranger, seen, path = any_site.browser(), [], "/explore"

    for _page in range(3):
        page = stranger.get(path)
        seen += numbers_in(page)
        older = re.search(r'href="/explore\?(before=\d+)"', page.text)
        if older is None:
            break
        path = f"/explore?{older[1]}"

    assert seen == [*late, *early]
    assert path != "/explore", "in two steps"
