"""Many people at once: accounts that the host imported, and whom they follow."""

import asyncio
import re
from functools import cache

from tests.conftest import Browser, Site
from tests.stories import PASSWORD, log_in
from webapp.accounts import users
from webapp.accounts.passwords import Hasher
from webapp.people import follows

PART = {"HX-Request": "true", "HX-Request-Type": "partial"}


def arrive(site: Site, username: str = "susan") -> Browser:
    """Somebody whom the host has imported logs in."""
    import_people(site, username)
    browser = site.browser()
    log_in(browser, username)
    return browser


def import_people(site: Site, *names: str) -> None:
    """Adds accounts, all with the same password."""

    rows = [f'{name},{name.lower()}@example.com,"{_password_hash()}"' for name in names]

    async def work() -> None:
        async with site.app.state.database.session(is_writing=True) as db:
            lines = ["username,email,password_hash", *rows]
            assert await users.import_csv(db, "\n".join(lines)) == []
            await db.commit()

    site.run(work)


@cache
def _password_hash() -> str:
    return asyncio.run(Hasher().hash(PASSWORD))


def let_follow(site: Site, *pairs: tuple[str, str]) -> None:
    """Each follows the other, one after the other; no letter tells of it."""

    async def work() -> None:
        async with site.app.state.database.session(is_writing=True) as db:
            for follower, followed in pairs:
                one, other = await users.find(db, follower), await users.find(db, followed)
                assert one
                assert other
                assert one.id
                assert other.id
                await follows.follow(db, one.id, other.id)
            await db.commit()

    site.run(work)


def names_in(page: str) -> list[str]:
    """The people in a list, in its order."""
    return re.findall(r'class="person-name" href="/user/(\w+)"', page)
