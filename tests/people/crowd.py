"""Many people at once: accounts that the host imported, and whom they follow."""

import re

from tests.conftest import Browser, Site
from tests.mailbox import Mailbox
from tests.stories import log_in, register
from webapp.accounts import users
from webapp.people import follows

PART = {"HX-Request": "true", "HX-Request-Type": "partial"}


def arrive(site: Site, username: str = "susan") -> Browser:
    """Somebody registers and logs in."""
    assert isinstance(site.mailbox, Mailbox)
    browser = site.browser()
    register(browser, site.mailbox, username)
    log_in(browser, username)
    return browser


def import_people(site: Site, *names: str) -> None:
    async def work() -> None:
        async with site.app.state.database.session(is_writing=True) as db:
            lines = ["username,email", *(f"{name},{name.lower()}@example.com" for name in names)]
            assert await users.import_csv(db, "\n".join(lines)) == []
            await db.commit()

    site.run(work)


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
