"""Whoever is no admin any more hears nothing that only admins may know, also if it was on its way already."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import insert

from tests.depth import deep
from tests.mailbox import Mailbox
from tests.people.crowd import import_people
from tests.posts.wall import let_post
from tests.sites import Site
from tests.watching import execute, wait_until_posted
from webapp.audit.events import Event, by_admin
from webapp.audit.models import SecurityEvent
from webapp.database import now
from webapp.mail import kinds
from webapp.mail.kinds import KINDS
from webapp.moderation.models import Report
from webapp.registration.models import RegistrationRequest
from webapp.settings import Settings

HOST, FORMER = "host@example.com", "former@example.com"
SETTINGS = Settings(base_url="https://blog.example", secret_key="x", database_url="sqlite+aiosqlite://")
# As their samples say; alarms are written when they are posted, and name nobody.
TO_ADMINS = sorted(name for name, kind in KINDS.items() if HOST in {one.recipient for one in kind.samples(SETTINGS)})


def test_the_sweep_sees_the_emails_to_admins() -> None:
    assert TO_ADMINS == ["admin_acted", "post_reported", "registrations_waiting"]


@deep
@pytest.mark.parametrize("kind", TO_ADMINS)
def test_a_former_admin_is_not_told(
    kind: str,
    sqlite_url: str,
    make_settings: Callable[..., Settings],
    start_site: Callable[..., Site],
    mailbox: Mailbox,
) -> None:
    site = start_site(make_settings(database_url=sqlite_url, admins=(HOST,)))
    import_people(site, "susan", "david")
    let_post(site, ("susan", "Hello."))
    execute(
        site, insert(Report).values(post_id=1, reporter_id=2, reason="Dull.", outcome="", body="", created_at=now())
    )
    act = {"user_agent": by_admin("ann").user_agent, "client_ip": "", "details": {}, "created_at": now()}
    execute(site, insert(SecurityEvent).values(user_id=1, kind=Event.DISABLED, **act))
    asked = {"why": "x", "language": "en", "created_at": now(), "expires_at": now() + timedelta(days=1)}
    newcomer = {"email": "new@example.com", "username": "newcomer", "password_hash": "!", "reason": ""}
    execute(site, insert(RegistrationRequest).values(**newcomer, **asked))

    async def post() -> None:
        async with site.app.state.database.session(is_writing=True) as db:
            for address in (HOST, FORMER):
                await kinds.post(db, site.settings, kind, address, language="en")
            await db.commit()

    site.run(post)
    wait_until_posted(site)

    assert [len(mailbox.all(address)) for address in (HOST, FORMER)] == [1, 0]
    assert execute(site, "SELECT count(*) FROM outbox_email WHERE recipient = :former", former=FORMER) == [(0,)]
