"""PUBLIC_PROFILES=0: a stranger learns nothing of the people of a site, not even whether somebody is there (C36)."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from tests.depth import deep
from tests.people.crowd import import_people
from tests.posts.wall import say
from tests.sites import Browser, Site
from tests.stories import log_in
from tests.test_sweeps import ROUTES
from tests.watching import execute, standing_site

HEADERS: list[dict[str, str]] = [{}, {"HX-Request": "true"}]
THERE = {"{username}": "susan", "{post_id:post}": "4242"}
NOT_THERE = {"{username}": "stranger_of_ours", "{post_id:post}": "7777"}
# A link's token leads to whoever owns it, whatever the site shows to strangers.
PATHS = sorted({route.path for route in ROUTES if "{token}" not in route.path and "/mailbox" not in route.path})
SEARCHES = [f"/{page}?{query}" for page, query in product(["search", "explore", ""], ["q=heron", "q=@susan", "page=2"])]


@pytest.fixture(scope="module")
def site(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Susan shows what she writes to whoever the site lets in, and has written something."""
    with standing_site(migrated_sqlite, tmp_path_factory.mktemp("site"), public_profiles=False) as site:
        import_people(site, "susan", "bob")
        execute(site, "UPDATE user_account SET is_public = true, about_me = 'Bakes rye bread.'")
        log_in(susan := site.browser(), "susan")
        columns, moment = "id, author_id, body, created_at, removed_because", "2026-01-01 00:00:00.000000"
        execute(site, f"INSERT INTO post ({columns}) VALUES (4241, 1, '', '{moment}', '')")
        assert say(susan, "A heron, @bob. #birds") == 4242
        yield site


def seen(stranger: Browser, method: str, path: str, names: dict[str, str], headers: dict[str, str]) -> tuple[int, str]:
    """Status, place and page; the names that stood in the request are taken out."""
    for blank, name in names.items():
        path = path.replace(blank, name)
    answer = stranger.request(method, path, headers=headers)
    text = answer.headers.get("location", "") + answer.text
    for blank, name in names.items():
        text = text.replace(name, blank)
    return answer.status_code, text


@deep
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_who_is_here_looks_to_a_stranger_like_who_is_not(site: Site, method: str) -> None:
    for path, headers in product([path for path in PATHS if "{" in path], HEADERS):
        there, not_there = (
            seen(site.browser(follow_redirects=False), method, path, names, headers) for names in (THERE, NOT_THERE)
        )
        assert there == not_there, path


@deep
def test_no_page_shows_a_stranger_a_name_or_a_word(site: Site) -> None:
    stranger = site.browser()
    for path, headers in product([*PATHS, *SEARCHES], HEADERS):
        asked = path
        for blank, name in THERE.items():
            asked = asked.replace(blank, name)
        text = stranger.get(asked, headers=headers).text
        found = [word for word in ("susan", "bob", "heron", "rye bread", "birds") if word in text and word not in asked]
        assert found == [], asked
