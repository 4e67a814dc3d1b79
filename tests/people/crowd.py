"""Many people at once: accounts that the host imported, and whom they follow."""

import asyncio
import re
from functools import cache

from sqlmodel import select

from tests.imported import add_accounts
from tests.sites import CHEAP, Browser, Site
from tests.stories import PASSWORD, log_in
from tests.watching import execute
from webapp.accounts.models import User
from webapp.passwords.hasher import Hasher
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
            assert await add_accounts(db, site.settings, "\n".join(lines)) == []
            await db.commit()

    site.run(work)


@cache
def _password_hash() -> str:
    return asyncio.run(Hasher(CHEAP).hash(None, PASSWORD))


def let_follow(site: Site, *pairs: tuple[str, str]) -> None:
    """Each follows the other, one after the other; no email tells of it."""

    async def work() -> None:
        async with site.app.state.database.session(is_writing=True) as db:
            ids = {user.username_key: user.id or 0 for user in await db.exec(select(User))}
            for follower, followed in pairs:
                assert await follows.follow(db, ids[follower.lower()], ids[followed.lower()])
            await db.commit()

    site.run(work)


def let_part(site: Site, how: str, one: str, other: str) -> None:
    """One mutes or blocks the other, and nothing else changes."""
    whose, whom = {"mute": ("muter_id", "muted_id"), "block": ("blocker_id", "blocked_id")}[how]
    execute(
        site,
        f"INSERT INTO {how} ({whose}, {whom}, created_at) SELECT one.id, other.id, one.created_at"
        " FROM user_account AS one, user_account AS other WHERE one.username = :one AND other.username = :other",
        one=one,
        other=other,
    )


def names_in(page: str) -> list[str]:
    """The people in a list, in its order."""
    return re.findall(r'class="person-name" href="/user/(\w+)"', page)
