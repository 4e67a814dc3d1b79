"""The whole story: take everything out, leave, change one's mind, leave for good, come back under a new name."""

from datetime import timedelta

import time_machine

from tests.archive_imports.test_upload import upload, wait_until_done
from tests.archives.test_export import ask, wait_until_ready
from tests.deletion.test_delete_account import DAYS, SUBJECT, SUSAN, arrive, delete, erase
from tests.depth import deep, one_in
from tests.mailbox import Mailbox
from tests.people.crowd import import_people
from tests.posts.wall import words_in
from tests.sites import Browser, Site
from tests.stories import PASSWORD, is_logged_in, log_in
from tests.watching import execute, wait_until_posted
from webapp.archive_imports import importer
from webapp.archive_imports.reading import ArchivedPost
from webapp.database import now

LEFT = [("user_account", "count(*)"), ("post", "id"), ("mute", "muter_id"), ("account_deletion", "id")]
OLD = ["My second heron.", "My first heron."]


def live(site: Site) -> Browser:
    [susan] = arrive(site, "susan")
    import_people(site, "david", "erin", "fay")
    for body in reversed(OLD):
        susan.post("/", data={"body": body})
    for act in ("follow/david", "mute/erin", "block/fay"):
        susan.post(f"/{act}")
    return susan


def take_out(site: Site, susan: Browser) -> bytes:
    ask(susan)
    wait_until_ready(site)
    return susan.post("/export/download", data={"current_password": PASSWORD}).content


def come_back(site: Site, mailbox: Mailbox, name: str) -> Browser:
    browser, before = site.browser(), len(mailbox.all(SUSAN))
    browser.post("/register", data={"email": SUSAN})
    browser.post(mailbox.link(SUSAN, before + 1), data={"username": name, "password": PASSWORD})
    return browser


@one_in(2)
@deep
def test_who_leaves_twice_comes_back_with_a_new_name_and_the_old_posts(any_site: Site, mailbox: Mailbox) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        susan = live(any_site)
        written = execute(any_site, "SELECT body, created_at FROM post ORDER BY created_at, body")
        file = take_out(any_site, susan)

        delete(susan)
        undo = mailbox.link(SUSAN, subject=SUBJECT)
        clock.shift(timedelta(days=13))
        any_site.browser().post(undo)
        log_in(susan)
        back = is_logged_in(susan), words_in(susan.get("/user/susan"))

        delete(susan)
        wait_until_posted(any_site)
        clock.shift(DAYS + timedelta(minutes=1))
        erase(any_site)
        left = [execute(any_site, f"SELECT {column} FROM {rows}") for rows, column in LEFT]

        anew = come_back(any_site, mailbox, "heron_friend")
        for _twice in range(2):
            upload(anew, file)
            wait_until_done(any_site)

    assert back == (True, OLD)
    assert left == [[(3,)], [], [], []]
    assert anew.get("/user/susan").status_code == 404
    assert sorted(words_in(anew.get("/user/heron_friend"))) == sorted(OLD)
    assert execute(any_site, "SELECT body, created_at FROM post ORDER BY created_at, body") == written
    assert 'href="/user/david"' in anew.get("/user/heron_friend/following").text
    lists = anew.get("/muted_and_blocked").text
    assert ('href="/user/erin"' in lists, 'href="/user/fay"' in lists) == (True, True)
    page = anew.get("/import").text
    assert "brought 0 posts. 2 were here already." in page
    assert "You follow 1 person from it. You've muted 1 person from it. You've blocked 1 person from it." in page


def test_long_posts_are_imported_a_few_at_a_time() -> None:
    """PostgreSQL took half a minute for 300 that are full of marks, and so was asked in vain, again and again."""
    long, short = (ArchivedPost.of(body, now()) for body in ("ж" * 4000, "A heron."))

    counts = [len(importer.next_few(1, posts, 1)) for posts in ([long] * 1000, [short] * 1000, [short] * 9, [short])]

    assert counts == [8, 300, 8, 0]
