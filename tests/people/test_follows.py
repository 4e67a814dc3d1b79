"""Follow and unfollow, and the lists of who does."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.depth import deep, one_in
from tests.people.crowd import PART, arrive, import_people, let_follow, names_in
from tests.sites import Browser, Site
from tests.watching import disable, execute, standing_site, statements, table
from webapp.people.follows import PAGE, Key


@pytest.fixture
def susan(site: Site) -> Browser:
    """Susan, logged in, on a site with a few others."""
    browser = arrive(site)
    import_people(site, "ann", "bob", "Carl")
    return browser


@pytest.mark.alike
def test_following_is_seen_by_both_and_can_be_ended(any_site: Site) -> None:
    susan = arrive(any_site)
    import_people(any_site, "bob")

    susan.post("/follow/bob", data={"next": "/user/bob/followers"})

    assert names_in(susan.get("/user/bob/followers").text) == ["susan"]
    assert names_in(susan.get("/user/susan/following").text) == ["bob"]
    susan.post("/unfollow/bob", data={"next": "/user/bob/followers"})
    assert "Nobody yet." in susan.get("/user/bob/followers").text
    assert names_in(susan.get("/user/susan/following").text) == []


def test_a_name_that_may_break_in_two_is_heard_as_one(susan: Browser, site: Site) -> None:
    import_people(site, "ann_of_the_hill")
    susan.post("/follow/ann_of_the_hill")

    page = susan.get("/user/susan/following").text

    assert re.findall(r'class="person-name"[^>]* aria-label="(.*?)">(.*?)</a>', page) == [
        ("ann_of_the_hill", "ann_<wbr>of_<wbr>the_<wbr>hill")
    ]


@pytest.mark.parametrize("page", ["", "/followers", "/following"])
def test_a_newcomers_own_empty_pages_lead_on(susan: Browser, page: str) -> None:
    own, other = (
        re.findall(r'(?s)-none">(.*?)</div>', susan.get(f"/user/{name}{page}").text) for name in ("susan", "ann")
    )

    assert "<a href=" in own[0]
    assert "<a href=" not in other[0]


def test_pressed_twice_it_has_been_pressed_once(site: Site) -> None:
    susan = arrive(site)
    import_people(site, "bob")

    for path in ("/follow/bob", "/follow/bob"):
        susan.post(path, data={"next": "/settings"})

    assert "1 follower<" in susan.get("/user/bob/followers").text
    for path in ("/unfollow/bob", "/unfollow/bob"):
        assert susan.post(path, data={"next": "/settings"}).status_code == 200
    assert "0 followers<" in susan.get("/user/bob/followers").text


@pytest.mark.races
@deep
def test_two_follows_at_once_count_once(any_site: Site) -> None:
    """C17: no error, and one row."""
    susan = arrive(any_site)
    import_people(any_site, "bob")

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: susan.post("/follow/bob", data={"next": "/settings"}), range(16)))

    assert {answer.status_code for answer in answers} == {200}
    assert len(table(any_site, "follow")) == 1


def test_nobody_follows_themselves(site: Site, susan: Browser) -> None:
    answer = susan.post("/follow/SUSAN")

    assert answer.status_code == 400
    assert "That&#39;s you." in answer.text
    assert table(site, "follow") == []


@pytest.fixture(scope="module")
def ann(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Ann, on a site that her tests leave as it was, where the account of bob is disabled."""
    with standing_site(migrated_sqlite, tmp_path_factory.mktemp("standing")) as site:
        import_people(site, "bob", "dora")
        disable(site, "bob")
        yield arrive(site, "ann")


@pytest.mark.parametrize("path", ["/follow/{}", "/unfollow/{}", "/user/{}/followers", "/user/{}/following"])
@pytest.mark.parametrize("who", ["nobody", "bob", "no%20name", "%00", "x" * 300])
@one_in(4)
def test_unknown_and_disabled_people_look_the_same(ann: Browser, path: str, who: str) -> None:
    method = "GET" if path.startswith("/user") else "POST"
    answer = ann.request(method, path.format(who))

    assert answer.status_code == 404
    assert names_in(ann.get("/user/ann/following").text) == []


def test_afterwards_people_are_where_they_were_and_always_on_this_site(susan: Browser) -> None:
    """C43"""
    susan.follow_redirects = False

    back = susan.post("/follow/bob", data={"next": "/user/bob/followers?after=1-1"})
    plain = susan.post("/unfollow/Bob")
    foreign = susan.post("/follow/carl", data={"next": "//evil.example/"})

    assert (back.status_code, back.headers["location"]) == (303, "/user/bob/followers?after=1-1")
    assert (plain.status_code, plain.headers["location"]) == (303, "/user/bob")
    assert foreign.headers["location"] == "/user/Carl"


def test_under_htmx_the_button_changes_in_its_place_and_the_count_with_it(susan: Browser) -> None:
    answer = susan.post("/follow/bob", headers=PART)
    after = susan.post("/unfollow/bob", headers=PART)

    assert answer.text.lstrip().startswith('<form class="follow"')
    assert 'action="/unfollow/bob"' in answer.text
    assert re.search(r'id="followers-of-bob" data-hx-swap-oob="true">1 follower<', answer.text)
    assert 'action="/follow/bob"' in after.text
    assert "0 followers<" in after.text
    assert "<html" not in answer.text + after.text


@deep
def test_somebody_who_follows_and_unfollows_all_the_time_is_asked_to_wait(susan: Browser) -> None:
    for _ in range(15):
        susan.post("/follow/bob", headers=PART)
        susan.post("/unfollow/bob", headers=PART)

    plain, part = susan.post("/follow/bob"), susan.post("/follow/bob", headers=PART)

    assert plain.status_code == part.status_code == 429
    assert int(plain.headers["retry-after"]) in range(1, 61)
    assert "You can continue in" in plain.text
    assert "You can continue in" in part.text
    assert 'action="/follow/bob"' in part.text, "nothing was changed"


def test_a_disabled_person_vanishes_from_lists_and_counts(site: Site, susan: Browser) -> None:
    let_follow(site, ("ann", "carl"), ("bob", "carl"), ("bob", "susan"), ("susan", "bob"))

    disable(site, "bob")

    assert names_in(page := susan.get("/user/carl/followers").text) == ["ann"]
    assert "1 follower<" in page
    assert names_in(page := susan.get("/user/susan/following").text) == []
    assert "0 following" in page


def test_a_list_shows_whom_the_viewer_follows(site: Site, susan: Browser) -> None:
    let_follow(site, ("ann", "carl"), ("bob", "carl"), ("susan", "carl"), ("susan", "ann"))

    page = susan.get("/user/carl/followers").text

    assert names_in(page) == ["susan", "bob", "ann"], "the newest first"
    assert 'action="/unfollow/ann"' in page
    assert 'action="/follow/bob"' in page
    assert "follow/susan" not in page


def gather(site: Site) -> list[str]:
    """The names of a page full of followers of bob, and a few more; the newest first."""
    names = [f"follower_{number:03}" for number in range(PAGE + 3)]
    import_people(site, "bob", *names)
    let_follow(site, *((name, "bob") for name in names))
    return names[::-1]


def more(page: str) -> str:
    """The address of the next page."""
    found = re.search(r'href="([^"]*)" data-hx-get="([^"]*)"', page)
    assert found, page
    assert found[1] == found[2]
    return found[1]


@pytest.mark.alike
def test_a_long_list_comes_in_pages(any_site: Site) -> None:
    susan, crowd = arrive(any_site), gather(any_site)

    first = susan.get("/user/bob/followers").text
    whole, part = susan.get(more(first)).text, susan.get(more(first), headers=PART).text

    assert names_in(first) + names_in(whole) == crowd
    assert names_in(part) == names_in(whole)
    assert "data-hx-get" not in part, "there are no more"
    assert part.lstrip().startswith('<li class="person"')


def test_a_page_stays_where_it_was_while_people_come_and_go(site: Site) -> None:
    susan, crowd = arrive(site), gather(site)
    link = more(susan.get("/user/bob/followers").text)

    susan.post("/follow/bob", data={"next": "/settings"})
    disable(site, crowd[3])

    assert names_in(susan.get(link).text) == crowd[PAGE:]


def test_followers_of_one_moment_are_paged_too(site: Site) -> None:
    susan, crowd = arrive(site), gather(site)
    execute(site, "UPDATE follow SET created_at = (SELECT min(created_at) FROM follow)")

    first = susan.get("/user/bob/followers").text
    second = susan.get(more(first)).text

    assert names_in(first) + names_in(second) == crowd


@pytest.mark.parametrize("after", ["x", "1", "1-", "-1-1", "1-1-1", "1" * 30 + "-1", "1-" + "9" * 12, "١-1", "\x00"])
def test_a_page_that_was_never_offered_is_refused(ann: Browser, after: str) -> None:
    answer = ann.get("/user/dora/followers", params={"after": after})

    assert answer.status_code == 400


def test_a_key_is_read_as_it_was_written() -> None:
    key = Key.parse("1795000000000001-17")

    assert key
    assert (key.created_at.year, key.created_at.microsecond, key.id) == (2026, 1, 17)
    assert Key.parse(str(key)) == key


def test_the_lists_are_for_people_with_an_account(site: Site) -> None:
    import_people(site, "bob")

    answer = site.browser(follow_redirects=False).get("/user/bob/followers")

    assert answer.headers["location"] == "/login?next=/user/bob/followers"


def test_a_list_needs_as_many_statements_for_one_as_for_many(site: Site) -> None:
    susan = arrive(site)
    names = [f"follower_{number:03}" for number in range(PAGE + 5)]
    import_people(site, "bob", "carl", *names)
    let_follow(site, ("carl", "bob"), *((name, "carl") for name in names))

    with statements(site) as for_one:
        susan.get("/user/bob/followers")
    with statements(site) as for_many:
        susan.get("/user/carl/followers")

    assert len(about_people(for_many)) == len(about_people(for_one)) <= 4


def about_people(seen: list[str]) -> list[str]:
    """Those that are not the mailer's."""
    return [statement for statement in seen if "user_account" in statement]
