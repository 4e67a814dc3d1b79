"""How often a page goes to PostgreSQL and back: on another machine, each trip is waited for."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import URL, make_url

from tests.depth import deep
from tests.people.crowd import arrive, import_people, let_follow
from tests.posts.wall import let_post
from tests.sites import Browser, Site
from tests.stories import log_in
from tests.test_sweeps import DAVIDS_PASSKEY, ERINS_CHANGES, ROUTES, SETTINGS, path_of
from tests.watching import execute, give_passkey, wait_until_posted
from webapp.accounts import tokens
from webapp.accounts.tokens import Purpose
from webapp.database import now
from webapp.settings import Settings

# With the one that finds out who is asking. What a page asks for the first time takes a trip more to be prepared.
TRIPS = {
    "/": 2,
    "/explore": 2,
    "/user/bob/1": 3,
    "/user/bob": 3,
    "/search?q=hello": 3,
    "/settings": 1,
    "/edit_profile": 2,
    "/sessions": 3,
    "/sign-in_methods": 2,
    "/letters": 3,
    "/export": 2,
    "/admin/mail": 3,
    "/explore/feed.atom": 3,
    "/muted_and_blocked": 3,
    "/mentions": 3,
    "/news?of=home&after=1": 2,
}
MOST = 3
OF_STRANGERS = {
    "/": 1,
    "/explore": 1,
    "/user/bob/1": 2,
    "/user/bob": 2,
    "/explore/feed.atom": 1,
    "/login": 0,
    "/register": 0,
    "/reset_password_request": 0,
    "/settings": 0,
    "/health": 0,
}


class Wire:
    """Leads to PostgreSQL, and counts the trips: something asked after something answered."""

    def __init__(self, server: URL) -> None:
        self.server = server
        self.trips = self.port = 0

    @property
    def url(self) -> str:
        """The database's address at this end."""
        return self.server.set(host="127.0.0.1", port=self.port, query={}).render_as_string(hide_password=False)

    async def serve(self, is_up: threading.Event, is_over: asyncio.Event) -> None:
        async with await asyncio.start_server(self._lead, "127.0.0.1", 0) as listening:
            self.port = listening.sockets[0].getsockname()[1]
            is_up.set()
            await is_over.wait()

    async def _lead(self, visitor: asyncio.StreamReader, to_visitor: asyncio.StreamWriter) -> None:
        server, to_server = await self._connect()
        is_answered = True

        async def ask() -> None:
            nonlocal is_answered
            while data := await visitor.read(65536):
                self.trips += is_answered
                is_answered = False
                to_server.write(data)
            to_server.close()

        async def answer() -> None:
            nonlocal is_answered
            while data := await server.read(65536):
                is_answered = True
                to_visitor.write(data)
            to_visitor.close()

        await asyncio.gather(ask(), answer())

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = str(self.server.query.get("host") or self.server.host), self.server.port or 5432
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)


@pytest.fixture
def wire(postgres_url: str) -> Iterator[Wire]:
    """One that lies until the site has gone."""
    wire, is_up = Wire(make_url(postgres_url)), threading.Event()
    loop, is_over = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(wire.serve(is_up, is_over),))
    thread.start()
    assert is_up.wait(10)
    yield wire
    loop.call_soon_threadsafe(is_over.set)
    thread.join()
    loop.close()


@pytest.mark.postgresql
def test_a_page_makes_few_trips(
    wire: Wire, make_settings: Callable[..., Settings], start_site: Callable[[Settings], Site]
) -> None:
    site = start_site(make_settings(database_url=wire.url, mailer="process", admins=("susan@example.com",)))
    susan, stranger = arrive(site), site.browser()
    import_people(site, "bob", *(f"fan{number}" for number in range(9)))
    let_follow(site, ("susan", "bob"), ("fan0", "bob"))
    let_post(site, ("bob", "Hello @fan0."), ("susan", "Hello."), count=10)
    wait_until_posted(site)

    assert {path: _trips(wire, susan, path) for path in TRIPS} == TRIPS
    assert {path: _trips(wire, stranger, path) for path in OF_STRANGERS} == OF_STRANGERS


@deep
@pytest.mark.postgresql
def test_noting_that_a_person_was_here_takes_one_trip_more(
    wire: Wire, make_settings: Callable[..., Settings], start_site: Callable[[Settings], Site]
) -> None:
    site = start_site(make_settings(database_url=wire.url, mailer="process"))
    susan = arrive(site)
    hour = timedelta(hours=1)
    trips = []
    for _try in range(4):
        execute(site, "UPDATE session SET last_seen_at = :moment", moment=now() - hour)
        execute(site, "UPDATE user_account SET last_seen_at = :moment", moment=now() - hour)
        trips.append(_once(wire, susan, "/settings"))
        [(session_seen, user_seen)] = execute(
            site, "SELECT s.last_seen_at, u.last_seen_at FROM session s JOIN user_account u ON u.id = s.user_id"
        )

        assert min(session_seen, user_seen) > now() - hour / 2

    assert min(trips) == TRIPS["/settings"] + 1


@pytest.mark.postgresql
@pytest.mark.parametrize("path", ["/reset_password_request", "/register"])
@deep
def test_a_stranger_asks_for_an_email_in_three_trips(
    wire: Wire, make_settings: Callable[..., Settings], start_site: Callable[[Settings], Site], path: str
) -> None:
    """BEGIN, one statement that counts and posts, COMMIT."""
    site = start_site(make_settings(database_url=wire.url, mailer="process"))

    trips = [_asked(wire, site.browser(), path, f"person{number}@example.com") for number in range(6)]

    assert min(trips) == MOST


def _asked(wire: Wire, browser: Browser, path: str, email: str) -> int:
    before = wire.trips
    answer: Any = browser.post(path, data={"email": email}, follow_redirects=False)
    assert answer.status_code == 303, answer.text
    return wire.trips - before


def _trips(wire: Wire, browser: Browser, path: str) -> int:
    """The fewest of some tries: what tidies up beside the visitors makes trips as well."""
    return min(_once(wire, browser, path) for _try in range(12))


def _once(wire: Wire, browser: Browser, path: str) -> int:
    before = wire.trips
    answer: Any = browser.get(path, follow_redirects=False)
    assert answer.status_code < 500, path
    return wire.trips - before


@pytest.mark.postgresql
@deep
def test_no_page_takes_more_than_three_trips(
    wire: Wire, make_settings: Callable[..., Settings], start_site: Callable[[Settings], Site]
) -> None:
    """In the strictest setting, for an admin, a member who looks at another's pages, and a stranger."""
    admins = {"admins": ("susan@example.com",), "admin_two_factors": True, "member_invites": 3}
    site = start_site(make_settings(database_url=wire.url, mailer="process", metrics_key="0" * 32, **admins))
    susan = arrive(site)
    import_people(site, "david", "erin")
    let_post(site, ("susan", "Hello @erin."), ("erin", "Hello @susan."), count=3)
    for rows in (ERINS_CHANGES, DAVIDS_PASSKEY, DAVIDS_PASSKEY.replace("(2,", "(1,")):
        execute(site, rows, moment=now())
    give_passkey(site)
    token = tokens.issue(SETTINGS, Purpose.RESET_PASSWORD, 1, timedelta(minutes=9), 0)
    site.app.state.link = f"/reset_password/{token}"
    erin = site.browser()
    log_in(erin, "erin")

    pages = [route.name for route in ROUTES if "GET" in (route.methods or ()) and "/mailbox" not in route.path]
    paths = [path_of(site, name) + ("?q=hello" if name == "search" else "") for name in pages]
    readers = {"susan": susan, "erin": erin, "a stranger": site.browser()}
    assert [(who, path) for who in readers for path in paths if not _is_near(wire, readers[who], path)] == []


def _is_near(wire: Wire, browser: Browser, path: str) -> bool:
    return any(_once(wire, browser, path) <= MOST for _try in range(6))
