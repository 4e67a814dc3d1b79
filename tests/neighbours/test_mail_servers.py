"""The site with real mail servers: its emails arrive, and what a server refuses us for costs nobody anything."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.inspection import query, wait_for_rows
from tests.neighbours.mail_servers import (
    Mailboxes,
    RealServer,
    Start,
    dovecot,
    exim,
    folder_for,
    postfix,
    postgrey,
)
from tests.processes import free_port
from tests.sites import Browser, Site
from tests.stories import NEW_PASSWORD, PASSWORD, ask_for_reset, is_logged_in, log_in
from webapp.bounces import bounces
from webapp.doctor import test_email
from webapp.settings import Settings

pytestmark = pytest.mark.neighbours
SERVERS: dict[str, Start] = {"postfix": postfix, "exim": exim}
# What each is told to refuse at RCPT, and for what reason: none of them is the person's.
REFUSALS: dict[str, dict[str, dict[str, str]]] = {
    "postfix": {
        "HELO": {"smtpd_helo_restrictions": "check_helo_access static:REJECT"},
        "client": {"smtpd_client_restrictions": "check_client_access static:REJECT"},
        "sender": {"smtpd_sender_restrictions": "check_sender_access static:REJECT"},
        "relay": {"virtual_mailbox_domains": "", "smtpd_relay_restrictions": "reject_unauth_destination"},
        "user table gone": {"virtual_mailbox_maps": "inline:{other@example.com=x}"},
    },
    "exim": {
        "HELO": {"HELO": "  deny message = HELO $sender_helo_name refused"},
        "client": {"client": "  deny message = Client host $sender_host_address is not welcome here"},
        "sender": {"sender": "  deny message = sender address <$sender_address> rejected"},
        "relay": {"relay": "  deny message = relay not permitted"},
        "reputation": {"reputation": "  deny message = Your IP address is listed by a blacklist"},
    },
}
# Of these nobody can tell at first: it takes three people whose emails are refused alike.
TELLS_LATE = {"user table gone"}


class Ground(NamedTuple):
    """A mail server that can be started in several ways, one after the other, on the same port."""

    name: str
    folder: Path
    boxes: Mailboxes
    port: int

    @contextmanager
    def start(self, **refusals: str) -> Iterator[RealServer]:
        with SERVERS[self.name](self.folder, self.boxes, refusals, self.port) as server:
            yield server


@pytest.fixture(params=SERVERS)
def ground(request: pytest.FixtureRequest) -> Iterator[Ground]:
    with folder_for(request.param) as folder, dovecot(folder) as boxes:
        yield Ground(request.param, folder, boxes, free_port())


StartSite = Callable[[Settings], Site]
MakeSettings = Callable[..., Settings]


def test_the_main_story(ground: Ground, make_settings: MakeSettings, start_site: StartSite, sqlite_url: str) -> None:
    """Register, forget the password, and set a new one, by emails that were delivered and are read by IMAP."""
    with ground.start() as server:
        site = start_site(make_settings(database_url=sqlite_url, **server.settings))
        browser = site.browser()
        register(browser, ground.boxes)
        browser.post("/logout")
        ask_for_reset(browser)
        link = ground.boxes.link("susan", 2)
        assert browser.get(link).status_code == 200
        assert browser.post(link, data={"password": NEW_PASSWORD}).url.path == "/login"
        log_in(browser, password=NEW_PASSWORD)
        assert is_logged_in(browser)

        _registered, asked, _changed = ground.boxes.wait_for("susan", 3)
        assert asked["To"] == "susan@example.com"
        assert asked["Return-Path"] == "<no-reply@blog.example>"
        assert "ESMTPSA" in str(asked.get_all("Received")).upper(), "it came encrypted, and after a log-in"


def register(browser: Browser, boxes: Mailboxes, name: str = "susan") -> None:
    assert browser.post("/register", data={"email": f"{name}@example.com"}).status_code == 200
    account = {"username": name, "password": PASSWORD}
    assert browser.post(boxes.link(name, 1), data=account).url.path == "/"


@pytest.mark.parametrize(("name", "about"), [(name, about) for name, ways in REFUSALS.items() for about in ways])
def test_a_refusal_of_us_loses_no_email_and_blocks_no_address(
    name: str, about: str, make_settings: MakeSettings, start_site: StartSite, sqlite_url: str
) -> None:
    """C71: said at RCPT, where a server speaks of the recipient, too."""
    with folder_for(name) as folder, dovecot(folder) as boxes:
        ground = Ground(name, folder, boxes, free_port())
        with ground.start(**REFUSALS[name][about]) as server:
            site = start_site(make_settings(database_url=sqlite_url, **server.settings))
            people = ("susan", "peter", "mary") if about in TELLS_LATE else ("susan",)
            for person in people:
                site.browser().post("/register", data={"email": f"{person}@example.com"})
            [(reason,)] = wait_for_rows(sqlite_url, "SELECT trouble_reason FROM mail_status WHERE trouble_code >= 500")
            assert reason

        with ground.start():
            for person in people:
                boxes.wait_for(person, 1)
            assert query(sqlite_url, "SELECT * FROM refused_address") == []
            wait_for_rows(sqlite_url, "SELECT 1 FROM mail_status WHERE trouble_since IS NULL")


def test_a_person_whom_the_server_does_not_know_is_not_our_trouble(
    ground: Ground, make_settings: MakeSettings, start_site: StartSite, sqlite_url: str
) -> None:
    """The control of the test above."""
    with ground.start() as server:
        site = start_site(make_settings(database_url=sqlite_url, **server.settings))
        site.browser().post("/register", data={"email": "susan@example.com"})
        ground.boxes.wait_for("susan", 1)
        site.browser().post("/register", data={"email": "nobody@example.com"})

        wait_for_rows(sqlite_url, "SELECT 1 FROM refused_address WHERE address = 'nobody@example.com'")
        assert query(sqlite_url, "SELECT trouble_since FROM mail_status WHERE trouble_since IS NOT NULL") == []


def test_an_email_that_comes_back_marks_its_address(
    make_settings: MakeSettings, start_site: StartSite, sqlite_url: str
) -> None:
    """Postfix takes it, finds out later that nobody is there, and sends its own report."""
    with folder_for("postfix") as folder, dovecot(folder) as boxes, postfix(folder, boxes, {}, free_port()) as server:
        settings = make_settings(database_url=sqlite_url, bounce_address="bounces@example.com", **server.settings)
        site = start_site(settings)
        site.browser().post("/register", data={"email": "ghost@example.com"})

        [report] = boxes.wait_for("bounces", 1)
        site.run(take_message, site, report.as_bytes())

        assert query(sqlite_url, "SELECT address, source FROM refused_address") == [("ghost@example.com", "bounce")]


async def take_message(site: Site, message: bytes) -> None:
    async with site.app.state.database.session(is_writing=True) as db:
        await bounces.take_message(db, site.settings, message, [])
        await db.commit()


def test_greylisting_is_waited_for_and_explained(
    make_settings: MakeSettings, start_site: StartSite, sqlite_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with folder_for("postfix") as folder, dovecot(folder) as boxes, postgrey(folder, seconds=4) as grey:
        ask_it = {"smtpd_recipient_restrictions": f"check_policy_service inet:127.0.0.1:{grey}"}
        with postfix(folder, boxes, ask_it, free_port()) as server:
            settings = make_settings(database_url=sqlite_url, **server.settings)
            site = start_site(settings)
            site.browser().post("/register", data={"email": "susan@example.com"})

            [(code, state)] = wait_for_rows(sqlite_url, "SELECT code, state FROM outbox_email WHERE code IS NOT NULL")
            assert (code, state) == (450, "ready")
            assert query(sqlite_url, "SELECT * FROM mail_status WHERE trouble_since IS NOT NULL") == []
            assert "susan" in str(boxes.wait_for("susan", 1)[0]["To"])

            assert asyncio.run(test_email.send(settings, "peter@example.com")) == 1
            assert "the server greylists strangers" in capsys.readouterr().err
