"""Mentions: who mentions, answers and follows you. The header counts what is new until the page is opened."""

import re

import pytest

from tests.depth import deep
from tests.people.crowd import arrive, import_people, let_part, names_in
from tests.posts.wall import PART, let_post, say, words_in
from tests.sites import Browser, Site
from tests.watching import execute, statements


@pytest.fixture
def susan(any_site: Site) -> Browser:
    return arrive(any_site)


@pytest.fixture
def bob(any_site: Site, susan: Browser) -> Browser:
    return arrive(any_site, "bob")


def counted(browser: Browser, path: str = "/settings") -> int:
    """What the header says is new."""
    found = re.search(r'class="nav-count">(\d+)<', browser.get(path).text)
    return int(found[1]) if found else 0


@deep
def test_what_is_new_is_counted_on_every_page_until_the_page_is_opened(susan: Browser, bob: Browser) -> None:
    number = say(susan, "A post.")
    assert counted(susan) == 0
    say(bob, "Hello, @susan.")
    bob.post(f"/posts/{number}/reply", data={"body": "A reply."})
    bob.post("/follow/susan")

    before, page, after = counted(susan), susan.get("/mentions"), counted(susan)
    again = susan.get("/mentions")

    assert (before, after) == (3, 0)
    assert words_in(page) == ["A reply.", "Hello, @susan."]
    assert names_in(page.text) == ["bob"]
    assert "New mentions and replies" in page.text
    assert "nav-count" not in page.text
    assert words_in(again) == ["A reply.", "Hello, @susan."]
    assert names_in(again.text) == []
    assert "New mentions and replies" not in again.text


@pytest.mark.alike
def test_a_visit_with_nothing_new_writes_nothing_and_neither_does_a_head(
    any_site: Site, susan: Browser, bob: Browser
) -> None:
    susan.get("/mentions")
    assert execute(any_site, "SELECT count(mentions_seen_at) FROM user_account") == [(0,)]

    say(bob, "Hello, @susan.")
    susan.head("/mentions")
    susan.get("/mentions?before=5")

    assert counted(susan) == 1


@pytest.mark.parametrize(
    "how", ["mute", "block", "blocked", "edited", "deleted", "removed", "disabled", "imported", "unfollowed"]
)
@deep
def test_what_the_page_does_not_show_is_not_counted(any_site: Site, susan: Browser, bob: Browser, how: str) -> None:
    """The count and the page are two statements; they must agree."""
    number = say(bob, "Hello, @susan.")
    bob.post("/follow/susan")
    if how == "mute":
        let_part(any_site, "mute", "susan", "bob")
    elif how in {"block", "blocked"}:
        let_part(any_site, "block", *(("susan", "bob") if how == "block" else ("bob", "susan")))
    elif how in {"deleted", "removed"}:
        execute(any_site, f"UPDATE post SET {how}_at = created_at")
    elif how == "disabled":
        execute(any_site, "UPDATE user_account SET disabled_at = created_at WHERE username = 'bob'")
    elif how == "imported":
        execute(any_site, "DELETE FROM mention")
        execute(any_site, f"UPDATE post SET id = -1 WHERE id = {number}")
        execute(any_site, "INSERT INTO mention SELECT -1, 1, false, created_at, NULL FROM post")
    elif how == "edited":
        bob.post(f"/posts/{number}/edit", data={"body": "Hello, somebody."})
    else:
        bob.post("/unfollow/susan")

    count, page = counted(susan), susan.get("/mentions")

    assert count == len(words_in(page)) + len(names_in(page.text))
    assert count == {"deleted": 1, "removed": 1, "imported": 1, "edited": 1, "unfollowed": 1}.get(how, 0)


@pytest.mark.alike
def test_an_edit_that_mentions_somebody_only_now_is_new(susan: Browser, bob: Browser) -> None:
    number = say(bob, "Hello.")
    say(bob, "Later, @susan.")
    susan.get("/mentions")

    bob.post(f"/posts/{number}/edit", data={"body": "Hello, @susan."})

    assert counted(susan) == 1
    page = susan.get("/mentions").text
    assert page.index("Hello, ") < page.index("Earlier") < page.index("Later, ")


@pytest.mark.alike
def test_older_mentions_come_page_by_page_in_the_same_number_of_statements(any_site: Site, susan: Browser) -> None:
    import_people(any_site, "ann")
    let_post(any_site, ("ann", "Hello, @susan."))
    with statements(any_site) as for_one:
        susan.get("/mentions")
    let_post(any_site, ("ann", "Hello, @susan."), count=29)
    susan.get("/mentions")

    with statements(any_site) as for_many:
        first = susan.get("/mentions")
    [more] = set(re.findall(r'href="(/mentions\?before=\d+)"', first.text))

    assert len(words_in(first)) == 20
    assert len(words_in(susan.get(more))) == len(words_in(susan.get(more, headers=PART))) == 10
    assert len([one for one in for_many if one.lstrip().startswith("SELECT")]) == len(
        [one for one in for_one if one.lstrip().startswith("SELECT")]
    )
