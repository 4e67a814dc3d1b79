"""Posts that somebody brings along: on their own pages by date, and no news to anybody."""

import re
import tracemalloc
from datetime import UTC, datetime, timedelta

from tests.depth import deep
from tests.people.crowd import arrive, import_people, let_follow
from tests.posts.test_plans import READS_ALL, asked, explained
from tests.posts.wall import words_in
from tests.sites import Browser, Site
from tests.watching import execute
from webapp import logs
from webapp.accounts import users
from webapp.digests import missed
from webapp.posts import posts
from webapp.posts.posts import ImportedPost

START = datetime(2023, 1, 2, 3, 4, 5, 678901, UTC)


def bring(site: Site, name: str, *texts: str, start: datetime = START) -> None:
    """Imports posts, a day apart, the first the oldest."""
    [(user_id,)] = execute(site, "SELECT id FROM user_account WHERE username = :name", name=name)
    written = [ImportedPost(user_id, text, start + day * timedelta(days=1)) for day, text in enumerate(texts)]

    async def work() -> None:
        async with site.app.state.database.session(is_writing=True) as db:
            await posts.import_all(db, written[::-1])
            await db.commit()

    site.run(work)


def write(browser: Browser, *texts: str) -> None:
    for text in texts:
        browser.post("/", data={"body": text})


def walk(browser: Browser, path: str) -> list[str]:
    """The posts of a list, page after page."""
    found: list[str] = []
    page = browser.get(path)
    while True:
        found += words_in(page)
        older = re.search(r'href="([^"]+before=[^"]+)"', page.text)
        if older is None:
            return found
        page = browser.get(older[1])


@deep
def test_a_profile_shows_posts_by_date_whenever_they_were_imported(any_site: Site) -> None:
    susan = arrive(any_site)
    write(susan, "back", "again")
    bring(any_site, "susan", *(f"new {number}" for number in range(30)), start=START + timedelta(days=400))
    bring(any_site, "susan", *(f"old {number}" for number in range(30)))
    write(susan, "and on")

    texts = walk(susan, "/user/susan")

    by_date = [*(f"old {number}" for number in range(30)), *(f"new {number}" for number in range(30))]
    assert texts[::-1] == [*by_date, "back", "again", "and on"]


@deep
def test_the_next_page_is_right_also_if_the_last_post_is_gone(any_site: Site) -> None:
    susan = arrive(any_site)
    bring(any_site, "susan", *(f"old {number}" for number in range(45)))
    page = susan.get("/user/susan").text
    older = re.search(r'href="(/user/susan\?before=(-\d+))"', page)
    assert older

    execute(any_site, "DELETE FROM post WHERE id = :number", number=int(older[2]))

    assert words_in(susan.get(older[1]))[0] == "old 24"


@deep
def test_nobody_gets_them_as_news(any_site: Site) -> None:
    """Not at home, in explore, in feeds, in a digest, nor as those who posted last."""
    reader, susan = arrive(any_site, "reader"), arrive(any_site)
    import_people(any_site, "walter")
    let_follow(any_site, ("reader", "susan"))
    write(susan, "hello")
    today = datetime.now(UTC)
    bring(any_site, "susan", "@reader old", "@reader older", start=today - timedelta(hours=30))
    bring(any_site, "walter", "only old")

    async def digest() -> missed.Missed:
        async with any_site.app.state.database.session() as db:
            user = await users.find_typed(db, "reader")
            assert user
            user.last_seen_at = today - timedelta(days=5)
            return await missed.by(db, user)

    found = any_site.run(digest)
    assert isinstance(found, missed.Missed)

    assert words_in(reader.get("/")) == words_in(reader.get("/explore")) == ["hello"]
    assert words_in(any_site.browser().get("/")) == ["hello"]
    assert "1 new post" in reader.get("/news?after=0").text
    assert "only old" not in any_site.browser().get("/explore/feed.atom").text
    assert found.mentions == []
    assert [post.id for post in found.posts] == [1]
    assert "walter" not in arrive(any_site, "newcomer").get("/").text
    assert execute(any_site, "SELECT kind FROM outbox_email WHERE kind = 'mention'") == []


@deep
def test_they_are_found_and_read_and_answered_like_others(any_site: Site) -> None:
    susan = arrive(any_site)
    bring(any_site, "susan", "a zebra", "two zebras")
    write(susan, "my zebra")

    found = words_in(susan.get("/search?q=zebra")), words_in(susan.get("/search?q=zebras"))
    answer = susan.post("/posts/-1/reply", data={"body": "indeed"})

    assert found[0][0] == "my zebra"
    assert "two zebras" in found[1]
    assert answer.url.path == "/user/susan/-1"
    assert "indeed" in answer.text
    assert "two zebras" in susan.get("/user/susan/-1").text
    assert "published>2023-01-03" in susan.get("/user/susan/feed.atom").text


@deep
def test_two_imports_at_once_get_numbers_of_their_own(any_site: Site) -> None:
    import_people(any_site, "susan", "mary")
    bring(any_site, "susan", "one", "two")
    bring(any_site, "mary", "three")
    bring(any_site, "susan", "one", "two", "four")

    assert execute(any_site, "SELECT id, body FROM post ORDER BY id DESC") == [
        (-1, "two"), (-2, "one"), (-3, "three"), (-4, "four"),
    ]  # fmt: skip


@deep
def test_a_page_tells_nothing_of_a_post_that_is_not_on_it(any_site: Site) -> None:
    """Such as of somebody hidden from strangers: whether there is one with a number, and when it was written."""
    stranger = any_site.browser()
    for name in ("susan", "david"):
        arrive(any_site, name)
    execute(any_site, "UPDATE user_account SET is_public = false WHERE username = 'david'")
    bring(any_site, "susan", *(f"late {number}" for number in range(3)), start=START + timedelta(days=10))
    bring(any_site, "david", "hidden", start=START + timedelta(days=11, hours=12))
    bring(any_site, "susan", *(f"early {number}" for number in range(3)))
    [(hidden,)] = execute(any_site, "SELECT id FROM post WHERE body = 'hidden'")

    before = words_in(stranger.get(f"/user/susan?before={hidden}"))
    execute(any_site, f"DELETE FROM post WHERE id = {hidden}")

    assert before == words_in(stranger.get(f"/user/susan?before={hidden}")) == ["early 2", "early 1", "early 0"]


@deep
def test_an_import_holds_no_posts_but_those_it_might_double(site: Site) -> None:
    """Else whoever brings as many as may be, again and again at one moment, fills the memory with them."""
    import_people(site, "susan")
    here = [ImportedPost(1, f"{number} {'жук ' * 500}", START) for number in range(2000)]
    new = [ImportedPost(1, f"new {number}", START + number * timedelta(days=1)) for number in range(-1, 2)]

    async def work() -> tuple[int, int, int]:
        async with site.app.state.database.session(is_writing=True) as db:
            await posts.import_all(db, here)
            await db.commit()
        async with site.app.state.database.session(is_writing=True) as db:
            tracemalloc.start()
            (added, _more), (again, _more) = [await posts.import_all(db, some) for some in (new, [*new, here[7]])]
            most = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return added, again, most

    found = site.run(work)
    assert isinstance(found, tuple)
    added, again, most = found

    assert (added, again) == (3, 0)
    assert most < 2_000_000, "bytes; the posts that are here take 8 MB"


def test_what_was_brought_before_is_looked_up_post_by_post(any_site: Site) -> None:
    """Not by reading all of its moment: somebody may have brought tens of thousands of one and the same."""
    import_people(any_site, "susan")
    brought = [ImportedPost(1, f"post {number}", START) for number in range(3000)]

    async def bring_again(some: list[ImportedPost]) -> tuple[int, int]:
        logs.current_request.set("1")  # or nothing is noted
        async with any_site.app.state.database.session(is_writing=True) as db:
            added = await posts.import_all(db, some)
            await db.commit()
        return added

    any_site.run(bring_again, brought)
    execute(any_site, "ANALYZE")
    with asked(any_site) as seen:
        again = any_site.run(bring_again, [*brought[:9], ImportedPost(1, "new", START)])

    looked_up = {each: explained(any_site, each, values) for each, values in seen.items() if "FROM post" in each}
    assert again == (1, 0)
    assert [each for each in looked_up if "created_at IN" in each and "post.id > 0" not in each] == []
    assert "ix_post_import_digest" in str(looked_up.values())
    assert [each for each, plan in looked_up.items() if READS_ALL.search(plan)] == []
