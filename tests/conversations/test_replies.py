"""A reply stands under the post that it answers, whose author is told of it."""

import re
from datetime import timedelta

import pytest
from time_machine import Traveller

from tests.depth import one_in
from tests.mailbox import Mailbox
from tests.people.crowd import arrive
from tests.posts.test_mentions import posts_in, told
from tests.posts.wall import PART, numbers_in, say, words_in
from tests.sites import Browser, Site
from tests.watching import disable, execute


@pytest.fixture
def susan(any_site: Site) -> Browser:
    return arrive(any_site)


@pytest.fixture
def bob(any_site: Site) -> Browser:
    return arrive(any_site, "bob")


def test_a_reply_stands_under_its_post_in_order(any_site: Site, susan: Browser, bob: Browser) -> None:
    number = say(susan, "Who is there?")
    assert f'href="/posts/{number}/reply"' in bob.get("/explore").text
    form = bob.get(f"/posts/{number}/reply")

    first = bob.post(f"/posts/{number}/reply", data={"body": "@susan I am."})
    second = susan.post(f"/posts/{number}/reply", data={"body": "Good."})

    assert "@susan </textarea>" in form.text
    assert words_in(form) == ["Who is there?"]
    assert (first.url.path, words_in(first)[-1]) == (f"/user/susan/{number}", "@susan I am.")
    assert words_in(second)[-2:] == ["@susan I am.", "Good."]
    assert words_in(any_site.browser().get(f"/user/susan/{number}"))[-2:] == ["@susan I am.", "Good."]
    assert "a reply to this post" in susan.get("/explore").text


@pytest.mark.alike
def test_whoever_is_answered_is_told_even_if_they_are_not_named(
    any_site: Site, mailbox: Mailbox, clock: Traveller, susan: Browser, bob: Browser
) -> None:
    number = say(susan)

    bob.post(f"/posts/{number}/reply", data={"body": "Hello."})
    susan.post(f"/posts/{number}/reply", data={"body": "To myself."})
    bob.post("/posts/2/edit", data={"body": "Hello, hello."})
    clock.shift(timedelta(seconds=70))

    [email] = told(any_site, mailbox, "susan@example.com")
    assert posts_in(email) == ["/user/bob/2"]


@pytest.mark.alike
def test_a_reply_to_a_reply_stands_under_the_first_post(susan: Browser, bob: Browser) -> None:
    number = say(susan, "First.")
    bob.post(f"/posts/{number}/reply", data={"body": "Second."})

    page = susan.post("/posts/2/reply", data={"body": "Third."})

    assert page.url.path == f"/user/susan/{number}"
    assert words_in(page)[-2:] == ["Second.", "Third."]
    assert susan.get("/posts/1", follow_redirects=False).headers["location"] == f"/user/susan/{number}"
    assert numbers_in(susan.get("/user/bob/2")) == []


@pytest.mark.alike
@pytest.mark.parametrize("gone", ["deleted", "removed", "disabled", "never was"])
@one_in(2)
def test_nobody_replies_to_what_they_cant_see(any_site: Site, susan: Browser, bob: Browser, gone: str) -> None:
    number = say(susan)
    if gone == "deleted":
        susan.post(f"/posts/{number}/delete")
    elif gone == "removed":
        execute(any_site, "UPDATE post SET removed_at = created_at")
    elif gone == "disabled":
        disable(any_site, "susan")
    else:
        number = 77

    answer = bob.post(f"/posts/{number}/reply", data={"body": "Hello?"})

    assert answer.url.path == "/"
    assert "That post is gone." in answer.text
    assert bob.get(f"/posts/{number}/reply").status_code == 404
    assert execute(any_site, "SELECT count(*) FROM post WHERE body = 'Hello?'") == [(0,)]
    assert bob.get(f"/posts/{number}").status_code == 404


@pytest.mark.alike
def test_a_mistake_stays_typed(susan: Browser) -> None:
    number = say(susan)

    whole = susan.post(f"/posts/{number}/reply", data={"body": "x" * 281})
    part = susan.post(f"/posts/{number}/reply", data={"body": "x" * 281}, headers=PART)

    assert (whole.status_code, part.status_code) == (422, 422)
    assert all(f"{'x' * 281}</textarea>" in page.text for page in (whole, part))
    assert part.text.lstrip().startswith("<section")


@pytest.mark.alike
def test_many_replies_are_shown_page_by_page(susan: Browser, any_site: Site) -> None:
    say(susan)
    execute(
        any_site,
        "INSERT INTO post (author_id, reply_to_id, body, created_at, removed_because)"
        " WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 23)"
        " SELECT 1, 1, 'Reply ' || i, post.created_at, '' FROM n, post WHERE post.id = 1",
    )

    first = susan.get("/user/susan/1")
    [more] = set(re.findall(r'href="(/user/susan/1\?after=\d+)"', first.text))
    second = susan.get(more)

    shown = [*words_in(first)[1:], *words_in(second)[1:]]
    assert shown == [f"Reply {number}" for number in range(1, 24)]
    assert words_in(susan.get(more, headers=PART)) == words_in(second)[1:]


@pytest.mark.alike
def test_a_post_that_goes_for_good_leaves_its_replies(any_site: Site, susan: Browser, bob: Browser) -> None:
    number = say(susan)
    bob.post(f"/posts/{number}/reply", data={"body": "Stays."})

    execute(any_site, f"DELETE FROM post WHERE id = {number}")

    page = bob.get("/user/bob/2")
    assert words_in(page) == ["Stays."]
    assert "a reply to this post" not in page.text


@pytest.mark.alike
def test_strangers_see_no_reply_of_a_hidden_person(any_site: Site, susan: Browser, bob: Browser) -> None:
    number = say(susan, "First.")
    bob.post(f"/posts/{number}/reply", data={"body": "Hidden."})
    execute(any_site, "UPDATE user_account SET is_public = false WHERE username = 'bob'")

    assert words_in(any_site.browser().get(f"/user/susan/{number}")) == ["First."]
    assert any_site.browser().get("/posts/2").status_code == 404
