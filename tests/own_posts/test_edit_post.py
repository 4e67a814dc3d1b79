"""A post can be edited by its author for ten minutes, and says so."""

import re
from datetime import timedelta

import pytest
from time_machine import Traveller

from tests.depth import deep
from tests.mailbox import Mailbox
from tests.people.crowd import arrive, import_people
from tests.posts.test_mentions import told
from tests.posts.wall import PART, say, words_in
from tests.sites import Browser, Site
from tests.watching import execute

LATE = "Too late: a post can be edited for ten minutes."


@pytest.fixture
def susan(any_site: Site) -> Browser:
    return arrive(any_site)


def test_the_form_holds_the_post_and_saving_it_changes_it_everywhere(any_site: Site, susan: Browser) -> None:
    number = say(susan, "Helo, world.")
    assert f'href="/posts/{number}/edit"' in susan.get("/").text

    form = susan.get(f"/posts/{number}/edit")
    page = susan.post(f"/posts/{number}/edit", data={"body": "Hello, world."})

    assert "Helo, world.</textarea>" in form.text
    assert page.url.path == f"/user/susan/{number}"
    assert "Post saved." in page.text
    assert words_in(page) == ["Hello, world."]
    for path in ("/", "/explore", "/user/susan", "/search?q=hello"):
        seen = any_site.browser().get(path) if path == "/explore" else susan.get(path)
        assert words_in(seen) == ["Hello, world."], path
        assert '<span class="post-edited">edited</span>' in seen.text
    assert words_in(susan.get("/search?q=helo")) == []


@pytest.mark.alike
def test_under_htmx_a_mistake_comes_back_in_the_form(susan: Browser) -> None:
    number = say(susan)

    refused = susan.post(f"/posts/{number}/edit", data={"body": " "}, headers=PART)

    assert refused.status_code == 422
    assert refused.text.lstrip().startswith("<section")
    assert "Write something first." in refused.text


@pytest.mark.alike
def test_a_post_saved_unchanged_is_not_marked_as_edited(susan: Browser) -> None:
    number = say(susan, "Hello.")

    susan.post(f"/posts/{number}/edit", data={"body": "Hello."})

    assert "post-edited" not in susan.get("/").text


@pytest.mark.alike
def test_after_ten_minutes_it_stays_as_it_is_and_what_was_typed_is_kept(susan: Browser, clock: Traveller) -> None:
    number = say(susan, "As it was.")
    clock.shift(timedelta(minutes=10, seconds=1))

    page, sent = susan.get(f"/posts/{number}/edit"), susan.post(f"/posts/{number}/edit", data={"body": "Otherwise."})

    assert page.status_code == 410
    assert "Too late</h1>" in page.text
    assert "A post can be edited for ten minutes." in page.text
    assert sent.status_code == 422
    assert LATE in sent.text
    assert "Otherwise.</textarea>" in sent.text
    assert words_in(susan.get("/")) == ["As it was."]
    assert f"/posts/{number}/edit" not in susan.get("/").text


@pytest.mark.alike
def test_a_post_that_is_kept_ready_stops_offering_it_after_ten_minutes(susan: Browser, clock: Traveller) -> None:
    number = say(susan)
    clock.shift(timedelta(minutes=9, seconds=50))
    assert f"/posts/{number}/edit" in susan.get("/").text

    clock.shift(timedelta(seconds=11))

    assert f"/posts/{number}/edit" not in susan.get("/").text


@deep
@pytest.mark.alike
@pytest.mark.parametrize("gone", ["another's", "deleted_at", "removed_at"])
def test_nobody_edits_somebody_elses_post_or_one_that_is_gone(any_site: Site, susan: Browser, gone: str) -> None:
    number = say(susan, "As it was.")
    somebody = arrive(any_site, "john") if gone == "another's" else susan
    if gone != "another's":
        execute(any_site, f"UPDATE post SET {gone} = created_at WHERE id = {number}")

    answer = somebody.post(f"/posts/{number}/edit", data={"body": "Mine."})

    assert answer.status_code == (404 if gone == "another's" else 200)
    assert ("That post is gone." in answer.text) is (gone != "another's")
    assert somebody.get(f"/posts/{number}/edit").status_code == 404
    assert execute(any_site, "SELECT body, edited_at FROM post") == [("As it was.", None)]


@deep
@pytest.mark.alike
def test_nobody_is_told_of_a_post_twice_however_often_their_name_is_taken_out_and_put_in(
    any_site: Site, mailbox: Mailbox, clock: Traveller, susan: Browser
) -> None:
    import_people(any_site, "bob", "ann", "kim")
    number = say(susan, "@bob and @ann")
    clock.shift(timedelta(minutes=2))
    assert [len(told(any_site, mailbox, f"{name}@example.com")) for name in ("bob", "ann", "kim")] == [1, 1, 0]

    for body in ("@bob and @kim", "@kim", "@ann, @bob and @kim"):
        susan.post(f"/posts/{number}/edit", data={"body": body})
        page = susan.get("/")
        clock.shift(timedelta(minutes=2))
        assert re.findall(r'href="/user/(\w+)" dir="ltr">@', page.text) == re.findall(r"@(\w+)", body)

    assert [len(told(any_site, mailbox, f"{name}@example.com")) for name in ("bob", "ann", "kim")] == [1, 1, 1]


@deep
@pytest.mark.alike
def test_an_email_that_still_waits_when_a_name_is_taken_out_is_not_about_that_post(
    any_site: Site, mailbox: Mailbox, clock: Traveller, susan: Browser
) -> None:
    import_people(any_site, "bob", "ann")
    number = say(susan, "@bob and @ann")

    susan.post(f"/posts/{number}/edit", data={"body": "@ann"})
    clock.shift(timedelta(minutes=2))

    assert [len(told(any_site, mailbox, f"{name}@example.com")) for name in ("bob", "ann")] == [0, 1]


@pytest.mark.alike
def test_a_feed_says_when_it_was_edited(any_site: Site, susan: Browser, clock: Traveller) -> None:
    number = say(susan)
    before = any_site.browser().get("/user/susan/feed.atom")
    clock.shift(timedelta(minutes=5))

    susan.post(f"/posts/{number}/edit", data={"body": "Otherwise."})
    after = any_site.browser().get("/user/susan/feed.atom", headers={"if-none-match": before.headers["etag"]})

    times = re.findall(r"<(published|updated)>([^<]+)<", after.text)
    assert after.status_code == 200
    assert len({when for _what, when in times}) == 2
    assert times[0][1] == times[2][1] > times[1][1]
