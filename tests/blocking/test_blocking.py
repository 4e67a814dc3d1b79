"""Mute somebody, and they never learn of it; block somebody, and neither of you is here for the other."""

from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import anyio
import pytest
from httpx2 import Response
from sqlalchemy import text
from sqlmodel import insert
from sqlmodel.ext.asyncio.session import AsyncSession
from time_machine import Traveller

from tests.archives.test_export import ask, download
from tests.depth import deep
from tests.mailbox import PATIENCE, Mailbox
from tests.people.crowd import PART, arrive, import_people, let_follow, let_part, names_in
from tests.posts.test_mentions import told
from tests.posts.wall import let_post, say, words_in
from tests.security.test_at_once import SOMEBODY_WAITS
from tests.sites import Browser, Site
from tests.watching import execute, statements
from webapp.accounts import users
from webapp.database import execute as execute_in
from webapp.database import now
from webapp.digests import missed
from webapp.people import blocks, follows
from webapp.posts.models import Mention, Post
from webapp.settings import Settings

HERON = 987654321


@pytest.fixture
def susan(any_site: Site) -> Browser:
    return arrive(any_site)


@pytest.fixture
def bob(any_site: Site, susan: Browser) -> Browser:
    return arrive(any_site, "bob")


@deep
def test_a_muted_person_is_back_when_that_is_undone(any_site: Site, susan: Browser, bob: Browser) -> None:
    let_follow(any_site, ("susan", "bob"))
    say(bob, "A heron.")

    muted = susan.post("/mute/bob")
    at_home, on_his_page = susan.get("/"), susan.get("/user/bob")

    assert muted.url.path == "/user/bob"
    assert "You've muted bob." in on_his_page.text
    assert (words_in(at_home), words_in(on_his_page)) == ([], ["A heron."])
    susan.post("/unmute/bob", data={"next": "/muted_and_blocked"})
    assert words_in(susan.get("/")) == ["A heron."]
    assert execute(any_site, "SELECT count(*) FROM follow") == [(1,)], "muting unfollows nobody"


@pytest.mark.alike
def test_a_block_ends_follows_in_both_directions_and_undone_it_brings_none_back(
    any_site: Site, susan: Browser, bob: Browser
) -> None:
    let_follow(any_site, ("susan", "bob"), ("bob", "susan"))

    blocked = susan.post("/block/bob")

    assert "You've blocked bob." in blocked.text
    assert execute(any_site, "SELECT * FROM follow") == []
    assert bob.post("/follow/susan").status_code == 404
    assert susan.post("/follow/bob").status_code == 404
    assert "no longer blocked" in susan.post("/unblock/bob").text
    assert execute(any_site, "SELECT * FROM follow") == []
    assert bob.post("/follow/susan").status_code == 200


@deep
def test_a_follow_at_the_very_moment_of_a_block_does_not_count(any_site: Site, susan: Browser, bob: Browser) -> None:
    """The database refuses it, whatever a page has looked at before."""
    let_part(any_site, "block", "susan", "bob")

    with pytest.raises(AssertionError):
        let_follow(any_site, ("bob", "susan"))

    assert execute(any_site, "SELECT * FROM follow") == []


@deep
@pytest.mark.postgresql
@pytest.mark.parametrize("first", ["follow", "block"])
def test_of_a_follow_and_a_block_in_the_same_instant_the_block_stands(
    make_settings: Callable[..., Settings], postgres_url: str, start_site: Callable[[Settings], Site], first: str
) -> None:
    """Neither sees what the other has yet to commit, so one has to wait for the other."""
    site = start_site(make_settings(database_url=postgres_url))
    susan, bob = arrive(site), arrive(site, "bob")
    does: dict[str, Callable[[AsyncSession], Awaitable[object]]] = {
        "follow": lambda db: follows.follow(db, 2, 1),
        "block": lambda db: blocks.block(db, 1, 2),
    }
    presses = {"follow": lambda: bob.post("/follow/susan"), "block": lambda: susan.post("/block/bob")}
    [second] = does.keys() - {first}

    async def at_once(pool: ThreadPoolExecutor) -> Future[Response]:
        async with site.app.state.database.session(is_writing=True) as db:
            await does[first](db)
            pressed = pool.submit(presses[second])
            with anyio.fail_after(PATIENCE):
                while not pressed.done() and not (await execute_in(db, text(SOMEBODY_WAITS))).all():
                    await anyio.sleep(0.01)
            await db.commit()
        return pressed

    with ThreadPoolExecutor(1) as pool:
        assert site.run(at_once, pool).result(PATIENCE).status_code in {200, 404}  # type: ignore[attr-defined]

    assert execute(site, "SELECT (SELECT count(*) FROM follow), (SELECT count(*) FROM block)") == [(0, 1)]


@pytest.mark.alike
def test_muting_or_blocking_twice_is_doing_it_once(any_site: Site, susan: Browser, bob: Browser) -> None:
    for path in ("/mute/bob", "/mute/bob", "/block/bob", "/block/bob"):
        assert susan.post(path).status_code == 200

    assert execute(any_site, "SELECT (SELECT count(*) FROM mute), (SELECT count(*) FROM block)") == [(1, 1)]


@pytest.mark.parametrize("path", ["/mute/{}", "/unmute/{}", "/block/{}", "/unblock/{}"])
@deep
def test_only_somebody_else_who_is_here_can_be_muted_or_blocked(susan: Browser, path: str) -> None:
    assert susan.post(path.format("susan")).status_code == 400
    assert susan.post(path.format("nobody")).status_code == 404


@pytest.mark.alike
def test_htmx_gets_the_button_and_the_line_that_goes_with_it(susan: Browser, bob: Browser) -> None:
    muted = susan.post("/mute/bob", headers=PART).text
    unblocked = [susan.post(path, headers=PART) for path in ("/block/bob", "/unblock/bob")]

    assert 'action="/unmute/bob"' in muted
    assert 'id="muted-bob" role="status" data-hx-swap-oob="true"' in muted
    assert "<html" not in muted
    assert unblocked[0].headers["hx-redirect"] == "/user/bob"
    assert "bob is no longer blocked." in unblocked[1].text


@pytest.mark.alike
def test_one_page_lists_them_and_undoes_it(any_site: Site, susan: Browser, bob: Browser) -> None:
    import_people(any_site, "ann")
    susan.post("/mute/ann")
    susan.post("/block/bob")

    page = susan.get("/muted_and_blocked").text

    assert names_in(page) == ["ann", "bob"]
    assert 'action="/unmute/ann"' in page
    assert 'action="/unblock/bob"' in page
    assert names_in(bob.get("/muted_and_blocked").text) == []


@pytest.mark.alike
def test_a_person_who_has_blocked_notices_nothing_when_the_other_blocks_too(
    any_site: Site, susan: Browser, bob: Browser
) -> None:
    susan.post("/block/bob")
    before = [susan.get(path).status_code for path in ("/user/bob", "/block/bob", "/user/bob/followers")]

    let_part(any_site, "block", "bob", "susan")

    assert [susan.get(path).status_code for path in ("/user/bob", "/block/bob", "/user/bob/followers")] == before
    assert before == [200, 200, 404]


@deep
@pytest.mark.parametrize("how", ["mute", "block"])
@pytest.mark.alike
def test_no_email_tells_of_a_hidden_person(
    any_site: Site, mailbox: Mailbox, clock: Traveller, susan: Browser, bob: Browser, how: str
) -> None:
    """Not of a mention or a reply, nor in an email that was waiting when the block came."""
    susan.post("/letters", data={"mention": "1", "new_follower": "1", "digest": "1"})
    number = say(susan)
    say(bob, "Before, @susan.")
    bob.post("/follow/susan")
    bob.post(f"/posts/{number}/reply", data={"body": "A reply."})

    susan.post(f"/{how}/bob")
    say(bob, "After, @susan.")
    clock.shift(timedelta(seconds=80))

    assert told(any_site, mailbox, "susan@example.com") == []
    assert [email.subject for email in mailbox.all("susan@example.com") if "bob" in email.subject] == []


@pytest.mark.parametrize(
    ("how", "one", "other"), [("mute", "susan", "bob"), ("block", "susan", "bob"), ("block", "bob", "susan")]
)
@deep
def test_a_digest_leaves_out_hidden_people(
    any_site: Site, susan: Browser, bob: Browser, how: str, one: str, other: str
) -> None:
    """Their posts, their mentions, and that they follow, whoever has hidden whom; even a follow that no block ended."""
    let_follow(any_site, ("susan", "bob"), ("bob", "susan"))
    say(bob, "A heron.")
    say(bob, "Another, @susan.")
    execute(any_site, "UPDATE user_account SET last_seen_at = '2026-01-01 00:00:00+00:00'")

    async def missed_by_susan() -> object:
        async with any_site.app.state.database.session() as db:
            user = await users.find(db, "susan")
            assert user
            return await missed.by(db, user)

    before: Any = any_site.run(missed_by_susan)
    let_part(any_site, how, one, other)

    assert (len(before.posts), len(before.mentions), before.followers) == (1, 1, ["bob"])
    assert not any_site.run(missed_by_susan)


@deep
def test_lists_and_counts_agree_and_leave_out_hidden_people(any_site: Site, susan: Browser) -> None:
    import_people(any_site, "ann", "bob", "carl")
    pairs = [("bob", "ann"), ("carl", "ann"), ("susan", "ann"), ("ann", "bob"), ("ann", "carl")]
    let_follow(any_site, *pairs)
    let_part(any_site, "block", "bob", "susan")
    let_part(any_site, "block", "susan", "bob")
    let_part(any_site, "mute", "susan", "bob")

    page, stranger = susan.get("/user/ann/followers").text, any_site.browser().get("/user/ann").text

    assert names_in(page) == ["susan", "carl"]
    assert "2 followers<" in page
    assert "1 following<" in page
    assert "3 followers<" in stranger


@pytest.mark.alike
def test_nobody_answers_under_a_post_that_they_cant_see(any_site: Site, susan: Browser, bob: Browser) -> None:
    """A reply to somebody else's reply stands under that one, as if the first post were gone."""
    ann = arrive(any_site, "ann")
    number = say(susan, "First.")
    ann.post(f"/posts/{number}/reply", data={"body": "Ann's."})
    susan.post("/block/bob")

    answered = bob.post("/posts/2/reply", data={"body": "Bob's."})

    assert answered.url.path == "/user/ann/2"
    assert words_in(answered)[-1] == "Bob's."
    assert words_in(ann.get(f"/user/susan/{number}"))[1:] == ["Ann's."]
    assert words_in(susan.get("/user/ann/2"))[1:] == []


@pytest.mark.alike
def test_news_count_no_hidden_people(any_site: Site, susan: Browser, bob: Browser) -> None:
    let_follow(any_site, ("susan", "bob"))
    say(bob)

    def news() -> list[bool]:
        return ["1 new post" in susan.get(f"/news?of={page}&after=0").text for page in ("home", "explore")]

    before = news()
    susan.post("/mute/bob")

    assert (before, news()) == ([True, True], [False, False])


@pytest.mark.alike
def test_people_to_follow_are_never_hidden_people(any_site: Site, susan: Browser) -> None:
    import_people(any_site, "ann", "bob", "carl")
    let_post(any_site, ("ann", "one"), ("bob", "two"), ("carl", "three"))
    let_part(any_site, "mute", "susan", "ann")
    let_part(any_site, "block", "bob", "susan")

    assert names_in(susan.get("/").text) == ["carl"]


@pytest.mark.alike
def test_a_blocked_author_can_be_reported_by_nobody_who_cant_see_the_post_but_the_admin_sees_all(
    any_site: Site, susan: Browser, bob: Browser
) -> None:
    number = say(bob, "A heron.")
    susan.post("/mute/bob")
    assert susan.get(f"/posts/{number}/report").status_code == 200, "what one went to can be reported"

    susan.post("/block/bob")

    assert susan.get(f"/posts/{number}/report").status_code == 404


@deep
def test_the_export_of_a_blocked_person_says_nothing_of_the_block(site: Site) -> None:
    susan, bob = arrive(site), arrive(site, "bob")
    import_people(site, "ann")
    susan.post("/mute/ann")
    bob.post("/mute/susan")
    susan.post("/block/bob")
    ask(bob)

    assert "susan" not in download(site, bob).read("account.json").decode()
    execute(site, "DELETE FROM account_export")
    ask(susan)
    account = download(site, susan).read("account.json").decode()
    assert '"muted": [\n  {"username": "ann"' in account
    assert '"blocked": [\n  {"username": "bob"' in account


AWAY: dict[str, Callable[[Site, Browser, Browser], object]] = {
    "who blocks her": lambda site, bob, susan: bob.post("/block/susan"),
    "whom she blocks": lambda site, bob, susan: susan.post("/block/bob"),
    "who is disabled": lambda site, bob, susan: execute(
        site, "UPDATE user_account SET disabled_at = created_at WHERE id = 2"
    ),
    "who deletes it": lambda site, bob, susan: bob.post(f"/posts/{HERON}/delete"),
    "of whom an admin removes it": lambda site, bob, susan: execute(site, "UPDATE post SET removed_at = created_at"),
}


@pytest.mark.parametrize("whose", ["who is there", *AWAY])
@deep
def test_an_export_has_no_number_of_a_post_of_somebody(any_site: Site, whose: str) -> None:
    """A number alone tells that the post is there, and on its page when it isn't any more."""
    susan, bob = arrive(any_site), arrive(any_site, "bob")
    execute(any_site, insert(Post).values(id=HERON, author_id=2, body="A heron, @susan.", created_at=now()))
    execute(any_site, insert(Mention).values(post_id=HERON, user_id=1, is_reply=False, created_at=now()))
    if whose in AWAY:
        AWAY[whose](any_site, bob, susan)
    ask(susan)

    account = download(any_site, susan).read("account.json").decode()

    assert (str(HERON) in account) is (whose not in AWAY)


def test_a_feed_leaves_out_hidden_people_for_a_reader_who_is_logged_in(site: Site) -> None:
    susan, bob = arrive(site), arrive(site, "bob")
    say(bob, "A heron, @susan.")
    bob.post("/block/susan")

    answers = [(browser.get("/explore/feed.atom"), browser.get("/user/bob/feed.atom")) for browser in (susan, bob)]

    assert ["heron" in everybody.text for everybody, _his in answers] == [False, True]
    assert [his.status_code for _everybody, his in answers] == [404, 200]
    assert answers[0][0].headers["cache-control"] == "no-store"
    assert "heron" in site.browser().get("/user/bob/feed.atom").text, "what strangers may read is no secret"


@deep
def test_many_hidden_people_cost_no_extra_statement(any_site: Site, susan: Browser) -> None:
    crowd = [f"fan{number}" for number in range(20)]
    import_people(any_site, "ann", *crowd)
    paths = [
        "/",
        "/explore",
        "/user/ann",
        "/user/ann/followers",
        "/muted_and_blocked",
        "/user/ann/1",
        "/search?q=hello",
    ]
    let_post(any_site, ("ann", "Hello."))

    def asked() -> list[int]:
        counts = []
        for path in paths:
            with statements(any_site) as seen:
                susan.get(path)
            counts.append(len(seen))
        return counts

    before = asked()
    for fan in crowd[:10]:
        let_part(any_site, "mute", "susan", fan)
    for fan in crowd[10:]:
        let_part(any_site, "block", fan, "susan")
        let_part(any_site, "block", "susan", fan)

    assert asked() == before
