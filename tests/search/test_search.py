"""Who finds what: never what they may not read. And what a search costs."""

import re
from collections.abc import Callable

import pytest
from httpx2 import Response

from tests.depth import deep, one_in
from tests.people.crowd import PART, arrive, import_people, names_in
from tests.posts.wall import let_post, numbers_in, say
from tests.sites import Browser, Site
from tests.stories import PASSWORD
from tests.watching import dump, execute, statements, wait_until_posted
from webapp.rate_limits import SEARCHES
from webapp.search import index
from webapp.settings import Settings


def search(browser: Browser, typed: str, **more: str) -> Response:
    page = browser.get("/search", params={"q": typed, **more})
    assert page.status_code == 200, page.text
    return page


def introduce(browser: Browser, username: str = "susan", about_me: str = "", is_public: str = "1") -> None:
    profile = {"username": username, "about_me": about_me, "is_public": is_public, "current_password": PASSWORD}
    browser.post("/edit_profile", data={name: value for name, value in profile.items() if value})


@deep
def test_a_post_is_found_as_long_as_it_is_there(any_site: Site) -> None:
    susan = arrive(any_site)
    number = say(susan, "A garden.")
    as_written = numbers_in(search(susan, "garden"))

    susan.post(f"/posts/{number}/delete")
    as_deleted = numbers_in(search(susan, "garden"))
    susan.post(f"/posts/{number}/restore")
    as_restored = numbers_in(search(susan, "garden"))
    execute(any_site, "UPDATE post SET body = 'A forest.'")
    as_changed = [numbers_in(search(susan, word)) for word in ("garden", "forest")]
    execute(any_site, "UPDATE post SET removed_at = created_at")
    as_removed = numbers_in(search(susan, "forest"))

    assert (as_written, as_deleted, as_restored) == ([number], [], [number])
    assert as_changed == [[], [number]]
    assert as_removed == []


def test_the_index_forgets_what_is_gone_for_good(site: Site) -> None:
    import_people(site, "susan", "bob")
    let_post(site, ("susan", "A garden."), ("bob", "Another garden."))
    execute(site, "UPDATE user_account SET about_me = 'gardens'")

    execute(site, "DELETE FROM user_account WHERE username = 'susan'")  # and with it the post

    assert execute(site, "SELECT rowid FROM post_words WHERE post_words MATCH 'garden'") == [(2,)]
    assert execute(site, "SELECT rowid FROM person_words WHERE person_words MATCH 'gardens'") == [(2,)]
    assert execute(site, "SELECT rowid FROM person_words WHERE person_words MATCH 'susan'") == []


@deep
def test_people_are_found_by_the_name_and_the_words_that_they_have_now(any_site: Site) -> None:
    susan = arrive(any_site)
    introduce(susan, about_me="I grow roses.")
    before = names_in(search(susan, "roses").text)

    introduce(susan, "susanna", "I grow oaks.")

    assert before == ["susan"]
    assert [names_in(search(susan, word).text) for word in ("susann", "oaks", "roses")] == [
        ["susanna"],
        ["susanna"],
        [],
    ]


@pytest.mark.alike
@pytest.mark.parametrize(
    ("hidden", "to_strangers", "to_members"),
    [
        ("UPDATE user_account SET disabled_at = created_at WHERE id = 1", 0, 0),
        ("UPDATE user_account SET is_public = FALSE WHERE id = 1", 0, 1),
        ("UPDATE post SET deleted_at = created_at", 0, 0),
        ("UPDATE post SET removed_at = created_at", 0, 0),
        ("UPDATE user_account SET is_public = FALSE WHERE id = 2", 1, 1),
    ],
)
@one_in(2)
def test_what_is_hidden_is_never_found(any_site: Site, hidden: str, to_strangers: int, to_members: int) -> None:
    import_people(any_site, "susan")
    bob = arrive(any_site, "bob")
    let_post(any_site, ("susan", "A garden of susan's."))

    execute(any_site, hidden)
    found = [search(browser, "susan") for browser in (any_site.browser(), bob)]

    assert [len(numbers_in(page)) for page in found] == [to_strangers, to_members]
    if "post" not in hidden:
        assert [len(names_in(page.text)) for page in found] == [to_strangers, to_members]


@pytest.mark.parametrize(
    "hidden",
    [
        "UPDATE post SET deleted_at = created_at WHERE author_id = 2",
        "UPDATE post SET removed_at = created_at WHERE author_id = 2",
        "UPDATE user_account SET disabled_at = created_at WHERE id = 2",
        "UPDATE user_account SET is_public = FALSE WHERE id = 2",
    ],
)
@deep
def test_what_is_hidden_takes_no_place_on_a_page(any_site: Site, hidden: str) -> None:
    import_people(any_site, "susan", "bob")
    let_post(any_site, ("susan", "garden"), ("bob", "garden"), count=21)

    execute(any_site, hidden)
    first = search(any_site.browser(), "garden")

    assert numbers_in(first) == list(range(21, 1, -1))
    assert numbers_in(search(any_site.browser(), "garden", before="2")) == [1]


@deep
def test_where_no_page_is_public_strangers_are_sent_to_log_in_and_back_to_what_they_asked(
    make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[[Settings], Site]
) -> None:
    site = start_site(make_settings(database_url=sqlite_url, public_profiles=False))
    susan, stranger = arrive(site), site.browser()
    number = say(susan, "Ёлка & Co")

    sent = stranger.get("/search?q=%D0%B5%D0%BB%D0%BA%D0%B0+co", follow_redirects=False)
    form = {"username": "susan", "password": "correct horse battery"}
    next_page = re.findall(r'name="next" value="([^"]+)"', stranger.get(sent.headers["location"]).text)[0]
    back = stranger.post("/login", data={**form, "next": next_page})

    assert (sent.status_code, numbers_in(sent)) == (303, [])
    assert numbers_in(back) == [number]
    assert numbers_in(search(susan, "елка")) == [number]


@deep
def test_older_posts_come_page_by_page_and_people_only_on_the_first(any_site: Site) -> None:
    susan = arrive(any_site)
    introduce(susan, about_me="garden & more")
    let_post(any_site, *[("susan", f"garden & {number}") for number in range(50)])

    pages: list[Response] = []
    path = "/search?q=garden+%26+%23+%2B"
    while path and len(pages) < 4:
        pages.append(susan.get(path))
        more = re.search(r'href="(/search\?[^"]+)"', pages[-1].text)
        path = more[1].replace("&amp;", "&") if more else ""

    assert [len(numbers_in(page)) for page in pages] == [20, 20, 10]
    assert [number for page in pages for number in numbers_in(page)] == list(range(50, 0, -1))
    assert [names_in(page.text) for page in pages] == [["susan"], [], []]


def test_htmx_gets_the_results_or_the_next_page_of_posts_alone(site: Site) -> None:
    """C40"""
    susan = arrive(site)
    let_post(site, *[("susan", f"garden {number}") for number in range(21)])

    results = susan.get("/search?q=garden", headers=PART)
    older = susan.get("/search?q=garden&before=2", headers=PART)
    refused = susan.get("/search?q=!", headers=PART)

    assert "<h2" in results.text
    assert "<h1" not in results.text
    assert len(numbers_in(results)) == 20
    assert numbers_in(older) == [1]
    assert "<h2" not in older.text
    assert (refused.status_code, refused.text.count("<p")) == (422, 1)


def test_many_people_are_cut_off_with_a_sentence(site: Site) -> None:
    import_people(site, *(f"fan{number:02}" for number in range(index.MOST_PEOPLE + 1)))

    many, few = search(site.browser(), "fan"), search(site.browser(), "fan0")

    assert names_in(many.text) == [f"fan{number:02}" for number in range(index.MOST_PEOPLE)]
    assert "There are more." in many.text
    assert len(names_in(few.text)) == 10
    assert "There are more." not in few.text


def test_found_people_can_be_followed_from_there(site: Site) -> None:
    susan = arrive(site)
    import_people(site, "bob")

    before = search(susan, "bob").text
    after = susan.post("/follow/bob", data={"next": "/search?q=bob"})

    assert 'action="/follow/bob"' in before
    assert after.url.path == "/search"
    assert 'action="/unfollow/bob"' in after.text
    assert 'action="/follow/' not in search(site.browser(), "bob").text


@deep
def test_a_client_ip_searches_thirty_times_a_minute_at_most(any_site: Site) -> None:
    browser, [rate] = any_site.browser("192.0.2.1"), SEARCHES.rates

    answers = [browser.get("/search?q=garden") for _time in range(rate.times + 1)]
    still_open = [browser.get(path).status_code for path in ("/search", "/explore")]

    assert (rate.times, rate.seconds) == (30, 60)
    assert [answer.status_code for answer in answers] == [200] * 30 + [429]
    assert 0 < int(answers[-1].headers["retry-after"]) <= 60
    assert "You can search again in" in answers[-1].text
    assert still_open == [200, 200]
    assert any_site.browser("192.0.2.2").get("/search?q=garden").status_code == 200


def test_a_search_writes_nothing_but_that_it_was_one(site: Site) -> None:
    """C31"""
    susan = arrive(site)
    say(susan, "A garden.")
    wait_until_posted(site)
    before = dump(site)

    search(susan, "garden")
    after = dump(site)

    assert after.pop("limit_window") != before.pop("limit_window")
    assert after == before


@pytest.mark.parametrize("before", ["x", "--1", "1" * 19, "٣"])
def test_something_other_than_a_page_number_is_refused(site: Site, before: str) -> None:
    assert site.browser().get("/search", params={"q": "garden", "before": before}).status_code == 400


@deep
def test_a_search_needs_as_many_statements_for_one_as_for_many(any_site: Site) -> None:
    susan, crowd = arrive(any_site), [f"fan{number}" for number in range(15)]
    import_people(any_site, "bob", *crowd[:1])
    let_post(any_site, ("bob", "fan @fan0"))
    wait_until_posted(any_site)
    with_one = _asked(any_site, susan, "/search?q=fan")

    import_people(any_site, *crowd[1:])
    let_post(any_site, *((fan, "fan @bob @fan1") for fan in crowd), count=2)
    with_many = _asked(any_site, susan, "/search?q=fan")

    is_sqlite = any_site.settings.database_url.startswith("sqlite")
    assert with_many == with_one
    assert len(with_one) == (4 if is_sqlite else 3)  # who asks, how often, posts and people


def _asked(site: Site, browser: Browser, path: str) -> list[str]:
    with statements(site) as seen:
        assert browser.get(path).status_code == 200
    return [one.partition("(")[0] for one in seen]


HOSTILE = "\"'></textarea><script>alert(1)</script><img src=x onerror=alert(1)>&lt;b&gt; {{ 7*7 }}"


def test_hostile_text_is_shown_as_text(site: Site) -> None:
    """C38: typed into the box, posted, and said of oneself."""
    susan = arrive(site)
    introduce(susan, about_me=HOSTILE)
    say(susan, HOSTILE)

    page = search(susan, HOSTILE)

    assert numbers_in(page)
    assert names_in(page.text)
    assert "<script>" not in page.text
    assert "<img src=x" not in page.text
    assert 'value="&#34;&#39;&gt;&lt;/textarea&gt;' in page.text
    assert page.text.count("&amp;lt;b&amp;gt; {{ 7*7 }}") == 3
