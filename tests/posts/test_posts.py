"""Write a post, delete it, bring it back."""

import re

import pytest
from time_machine import Traveller

from tests.depth import deep, one_in
from tests.people.crowd import arrive
from tests.posts.wall import PART, numbers_in, say, words_in
from tests.sites import Browser, Site
from tests.watching import execute
from webapp.app import CLEANUP_TASKS
from webapp.posts.models import Post


@pytest.fixture
def susan(any_site: Site) -> Browser:
    return arrive(any_site)


@pytest.fixture
def john(any_site: Site) -> Browser:
    return arrive(any_site, "john")


@deep
@pytest.mark.alike
def test_a_post_is_at_the_head_of_the_home_page(susan: Browser) -> None:
    say(susan, "First.")

    page = susan.post("/", data={"body": " <b>Second</b>\r\n\r\n\r\n\r\n& last. "})

    assert page.url.path == "/"
    assert words_in(page) == ["<b>Second</b>\n\n& last.", "First."]


@pytest.mark.alike
def test_under_htmx_the_form_comes_back_empty_with_the_post_for_the_timeline(susan: Browser) -> None:
    """C40"""
    part = susan.post("/", data={"body": "Hello."}, headers=PART)

    assert part.status_code == 200
    assert "<html" not in part.text
    assert re.search(r'<hx-partial hx-target="#timeline"[^>]*><article', part.text.replace("\n", ""))
    assert re.search(r"<textarea[^>]*>\s*</textarea>", part.text)
    assert words_in(part) == ["Hello."]


@pytest.mark.parametrize("headers", [{}, PART], ids=["page", "part"])
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (" \n", "Write something first."),
        ("x" * 281, "281 characters. Use 280 or fewer."),
        ("a\u202eb", "It contains an invisible character"),
        ("a\0b", "It contains a character that can&#39;t be used."),
    ],
    ids=["empty", "long", "turning", "nul"],
)
@one_in(3)
def test_an_impossible_post_is_refused_beside_the_field_and_stays_typed(
    site: Site, body: str, words: str, headers: dict[str, str]
) -> None:
    """C46"""
    susan = arrive(site)

    answer = susan.post("/", data={"body": body}, headers=headers)

    assert answer.status_code == 422
    assert words in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert execute(site, "SELECT id FROM post") == []
    if body.strip():
        assert body.replace("\0", "\0") in answer.text


@pytest.mark.alike
def test_280_families_fit(susan: Browser) -> None:
    family = "\U0001f468\U0001f3fd\u200d\U0001f469\U0001f3fd\u200d\U0001f467\U0001f3fd\u200d\U0001f466\U0001f3fd"

    page = susan.post("/", data={"body": family * 280})

    assert words_in(page) == [family * 280]


@deep
@pytest.mark.alike
def test_somebody_who_posts_too_often_is_told_when_to_go_on(susan: Browser, clock: Traveller) -> None:
    for number in range(5):
        say(susan, f"{number}")

    refused = susan.post("/", data={"body": "one more"})
    clock.shift(61)
    later = susan.post("/", data={"body": "one more"})

    assert refused.status_code == 429
    assert 50 <= int(refused.headers["retry-after"]) <= 60
    assert re.search(r"You can continue in (1 minute|\d\d seconds)\.", refused.text)
    assert "one more</textarea>" in refused.text
    assert words_in(later)[:2] == ["one more", "4"]


def test_a_deleted_post_is_gone_at_once_and_can_be_brought_back(susan: Browser, john: Browser) -> None:
    """Without script: the post's own page has the button."""
    post_id = say(susan)

    deleted_at = susan.post(f"/posts/{post_id}/delete", data={})
    seen_by_john = john.get(f"/user/susan/{post_id}").status_code, numbers_in(john.get("/explore"))
    back = susan.post(f"/posts/{post_id}/restore", data={})

    assert deleted_at.url.path == f"/user/susan/{post_id}"
    assert f'action="/posts/{post_id}/restore"' in deleted_at.text
    assert seen_by_john == (404, [])
    assert back.url.path == f"/user/susan/{post_id}"
    assert "Your post is back." in back.text
    assert numbers_in(john.get("/explore")) == [post_id]


@pytest.mark.alike
def test_under_htmx_the_place_of_the_post_shows_undo_and_then_the_post(susan: Browser) -> None:
    """C40"""
    post_id = say(susan)

    deleted_at = susan.post(f"/posts/{post_id}/delete", data={}, headers=PART)
    back = susan.post(f"/posts/{post_id}/restore", data={}, headers=PART)

    assert deleted_at.text.strip().startswith(f'<form class="post-deleted" id="post-{post_id}"')
    assert "Post deleted." in deleted_at.text
    assert numbers_in(back) == [post_id]
    assert "<html" not in back.text


@deep
@pytest.mark.parametrize(("seconds", "status"), [(9, 303), (16, 422)])
@pytest.mark.parametrize("headers", [{}, PART], ids=["page", "part"])
@one_in(2)
def test_a_post_can_be_brought_back_for_ten_seconds(
    site: Site, clock: Traveller, seconds: int, status: int, headers: dict[str, str]
) -> None:
    susan = arrive(site)
    post_id = say(susan)
    susan.post(f"/posts/{post_id}/delete", data={})
    clock.shift(seconds)

    answer = susan.post(f"/posts/{post_id}/restore", data={}, headers=headers, follow_redirects=False)

    assert answer.status_code == (200 if headers and status == 303 else status)
    assert ("That post is gone." in answer.text) == (status == 422)
    assert numbers_in(susan.get("/")) == ([] if status == 422 else [post_id])


@deep
@pytest.mark.parametrize("way", ["delete", "restore"])
@pytest.mark.alike
def test_nobody_deletes_or_restores_the_post_of_another(susan: Browser, john: Browser, way: str) -> None:
    """C36"""
    post_id = say(susan)
    if way == "restore":
        susan.post(f"/posts/{post_id}/delete", data={})

    answer = john.post(f"/posts/{post_id}/{way}", data={})

    assert answer.status_code == (404 if way == "delete" else 422)
    assert numbers_in(susan.get("/")) == ([post_id] if way == "delete" else [])


@deep
@pytest.mark.parametrize("fields", [{"author_id": "1"}, {"id": "1", "removed": "", "created": "2001-01-01"}])
def test_extra_fields_change_nothing(site: Site, fields: dict[str, str]) -> None:
    """C36"""
    arrive(site)
    john = arrive(site, "john")

    john.post("/", data={"body": "Mine.", **fields})

    assert execute(site, "SELECT author_id, body FROM post WHERE created_at > '2020'") == [(2, "Mine.")]


def test_a_removed_post_is_not_deleted_or_brought_back_by_its_author(site: Site) -> None:
    susan = arrive(site)
    post_id = say(susan)
    susan.post(f"/posts/{post_id}/delete", data={})
    execute(site, "UPDATE post SET removed_at = deleted_at")

    answer = susan.post(f"/posts/{post_id}/restore", data={})

    assert answer.status_code == 422
    assert numbers_in(susan.get("/")) == []


@pytest.mark.parametrize("number", ["0", "99", "9223372036854775807", "9223372036854775808", "9" * 60, "-1", "x"])
@deep
def test_a_number_that_no_post_has_leads_nowhere(susan: Browser, number: str) -> None:
    """C46: also one that fits no column."""
    say(susan)

    assert susan.get(f"/user/susan/{number}").status_code == 404
    assert susan.post(f"/posts/{number}/delete", data={}).status_code == 404
    assert susan.post(f"/posts/{number}/restore", data={}).status_code in {404, 422}


@pytest.mark.parametrize(("minutes", "left"), [(59, 2), (61, 1)])
@pytest.mark.alike
def test_a_deleted_post_is_cleared_away_after_an_hour(
    any_site: Site, susan: Browser, clock: Traveller, minutes: int, left: int
) -> None:
    say(susan, "This stays.")
    susan.post(f"/posts/{say(susan, 'This goes.')}/delete", data={})
    clock.shift(minutes * 60)
    (chore,) = [chore for chore in CLEANUP_TASKS if chore.model is Post]

    any_site.run(chore.run_batch, any_site.app.state.database)

    assert len(execute(any_site, "SELECT id FROM post")) == left
