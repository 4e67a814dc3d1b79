"""Posts and follows that come from elsewhere, many at a time."""

from datetime import UTC, datetime

from tests.depth import deep
from tests.people.crowd import import_people
from tests.sites import Site
from tests.watching import execute
from webapp.people import follows
from webapp.posts import posts
from webapp.posts.posts import ImportedPost

THEN = datetime(2023, 1, 2, 3, 4, 5, 678901, UTC)


@deep
def test_added_posts_are_there_once_with_their_mentions(any_site: Site) -> None:
    import_people(any_site, "susan", "peter")
    ids = dict(execute(any_site, "SELECT username, id FROM user_account"))
    written = [
        ImportedPost(ids["susan"], "first, @peter", THEN),
        ImportedPost(ids["peter"], "second", THEN),
        ImportedPost(ids["susan"], "first, @peter", THEN),
        ImportedPost(ids["peter"], "third, @susan, @Susan and @nobody", THEN),
    ]
    pairs = [(ids["susan"], ids["peter"], THEN), (ids["peter"], ids["susan"], THEN)]

    async def add() -> int:
        async with any_site.app.state.database.session(is_writing=True) as db:
            added = await posts.add_all(db, written)
            await follows.follow_all(db, pairs)
            await db.commit()
            return added

    counts = [any_site.run(add), any_site.run(add)]

    mentions = (
        "SELECT body, username FROM mention JOIN post ON post.id = post_id"
        " JOIN user_account ON user_account.id = user_id"
    )
    assert counts == [3, 0]
    assert [body for (body,) in execute(any_site, "SELECT body FROM post ORDER BY id")] == [
        "first, @peter",
        "second",
        "third, @susan, @Susan and @nobody",
    ]
    assert sorted(execute(any_site, mentions)) == [
        ("first, @peter", "peter"),
        ("third, @susan, @Susan and @nobody", "susan"),
    ]
    assert execute(any_site, "SELECT count(*) FROM follow") == [(2,)]
