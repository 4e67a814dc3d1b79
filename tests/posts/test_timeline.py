"""Who sees which posts where, and how one goes on to older ones."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.depth import deep, one_in
from tests.people.crowd import arrive, import_people, let_follow
from tests.posts.wall import PART, let_post, numbers_in, say, words_in
from tests.sites import Browser, Site
from tests.watching import disable, execute, standing_site

MISSING = [404, 404, 404]


@pytest.fixture(scope="module")
def standing(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with posts of ann, of hal who hides from strangers, and of dan who is disabled."""
    with standing_site(migrated_sqlite, tmp_path_factory.mktemp("standing")) as site:
        import_people(site, "Ann", "hal", "dan")
        let_post(site, ("ann", "by ann"), ("hal", "by hal"), ("dan", "by dan"), ("ann", "removed"), ("ann", "deleted"))
        execute(site, "UPDATE user_account SET is_public = false WHERE username = 'hal'")
        execute(site, "UPDATE post SET removed_at = created_at WHERE id = 4")
        execute(site, "UPDATE post SET deleted_at = created_at WHERE id = 5")
        disable(site, "dan")
        let_follow(site)
        yield site


@pytest.fixture(scope="module")
def susan(standing: Site) -> Browser:
    susan = arrive(standing)
    let_follow(standing, ("susan", "ann"), ("susan", "hal"))
    execute(standing, "INSERT INTO follow SELECT 4, id, created_at FROM user_account WHERE username = 'dan'")
    return susan


def test_home_shows_posts_by_people_you_follow_but_nothing_that_is_gone(susan: Browser) -> None:
    """Nor what disabled people said."""
    assert words_in(susan.get("/")) == ["by hal", "by ann"]


def test_a_newcomer_is_shown_people_to_begin_with(site: Site) -> None:
    """Whoever wrote more than a page shows, and follows nobody, has begun long ago."""
    import_people(site, "ann", "bea")
    let_post(site, ("ann", "by ann"), ("bea", "by bea"), ("ann", "again"))
    susan = arrive(site)

    def named() -> list[str]:
        _before, _heading, rest = susan.get("/").text.partition("People to begin with")
        return list(dict.fromkeys(re.findall(r'href="/user/(\w+)"', rest.partition("</section>")[0])))

    assert named() == ["ann", "bea"]
    let_post(site, *[("susan", "mine")] * 20)
    assert named() == ["ann", "bea"]
    let_post(site, ("susan", "one more"))
    assert named() == []


def test_a_newcomers_first_post_stands_above_people_to_begin_with(site: Site) -> None:
    """On a phone, five people would hide it. Without scripts, the page also says that it is posted."""
    import_people(site, "ann")
    let_post(site, ("ann", "by ann"))

    page = arrive(site).post("/", data={"body": "First words"}).text

    places = [page.index(words) for words in ("Posted.", "First words", "People to begin with")]
    assert places == sorted(places)


def test_explore_shows_everybody_to_members(susan: Browser) -> None:
    assert words_in(susan.get("/explore")) == ["by hal", "by ann"]


def test_explore_shows_strangers_what_is_public(standing: Site) -> None:
    assert words_in(standing.browser().get("/explore")) == ["by ann"]


@pytest.mark.parametrize(
    ("path", "to_susan", "to_stranger"),
    [
        ("/user/Ann", 200, 200),
        ("/user/ann", 200, 200),
        ("/user/ann/1", 200, 200),
        ("/user/hal", 200, 404),
        ("/user/hal/2", 200, 404),
        ("/user/dan", 404, 404),
        ("/user/dan/3", 404, 404),
        ("/user/ann/4", 404, 404),
        ("/user/ann/5", 404, 404),
        ("/user/ann/2", 404, 404),
        ("/user/nobody", 404, 404),
        ("/user/susan@example.com", 404, 404),
        ("/user/%00", 404, 404),
    ],
)
def test_strangers_read_what_its_owner_allows(
    standing: Site, susan: Browser, path: str, to_susan: int, to_stranger: int
) -> None:
    """C36"""
    stranger = standing.browser()

    assert (susan.get(path).status_code, stranger.get(path).status_code) == (to_susan, to_stranger)


def test_a_hidden_person_looks_like_nobody(standing: Site) -> None:
    """C36: a stranger can't tell a hidden person, and their posts, from none."""
    stranger = standing.browser()

    hidden, nobody = stranger.get("/user/hal").text, stranger.get("/user/nobody").text

    assert hidden == nobody
    assert stranger.get("/user/hal/2").text == stranger.get("/user/hal/99").text


@deep
def test_a_site_may_hide_all_its_people(migrated_sqlite: Path, tmp_path: Path) -> None:
    with standing_site(migrated_sqlite, tmp_path, public_profiles=False) as site:
        susan, stranger = arrive(site), site.browser(follow_redirects=False)
        post_id = say(susan)
        paths = ["/user/susan", f"/user/susan/{post_id}"]

        answers = [stranger.get(path).status_code for path in paths]
        explore = stranger.get("/explore")

        assert answers == [404, 404]
        assert (explore.status_code, explore.headers["location"]) == (303, "/login?next=/explore")
        assert "/explore" not in stranger.get("/login").text
        assert [susan.get(path).status_code for path in [*paths, "/explore"]] == [200, 200, 200]


def test_a_profile_tells_about_a_person(standing: Site, susan: Browser) -> None:
    execute(
        standing, "UPDATE user_account SET about_me = 'Bakes <bread>: https://bread.example/.' WHERE username = 'Ann'"
    )

    page = susan.get("/user/ann").text

    assert 'Bakes &lt;bread&gt;: <a href="https://bread.example/"' in page
    assert re.search(r'https://bread\.example/"[^>]* rel="nofollow noopener ugc"', page)
    assert "1 follower" in page
    assert re.search(r"Joined \w+ \d+, \d{4}", page)
    assert 'action="/unfollow/Ann"' in page


@deep
def test_older_posts_follow_without_a_gap_while_new_ones_arrive(any_site: Site) -> None:
    susan = arrive(any_site)
    import_people(any_site, "ann", "bob")
    let_follow(any_site, ("susan", "ann"))
    posted = let_post(any_site, ("ann", "by ann"), ("bob", "not for susan"), ("susan", "by susan"), count=25)
    wanted = sorted(posted[:25] + posted[50:], reverse=True)

    first = susan.get("/")
    let_post(any_site, ("ann", "newer"), count=3)
    second = susan.get(_older(first.text), headers=PART)
    third = susan.get(_older(second.text))

    assert [numbers_in(page) for page in (first, second, third)] == [wanted[:20], wanted[20:40], wanted[40:]]
    assert "<html" not in second.text
    assert "Older posts" not in third.text


@deep
@one_in(2)
@pytest.mark.parametrize("path", ["/explore", "/user/ann"])
def test_every_timeline_goes_on_to_older_posts(any_site: Site, path: str) -> None:
    import_people(any_site, "ann")
    posted = let_post(any_site, ("ann", "by ann"), count=21)
    stranger = any_site.browser()

    first = stranger.get(path)
    second = stranger.get(_older(first.text))

    assert numbers_in(first) == posted[:0:-1]
    assert numbers_in(second) == posted[:1]


def test_the_admin_says_how_many_posts_are_on_a_page(migrated_sqlite: Path, tmp_path: Path) -> None:
    with standing_site(migrated_sqlite, tmp_path, posts_per_page=5) as site:
        import_people(site, "ann")
        let_post(site, ("ann", "by ann"), count=6)

        assert len(numbers_in(site.browser().get("/explore"))) == 5


@pytest.mark.parametrize("path", ["/", "/explore", "/user/Ann"])
@pytest.mark.parametrize("before", ["x", "--1", "1.5", "9" * 19, "%00", "١"])
def test_nonsense_for_a_page_is_refused(susan: Browser, path: str, before: str) -> None:
    """C46"""
    assert susan.get(f"{path}?before={before}").status_code == 400


@pytest.mark.alike
def test_newer_posts_of_others_are_counted(any_site: Site) -> None:
    susan = arrive(any_site)
    import_people(any_site, "ann", "bob")
    let_follow(any_site, ("susan", "ann"))
    (seen,) = let_post(any_site, ("ann", "seen"))
    let_post(any_site, ("ann", "new"), ("bob", "new"), ("susan", "my own"), count=2)

    at_home = susan.get(f"/news?of=home&after={seen}", headers=PART).text
    to_explore = susan.get(f"/news?of=explore&after={seen}", headers=PART).text
    nothing = susan.get("/news?of=home&after=999", headers=PART).text

    assert '<a class="feed-newer" id="newer" href="/">2 new posts</a>' in at_home
    assert '<a class="feed-newer" id="newer" href="/explore">4 new posts</a>' in to_explore
    assert nothing.strip() == ""


@pytest.mark.alike
def test_very_many_newer_posts_are_not_counted_to_the_end(any_site: Site) -> None:
    susan = arrive(any_site)
    import_people(any_site, "ann")
    let_follow(any_site, ("susan", "ann"))
    let_post(any_site, ("ann", "new"), count=105)

    answers = [susan.get(f"/news?of={where}&after=0", headers=PART).text for where in ("home", "explore")]

    assert ["More than 99 new posts" in answer for answer in answers] == [True, True]


def test_the_page_asks_for_news_of_what_it_shows(susan: Browser) -> None:
    assert 'data-hx-get="/news?of=home&amp;after=2"' in susan.get("/").text
    assert 'data-hx-get="/news?of=explore&amp;after=2"' in susan.get("/explore").text


def _older(page: str) -> str:
    found = re.search(r'<a class="button button-quiet" href="([^"]+)" data-hx-get="([^"]+)"', page)
    assert found, page
    assert found[1] == found[2]
    return found[1]
