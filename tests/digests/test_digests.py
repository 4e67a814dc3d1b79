"""The weekly digest: only what was missed, only for people who asked for it, once, and never all at once."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
import time_machine
from sqlalchemy import insert
from time_machine import Traveller

from tests.depth import deep
from tests.mailbox import Mailbox
from tests.people.crowd import arrive, import_people, let_follow
from tests.posts.wall import let_post
from tests.sites import Browser, Site
from tests.stories import log_in
from tests.watching import disable, execute, wait_until_posted
from webapp.accounts import users
from webapp.accounts.models import User
from webapp.digests import missed, planning
from webapp.digests.planning import Digests
from webapp.mail_preview.inbox import Received
from webapp.notifications.models import EmailSwitch
from webapp.posts.timeline import Told
from webapp.settings import Settings

SUSAN = "susan@example.com"
DAY = timedelta(days=1)
PEOPLE = 10_000


@pytest.fixture
def clock() -> Iterator[Traveller]:
    """In the hour of the account that is made first."""
    with time_machine.travel(datetime(2026, 3, 2, 1, 5, tzinfo=UTC), tick=True) as clock:
        yield clock


@pytest.fixture
def susan(any_site: Site, clock: Traveller) -> Browser:
    """She wants the digest, and is away from now on. Bob and ann are there; she follows bob."""
    susan = arrive(any_site)
    import_people(any_site, "bob", "ann")
    let_follow(any_site, ("susan", "bob"))
    assert susan.post("/letters", data={"digest": "1", "new_sign_in": "1"}).status_code == 200
    wait_until_posted(any_site)
    clock.shift(DAY)
    return susan


def plan(site: Site) -> None:
    site.run(_plan, site)


async def _plan(site: Site) -> None:
    """What every process does every few minutes."""
    digests = Digests(site.settings)
    while await digests.run_batch(site.app.state.database):
        pass


async def _plan_together(site: Site) -> None:
    await asyncio.gather(*(_plan(site) for _process in range(4)))


def digests(site: Site, mailbox: Mailbox) -> list[Received]:
    """What has been sent once all has left that waits its turn."""
    execute(site, "UPDATE outbox_email SET due_at = created_at WHERE state = 'ready' AND due_at > created_at")

    async def ring() -> None:
        site.app.state.database.wake.set()

    site.run(ring)
    wait_until_posted(site)
    return [email for email in mailbox.all(SUSAN) if email.subject == "What you missed on Microblog"]


def posts_in(email: Received) -> list[str]:
    return re.findall(r"^https://blog.example(/user/\w+/\d+)$", email.text, re.MULTILINE)


@deep
@pytest.mark.alike
def test_it_shows_posts_and_mentions_and_tells_of_followers(any_site: Site, susan: Browser, mailbox: Mailbox) -> None:
    posts = ("bob", "Buy at evil.example now"), ("ann", "Hello @susan"), ("ann", "To nobody")
    [mine, hers, _other] = let_post(any_site, *posts)
    let_follow(any_site, ("ann", "susan"))
    plan(any_site)

    [email] = digests(any_site, mailbox)

    assert posts_in(email) == [f"/user/ann/{hers}", f"/user/bob/{mine}"]
    assert "You have 1 new follower: ann" in email.text
    assert "\n    Buy at [link] now\n" in email.text
    assert "\n    Hello @susan\n" in email.text
    assert b"List-Unsubscribe-Post: List-Unsubscribe=One-Click" in email.source


@deep
@pytest.mark.alike
def test_ten_posts_are_linked_and_the_others_counted(any_site: Site, susan: Browser, mailbox: Mailbox) -> None:
    let_post(any_site, ("ann", "@susan"), count=7)
    numbers = let_post(any_site, ("bob", "Again"), count=9)
    plan(any_site)

    [email] = digests(any_site, mailbox)

    assert posts_in(email)[5:] == [f"/user/bob/{number}" for number in reversed(numbers[-5:])]
    assert "You were mentioned in 7 posts:" in email.text
    assert "And in 2 others." in email.text
    assert "And 4 other posts." in email.text


@deep
@pytest.mark.alike
def test_five_followers_are_named_and_the_others_counted(any_site: Site, susan: Browser, mailbox: Mailbox) -> None:
    names = [f"new_{number}" for number in range(7)]
    import_people(any_site, *names)
    let_follow(any_site, *((name, "susan") for name in names))
    plan(any_site)

    [email] = digests(any_site, mailbox)

    named, others = re.findall(r"^You have 7 new followers: (.+)$\n\n^And (\d) others\.$", email.text, re.MULTILINE)[0]
    assert (named.split(", "), others) == (names[:1:-1], "2")


@deep
@pytest.mark.alike
def test_of_very_many_posts_only_so_many_are_counted(any_site: Site, susan: Browser, mailbox: Mailbox) -> None:
    let_post(any_site, ("bob", "Again"), count=missed.MOST_READ + 1)
    plan(any_site)

    [email] = digests(any_site, mailbox)

    assert "And more than 90 other posts." in email.text


@deep
def test_of_many_mentions_only_those_that_it_quotes_are_read(any_site: Site, susan: Browser) -> None:
    """Somebody may have written thousands of long ones."""
    numbers = let_post(any_site, ("bob", "Look, @susan."), count=12)

    async def look() -> list[Told]:
        async with any_site.app.state.database.session() as db:
            user = await users.owner(db, 1)
            return (await missed.by(db, user)).mentions

    told = any_site.run(look)
    assert isinstance(told, list)

    assert [each.id for each in told] == numbers[::-1]
    assert [each.body != "" for each in told] == [True] * 10 + [False] * 2


@deep
@pytest.mark.alike
def test_whoever_has_missed_nothing_gets_none(
    any_site: Site, susan: Browser, mailbox: Mailbox, clock: Traveller
) -> None:
    """Ann is not followed, and bob spoke before susan's last visit."""
    let_post(any_site, ("ann", "To nobody"), ("bob", "Seen already"))
    log_in(susan)
    clock.shift(timedelta(minutes=2))
    susan.get("/")
    plan(any_site)

    assert digests(any_site, mailbox) == []


@pytest.mark.alike
def test_what_is_older_than_a_week_is_not_told(
    any_site: Site, susan: Browser, mailbox: Mailbox, clock: Traveller
) -> None:
    let_post(any_site, ("bob", "Long ago"))
    clock.shift(8 * DAY)
    [fresh] = let_post(any_site, ("bob", "Lately"))
    plan(any_site)

    [email] = digests(any_site, mailbox)

    assert posts_in(email) == [f"/user/bob/{fresh}"]


@pytest.mark.alike
@deep
def test_a_digest_comes_once_a_week_in_the_persons_hour(
    any_site: Site, susan: Browser, mailbox: Mailbox, clock: Traveller
) -> None:
    planned: dict[int, datetime] = {}
    for hours in range(0, 24 * 15, 6):
        if hours % 24 == 0:
            let_post(any_site, ("bob", "Good morning"))
        plan(any_site)
        for (number,) in execute(any_site, "SELECT id FROM outbox_email WHERE kind = 'digest'"):
            planned.setdefault(number, datetime.now(UTC))
        clock.shift(timedelta(hours=6))
    moments = list(planned.values())

    assert [moment.hour for moment in moments] == [1, 1, 1]
    assert [(after - before).days for before, after in pairwise(moments)] == [7, 7]


@pytest.mark.alike
def test_nobody_gets_a_digest_unasked(any_site: Site, susan: Browser, mailbox: Mailbox) -> None:
    let_post(any_site, ("bob", "Hello"))
    log_in(susan)
    susan.post("/letters", data={"new_sign_in": "1"})
    plan(any_site)

    assert execute(any_site, "SELECT id FROM outbox_email WHERE kind = 'digest'") == []


@pytest.mark.alike
def test_a_disabled_account_gets_no_digest(any_site: Site, susan: Browser, mailbox: Mailbox) -> None:
    let_post(any_site, ("bob", "Hello"))
    disable(any_site, "susan")
    plan(any_site)

    assert execute(any_site, "SELECT id FROM outbox_email WHERE kind = 'digest'") == []


@pytest.fixture
def crowd(start_site: Callable[[Settings], Site], make_settings: Callable[..., Settings], database_url: str) -> Site:
    """Ten thousand people who want it; a process elsewhere sends the emails."""
    site = start_site(make_settings(database_url=database_url, mailer="process"))
    names = [f"person{number}" for number in range(1, PEOPLE + 1)]
    people = [{"username": name, "username_key": name, "email": f"{name}@example.com"} for name in names]
    choices = [{"user_id": number, "kind": "digest", "is_wanted": True} for number in range(1, PEOPLE + 1)]

    async def work() -> None:
        async with site.app.state.database.session(is_writing=True) as db:
            connection = await db.connection()
            await connection.execute(insert(User), [person | {"password_hash": "!"} for person in people])
            await connection.execute(insert(EmailSwitch), choices)
            await db.commit()

    site.run(work)
    return site


@pytest.mark.alike
@deep
def test_several_processes_plan_ten_thousand_people_a_little_at_a_time(crowd: Site, clock: Traveller) -> None:
    """The clock is set once the site runs, which would go by PostgreSQL's."""
    crowd.run(Digests(crowd.settings).run_batch, crowd.app.state.database)
    [(first,)] = execute(crowd, "SELECT count(*) FROM outbox_email")
    crowd.run(_plan_together, crowd)
    rows = execute(crowd, "SELECT user_id, due_at FROM outbox_email WHERE kind = 'digest'")

    assert first == planning.BATCH
    assert sorted(user_id for user_id, _due in rows) == [number for number in range(1, PEOPLE + 1) if number % 24 == 1]
    assert Counter(str(due_at)[:16] for _user_id, due_at in rows).most_common(1)[0][1] < 25, "not many in one minute"
