"""A site with the demo community in it, as it would be deployed, and somebody who is logged in."""

import asyncio
import re
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, contextmanager
from dataclasses import replace
from pathlib import Path

import httpx2

from tests.browser.listening import ListeningSite, free_socket, settings_for
from webapp.app import create_app
from webapp.cli import demo
from webapp.cli.demo import Filled
from webapp.database import Database
from webapp.settings import DEVELOPMENT_HOST, Settings


class Village:
    """A running site, and what one of its people may open."""

    def __init__(self, site: ListeningSite, filled: Filled, language: str) -> None:
        self.site = site
        self.language = language
        self.url = site.url
        self.folder = site.mailbox.folder.parent
        self.admin, self.neighbour, *_others = filled.names
        self.password = filled.password

    def cookies(self) -> dict[str, str]:
        """Those of the admin's browser, just logged in."""
        with httpx2.Client(base_url=self.url, verify=False) as browser:
            form = {"username": self.admin, "password": self.password}
            assert browser.post("/login", data=form).status_code == 303
            return dict(browser.cookies)

    def newest_post(self) -> str:
        """The path of a neighbour's newest post."""
        page = httpx2.get(f"{self.url}/user/{self.neighbour}", verify=False).text
        found = re.search(rf"/user/{self.neighbour}/\d+", page)
        assert found
        return found[0]

    def reset_link(self) -> str:
        """The path in an email that the neighbour has just asked for."""
        httpx2.post(f"{self.url}/reset_password_request", data={"email": self.neighbour}, verify=False)
        return self.site.mailbox.link(to=f"{self.neighbour}@example.com")

    def registration_link(self) -> str:
        """The path in an email to somebody who wants to join."""
        httpx2.post(f"{self.url}/register", data={"email": "newcomer@example.com"}, verify=False)
        return self.site.mailbox.link(to="newcomer@example.com")


@contextmanager
def village(language: str = "en") -> Iterator[Village]:
    """Served until the block ends; its folder is gone afterwards."""
    languages = ",".join([language, *(other for other in demo.COMMUNITIES if other != language)])
    with tempfile.TemporaryDirectory() as folder, free_socket() as door:
        settings = settings_for(door, Path(folder), LANGUAGES=languages, ADMINS=DEVELOPMENT_HOST)
        with ThreadPoolExecutor(1) as aside:  # beside playwright there is an event loop here already
            filled = aside.submit(asyncio.run, _fill(settings)).result()
        with ListeningSite(create_app(replace(settings, development=False)), door) as site:
            yield Village(site, filled, language)


async def _fill(settings: Settings) -> Filled:
    async with aclosing(Database(settings.database_url)) as database, database.session(is_writing=True) as db:
        filled = await demo.fill(db, settings, settings.languages[0])
        await db.commit()
        return filled
