"""What people do with posts, and what they see of them."""

import html
import re

from httpx2 import Response

from tests.sites import Browser, Site
from webapp.accounts import users
from webapp.posts import posts

PART = {"HX-Request": "true", "HX-Request-Type": "partial"}


def say(browser: Browser, body: str = "Hello, world.") -> int:
    """Posts; returns the number of the post."""
    page = browser.post("/", data={"body": body})
    assert page.status_code == 200, page.text
    return numbers_in(page)[0]


def numbers_in(page: Response) -> list[int]:
    """The posts on a page, in its order."""
    return [int(number) for number in re.findall(r'<article class="post" id="post-(\d+)"', page.text)]


def words_in(page: Response) -> list[str]:
    """What they say."""
    bodies = re.findall(r'<p class="post-body" dir="auto">(.*?)</p>', page.text, re.DOTALL)
    return [html.unescape(re.sub(r"<[^>]+>", "", body.replace("<br>", "\n"))) for body in bodies]


def let_post(site: Site, *pairs: tuple[str, str], count: int = 1) -> list[int]:
    """Each person posts, past the limits of posting; returns the numbers."""
    numbers: list[int] = []

    async def work() -> None:
        async with site.app.state.database.session(is_writing=True) as db:
            for name, body in pairs:
                author = await users.find(db, name)
                assert author
                assert author.id
                numbers.extend([await posts.add(db, author.id, body) for _ in range(count)])
            await db.commit()

    site.run(work)
    return numbers
