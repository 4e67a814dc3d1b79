"""The email about new followers: once a minute at most, only on request, in the reader's language, and truthful."""

import re
from email import message_from_bytes

import pytest
from time_machine import Traveller

from tests.depth import deep
from tests.mailbox import Mailbox
from tests.people.crowd import arrive, import_people
from tests.sites import Site
from tests.watching import disable, execute, wait_until_posted
from webapp.accounts import users
from webapp.mail_preview.inbox import Received
from webapp.notifications import switches

BOB = "bob@example.com"


def wants_emails(site: Site, username: str) -> None:
    """As the switch among the settings does."""

    async def work() -> None:
        async with site.app.state.database.session(is_writing=True) as db:
            user = await users.find(db, username)
            assert user
            assert user.id
            await switches.choose(db, user.id, "new_follower", True)
            await db.commit()

    site.run(work)


@pytest.fixture
def bob(any_site: Site) -> Site:
    """A site where bob wants to know who follows him."""
    import_people(any_site, "bob")
    wants_emails(any_site, "bob")
    return any_site


def told(site: Site, mailbox: Mailbox) -> list[Received]:
    """The emails to bob, once everything has left that is due."""

    async def ring() -> None:
        site.app.state.database.wake.set()

    site.run(ring)
    wait_until_posted(site)
    return mailbox.all(BOB)


def named_in(email: Received) -> list[str]:
    return re.findall(r"^https://blog.example/user/(\w+)$", email.text, re.MULTILINE)


@pytest.mark.alike
@deep
def test_all_who_come_within_a_minute_are_in_one_email(bob: Site, mailbox: Mailbox, clock: Traveller) -> None:
    visitors = {name: arrive(bob, name) for name in ("susan", "ann", "carl")}
    for name in visitors:
        visitors[name].post("/follow/bob")
    assert mailbox.all(BOB) == []

    clock.shift(66)

    [email] = told(bob, mailbox)
    assert email.subject == "3 new followers on Microblog"
    assert named_in(email) == ["susan", "ann", "carl"]
    assert "https://blog.example/user/bob/followers" in email.text


@pytest.mark.alike
def test_a_later_follower_is_in_a_later_email(bob: Site, mailbox: Mailbox, clock: Traveller) -> None:
    susan, ann = arrive(bob), arrive(bob, "ann")
    susan.post("/follow/bob")
    clock.shift(70)
    ann.post("/follow/bob")

    clock.shift(70)

    emails = told(bob, mailbox)
    assert sorted(email.subject for email in emails) == [
        "ann follows you on Microblog",
        "susan follows you on Microblog",
    ]


@deep
def test_who_is_followed_all_hour_gets_few_emails_that_name_all(bob: Site, mailbox: Mailbox, clock: Traveller) -> None:
    """Somebody with many accounts follows with one after the other."""
    for number in range(8):
        arrive(bob, f"fan{number}").post("/follow/bob")
        clock.shift(61)
    clock.shift(3600)

    emails = told(bob, mailbox)

    assert len(emails) == 6
    assert sorted(name for email in emails for name in named_in(email)) == [f"fan{number}" for number in range(8)]


@pytest.mark.alike
def test_emails_about_followers_can_be_ended_by_one_click(bob: Site, mailbox: Mailbox, clock: Traveller) -> None:
    """RFC 8058"""
    arrive(bob).post("/follow/bob")
    clock.shift(66)

    [email] = told(bob, mailbox)

    headers = message_from_bytes(email.source)
    link = headers["List-Unsubscribe"].strip("<>")
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert link.startswith("https://blog.example/unsubscribe/")
    assert link in email.text.splitlines()


@pytest.fixture
def plain(site: Site) -> Site:
    import_people(site, "bob")
    return site


def test_nobody_gets_emails_about_followers_unasked(plain: Site, mailbox: Mailbox, clock: Traveller) -> None:
    arrive(plain).post("/follow/bob")

    clock.shift(66)

    assert told(plain, mailbox) == []


@deep
@pytest.mark.parametrize("change", ["unfollowed", "disabled", "follower disabled"])
def test_it_says_only_what_still_stands(plain: Site, mailbox: Mailbox, clock: Traveller, change: str) -> None:
    wants_emails(plain, "bob")
    susan = arrive(plain)
    susan.post("/follow/bob")
    if change == "unfollowed":
        susan.post("/unfollow/bob")
    else:
        disable(plain, "bob" if change == "disabled" else "susan")

    clock.shift(66)

    assert told(plain, mailbox) == []


def test_a_follower_who_leaves_and_comes_back_is_announced_once(
    plain: Site, mailbox: Mailbox, clock: Traveller
) -> None:
    wants_emails(plain, "bob")
    susan = arrive(plain)
    susan.post("/follow/bob")
    clock.shift(66)
    assert len(told(plain, mailbox)) == 1

    susan.post("/unfollow/bob")
    susan.post("/follow/bob")
    clock.shift(66)

    assert len(told(plain, mailbox)) == 1


def test_the_email_is_in_the_language_of_the_person_who_is_followed(plain: Site) -> None:
    execute(plain, "UPDATE user_account SET language = 'xx' WHERE username = 'bob'")

    arrive(plain).post("/follow/bob")

    assert execute(plain, "SELECT language FROM outbox_email WHERE kind = 'new_follower'") == [("xx",)]
