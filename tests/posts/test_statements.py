"""A page needs the same few statements, however much there is to show."""

import pytest

from tests.depth import deep
from tests.people.crowd import arrive, import_people, let_follow
from tests.posts.wall import let_post
from tests.sites import Browser, Site
from tests.watching import statements, wait_until_posted

# With the one that finds out who is asking.
PAGES = {"/": 2, "/explore": 2, "/user/bob": 3, "/user/bob/1": 4, "/news?of=home&after=1": 2}
POSTGRESQL_PAGES = PAGES | {"/user/bob/1": 3}  # which gives the replies and where they end in one


@pytest.mark.alike
@deep
def test_a_page_needs_as_many_statements_for_one_post_as_for_fifty(any_site: Site) -> None:
    susan, crowd = arrive(any_site), [f"fan{number}" for number in range(50)]
    import_people(any_site, "bob", *crowd)
    let_follow(any_site, ("susan", "bob"), ("fan0", "bob"))
    let_post(any_site, ("bob", "Hello @fan0."))
    wait_until_posted(any_site)
    with_one = {path: _asked(any_site, susan, path) for path in PAGES}

    let_follow(any_site, *((fan, "bob") for fan in crowd[1:]), *(("susan", fan) for fan in crowd[:9]))
    for _reply in range(2):
        susan.post("/posts/1/reply", data={"body": "@fan1"})
    let_post(any_site, ("fan1", "@susan @bob @fan1 @fan2 https://example.com/"), ("bob", "@fan3 @fan4"), count=25)
    with_fifty = {path: _asked(any_site, susan, path) for path in PAGES}

    assert with_fifty == with_one
    expected = PAGES if "sqlite" in any_site.settings.database_url else POSTGRESQL_PAGES
    assert {path: len(asked) for path, asked in with_fifty.items()} == expected


def _asked(site: Site, browser: Browser, path: str) -> list[str]:
    """A list of numbers may be longer."""
    with statements(site) as seen:
        assert browser.get(path).status_code == 200
    return [one.partition("(")[0] for one in seen]
