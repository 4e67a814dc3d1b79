"""What waits behind a slow mail server says what is so when it leaves, and not what was so when it was written."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.depth import deep, one_in
from tests.mailbox import PATIENCE
from tests.mailserver import Certificates, MailServer
from tests.people.crowd import import_people
from tests.posts.wall import say
from tests.sites import Browser, Site
from tests.stories import ask_for_reset, log_in
from tests.watching import disable, execute, wait_until_posted
from webapp.delivery.pace import Pace
from webapp.settings import Settings

StartSite = Callable[..., Site]
MakeSettings = Callable[..., Settings]

PACE = Pace(poll=0.1, fresh=0.2)


class SlowServer(MailServer):
    """Keeps whoever sends an email waiting while it is slow."""

    def __init__(self, certificates: Certificates) -> None:
        super().__init__(certificates)
        self.is_slow = False
        self.is_asked = threading.Event()

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.is_asked.set()
        while self.is_slow:
            await asyncio.sleep(0.01)
        return await super().handle_MAIL(server, session, envelope, address, options)


@pytest.fixture
def pace() -> Pace:
    return PACE


@pytest.fixture
def slow(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowServer]:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    with (server := SlowServer(certificates)):
        yield server
        server.is_slow = False


@pytest.fixture
def site(sqlite_url: str, start_site: StartSite, make_settings: MakeSettings, slow: SlowServer) -> Site:
    """Susan and bob are here, and no email is on its way."""
    site = start_site(make_settings(database_url=sqlite_url, **slow.settings, mail_connections=1))
    import_people(site, "susan", "bob", "ann")
    return site


def logged_in(site: Site, name: str) -> Browser:
    log_in(browser := site.browser(), name)
    return browser


def keep_waiting(site: Site, slow: SlowServer) -> None:
    """From now on the server keeps an email to ann waiting, and with it all others."""
    wait_until_posted(site)
    slow.is_asked.clear()
    slow.is_slow = True
    ask_for_reset(site.browser(), "ann")
    assert slow.is_asked.wait(PATIENCE)


def wait_until_written(site: Site, kind: str) -> None:
    """Until the email waits for the server, and has done so for longer than what it says keeps."""
    execute(site, "UPDATE outbox_email SET due_at = created_at WHERE kind = :kind", kind=kind)
    deadline = time.monotonic() + PATIENCE
    while not execute(site, "SELECT 1 FROM outbox_email WHERE kind = :kind AND state = 'leased'", kind=kind):
        assert time.monotonic() < deadline, "nobody took it"
        time.sleep(0.02)
    time.sleep(3 * PACE.fresh)


def arrived(site: Site, slow: SlowServer) -> list[str]:
    """What comes to susan once the server is quick again."""
    slow.is_slow = False
    wait_until_posted(site)
    return [email.text for email in slow.emails if email.recipients == ("susan@example.com",)]


MEANWHILE: dict[str, Callable[[Site, Browser, Browser, int], object]] = {
    "deletes the post": lambda _site, _susan, bob, post: bob.post(f"/posts/{post}/delete"),
    "takes the name out": lambda _site, _susan, bob, post: bob.post(f"/posts/{post}/edit", data={"body": "A stork."}),
    "blocks": lambda _site, _susan, bob, _post: bob.post("/block/susan"),
    "is blocked": lambda _site, susan, _bob, _post: susan.post("/block/bob"),
    "is muted": lambda _site, susan, _bob, _post: susan.post("/mute/bob"),
    "is disabled": lambda site, _susan, _bob, _post: disable(site, "bob"),
    "is read by nobody": lambda _site, susan, _bob, _post: susan.post("/letters", data={"new_sign_in": "1"}),
    "is read by somebody disabled": lambda site, _susan, _bob, _post: disable(site, "susan"),
}


@deep
@pytest.mark.parametrize("what", MEANWHILE)
@one_in(4)
def test_of_what_was_taken_back_meanwhile_no_word_leaves(site: Site, slow: SlowServer, what: str) -> None:
    susan, bob = (logged_in(site, name) for name in ("susan", "bob"))
    keep_waiting(site, slow)
    post = say(bob, "A heron, @susan.")
    wait_until_written(site, "mention")
    before = len([email for email in slow.emails if email.recipients == ("susan@example.com",)])

    MEANWHILE[what](site, susan, bob, post)

    assert not any("heron" in text for text in arrived(site, slow)[before:])
    assert execute(site, "SELECT 1 FROM outbox_email WHERE kind = 'mention' AND finished_at IS NULL") == []


@deep
def test_an_edited_post_is_told_in_its_latest_words(site: Site, slow: SlowServer) -> None:
    bob = logged_in(site, "bob")
    keep_waiting(site, slow)
    post = say(bob, "A heron, @susan.")
    wait_until_written(site, "mention")

    bob.post(f"/posts/{post}/edit", data={"body": "A stork, @susan."})
    text = arrived(site, slow)[-1]

    assert "A stork" in text
    assert "heron" not in text


@deep
def test_what_waited_long_is_counted_once(site: Site, slow: SlowServer) -> None:
    """A reset that somebody asked for by name counts when it is first looked up."""
    keep_waiting(site, slow)
    ask_for_reset(site.browser(), "susan")
    wait_until_written(site, "reset_password")

    assert any("/reset_password/" in text for text in arrived(site, slow))
    assert execute(site, "SELECT count FROM limit_window WHERE key LIKE '%:reset_password_to:%'") == [(1,)] * 4
