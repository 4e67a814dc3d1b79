"""Somebody posts, and others complain."""

from tests.sites import Site
from webapp.accounts import users
from webapp.posts import posts


def post(site: Site, username: str, body: str = "Cheap watches, only today!") -> int:
    """Somebody posts; returns the number of the post."""
    numbers: list[int] = []

    async def work() -> None:
        async with site.app.state.database.session(is_writing=True) as db:
            author = await users.find(db, username.lower())
            assert author
            assert author.id
            numbers.append(await posts.write(db, site.settings, author.id, body))
            await db.commit()

    site.run(work)
    return numbers[0]
