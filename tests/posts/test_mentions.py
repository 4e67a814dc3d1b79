"""Mentions: linked where the person is here; and told by email, once a minute at most, to who wants to know."""

import re
from email import message_from_bytes
from urllib.parse import urlsplit

import pytest
from time_machine import Traveller

from tests.depth import deep, one_in
from tests.mailbox import Mailbox
from tests.people.crowd import arrive, import_people
from tests.posts.wall import say
from tests.sites import Browser, Site
from tests.watching import disable, execute, wait_until_posted
from webapp.mail_preview.inbox import Received

BOB = "bob@example.com"


@pytest.fixture
def susan(any_site: Site) -> Browser:
    """She is here, and so is bob."""
    import_people(any_site, "bob")
    return arrive(any_site)


def told(site: Site, mailbox: Mailbox, address: str = BOB) -> list[Received]:
    """The emails about mentions, once everything has left that is due."""

    async def ring() -> None:
        site.app.state.database.wake.set()

    site.run(ring)
    wait_until_posted(site)
    return [email for email in mailbox.all(address) if "mentioned" in email.subject]


def posts_in(email: Received) -> list[str]:
    return re.findall(r"^https://blog.example(/user/\w+/\d+)$", email.text, re.MULTILINE)


@pytest.mark.alike
def test_who_is_mentioned_gets_an_email_with_the_words_and_none_of_their_links(
    any_site: Site, susan: Browser, mailbox: Mailbox, clock: Traveller
) -> None:
    post_id = say(
        susan, "@Bob: buy 1.5 kg at https://evil.example/now, evil.\u200bexample, 10.0.0.1/x or a@evil.example\ntoday!"
    )
    clock.shift(70)

    [email] = told(any_site, mailbox)

    assert email.subject == "susan mentioned you on Microblog"
    assert posts_in(email) == [f"/user/susan/{post_id}"]
    assert b"evil.example" not in email.source
    assert "\n    @Bob: buy 1.5 kg at [link] [link] [link] or [link]\n    today!\n" in email.text
    assert "@Bob: buy 1.5 kg at [link] [link] [link] or [link]<br>today!" in email.html


@deep
@pytest.mark.alike
def test_all_mentions_within_a_minute_are_one_email(
    any_site: Site, susan: Browser, mailbox: Mailbox, clock: Traveller
) -> None:
    john = arrive(any_site, "john")
    mentions = [(susan, "@bob"), (john, "Hi @bob, @bob!"), (susan, "@nobody @BOB")]
    wanted = [say(browser, body) for browser, body in mentions]
    clock.shift(70)

    [email] = told(any_site, mailbox)

    assert email.subject == "You were mentioned on Microblog 3 times"
    assert [int(path.rpartition("/")[2]) for path in posts_in(email)] == wanted


@deep
@pytest.mark.alike
def test_a_later_mention_is_in_a_later_email(
    any_site: Site, susan: Browser, mailbox: Mailbox, clock: Traveller
) -> None:
    wanted = [[f"/user/susan/{say(susan, '@bob')}"]]
    clock.shift(70)
    wanted.append([f"/user/susan/{say(susan, '@bob')}"])
    clock.shift(70)

    emails = told(any_site, mailbox)

    assert sorted(posts_in(email) for email in emails) == wanted


@pytest.mark.alike
@deep
def test_who_is_mentioned_all_hour_gets_few_emails_that_tell_of_all(
    any_site: Site, susan: Browser, mailbox: Mailbox, clock: Traveller
) -> None:
    """A member with a script mentions somebody every minute. In the next hour it begins anew."""
    for _minute in range(20):
        say(susan, "@bob")
        clock.shift(61)
    assert len(told(any_site, mailbox)) == 5
    clock.shift(3600)
    say(susan, "@bob, again")
    clock.shift(70)

    emails = told(any_site, mailbox)

    subjects = sorted(email.subject for email in emails)
    assert subjects == ["You were mentioned on Microblog 15 times", *["susan mentioned you on Microblog"] * 6]


@deep
@pytest.mark.parametrize("change", ["deleted", "removed", "author disabled", "disabled"])
@one_in(2)
def test_the_email_says_only_what_still_stands(site: Site, mailbox: Mailbox, clock: Traveller, change: str) -> None:
    import_people(site, "bob")
    susan = arrive(site)
    post_id = say(susan, "@bob")
    if change == "deleted":
        susan.post(f"/posts/{post_id}/delete", data={})
    elif change == "removed":
        execute(site, "UPDATE post SET removed_at = created_at")
    else:
        disable(site, "susan" if change == "author disabled" else "bob")
    clock.shift(70)

    assert told(site, mailbox) == []


@deep
def test_nobody_is_told_of_their_own_mention_of_themselves(site: Site, mailbox: Mailbox, clock: Traveller) -> None:
    susan = arrive(site)
    say(susan, "I am @susan.")
    posted = execute(site, "SELECT id FROM outbox_email WHERE kind = 'mention'")
    clock.shift(70)

    assert posted == []
    assert told(site, mailbox, "susan@example.com") == []
    assert 'class="mention" href="/user/susan"' in susan.get("/").text


def test_ten_people_a_post_are_told_and_linked_at_most(site: Site, clock: Traveller) -> None:
    names = [f"fan{number}" for number in range(12)]
    import_people(site, *names)
    susan = arrive(site)

    say(susan, " ".join(f"@{name}" for name in names))

    assert len(execute(site, "SELECT id FROM outbox_email WHERE kind = 'mention'")) == 10
    assert re.findall(r'class="mention" href="/user/(\w+)"', susan.get("/").text) == names[:10]


def test_an_email_is_in_the_language_of_the_person(site: Site, clock: Traveller) -> None:
    import_people(site, "bob")
    execute(site, "UPDATE user_account SET language = 'xx'")

    say(arrive(site), "@bob")

    assert execute(site, "SELECT language FROM outbox_email WHERE kind = 'mention'") == [("xx",)]


@deep
@pytest.mark.alike
def test_one_click_ends_the_emails_for_good(any_site: Site, susan: Browser, mailbox: Mailbox, clock: Traveller) -> None:
    """RFC 8058: a mail program presses it, without cookies."""
    say(susan, "@bob")
    clock.shift(70)
    [email] = told(any_site, mailbox)
    headers = message_from_bytes(email.source)
    link = headers["List-Unsubscribe"].strip("<>")

    answer = any_site.browser().post(urlsplit(link).path, data={"List-Unsubscribe": "One-Click"})
    say(susan, "@bob again")
    clock.shift(70)

    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert answer.status_code == 200
    assert told(any_site, mailbox) == [email]


@deep
def test_a_mention_of_somebody_who_left_or_never_was_is_plain_text(site: Site) -> None:
    import_people(site, "bob", "dan")
    susan = arrive(site)
    say(susan, "@bob @dan @nobody")
    disable(site, "dan")

    page = susan.get("/").text

    assert re.findall(r'class="mention" href="/user/(\w+)"', page) == ["bob"]
    assert "@dan @nobody" in page
