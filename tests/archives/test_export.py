"""Everything about a person in one file: asked for with the password, made in the background, kept for a day."""

import asyncio
import csv
import io
import json
import re
import secrets
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType

import pytest
import time_machine
from sqlalchemy.exc import OperationalError
from sqlmodel import SQLModel, insert, select, text, update
from time_machine import Traveller

from tests.deletion.test_delete_account import arrive
from tests.depth import deep
from tests.mailbox import PATIENCE, Mailbox
from tests.posts.wall import let_post
from tests.sites import Browser, Site
from tests.stories import PASSWORD, log_in
from tests.watching import execute
from webapp import (
    app,  # noqa: F401  (every model)
    database,
)
from webapp.accounts import users
from webapp.archives import contents, exports
from webapp.archives.maker import Maker
from webapp.archives.models import AccountExport
from webapp.archives.writing import Archive
from webapp.database import now, table
from webapp.deletion import erasure
from webapp.posts.models import Post
from webapp.posts.text import markup
from webapp.settings import ROOT
from webapp.web import templating

SUSAN = "susan@example.com"
SUBJECT = "Your file from Microblog is ready"
PROOF = {"current_password": PASSWORD}


def ask(browser: Browser) -> None:
    answer = browser.post("/export", data=PROOF)
    assert answer.url.path == "/export", answer.text
    assert "putting everything together" in answer.text


def wait_until_ready(site: Site) -> None:
    deadline = time.monotonic() + PATIENCE
    while execute(site, "SELECT state FROM account_export") != [("ready",)]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def download(site: Site, browser: Browser) -> zipfile.ZipFile:
    wait_until_ready(site)
    answer = browser.post("/export/download", data=PROOF)
    assert answer.headers["content-type"] == "application/zip", answer.text
    assert int(answer.headers["content-length"]) == len(answer.content)
    return zipfile.ZipFile(io.BytesIO(answer.content))


def live(site: Site) -> Browser:
    """Susan has written in two months, follows and is followed, and has reported a post."""
    susan, david = arrive(site, "susan", "david")
    david.post("/", data={"body": "A post of david's."})
    david.post("/follow/susan")
    susan.post("/follow/david")
    susan.post("/posts/1/report", data={"reason": "dull"})
    susan.post("/edit_profile", data={"username": "susan", "about_me": "I watch herons."})
    susan.post("/", data={"body": "=HYPERLINK(1)"})
    susan.post("/", data={"body": "Look, @david: <b>https://example.org/heron</b>"})
    susan.post("/", data={"body": "Deleted."})
    susan.post("/posts/4/delete")
    execute(site, update(Post).where(table(Post).c.id == 2).values(created_at=now() - timedelta(days=70)))
    return susan


@pytest.mark.alike
def test_the_file_has_everything_and_reads_well_without_the_site(any_site: Site, mailbox: Mailbox) -> None:
    susan = live(any_site)
    ask(susan)

    zipped = download(any_site, susan)

    assert zipped.testzip() is None
    months = sorted(name for name in zipped.namelist() if name.startswith("posts/"))
    assert sorted(set(zipped.namelist()) - set(months)) == [
        "account.json",
        "actor.json",
        "index.html",
        "outbox.json",
        "posts.csv",
    ]
    assert len(months) == 2
    pages = {name: zipped.read(name).decode() for name in [*months, "index.html"]}
    assert "=HYPERLINK(1)" in pages[months[0]]
    assert "Look, @david: &lt;b&gt;" in pages[months[1]]
    assert "I watch herons." in pages["index.html"]
    assert "<li>david</li>" in pages["index.html"]
    assert all(f'href="{month}"' in pages["index.html"] for month in months)
    assert f"{now() - timedelta(days=70):%B %Y}</a>" in pages["index.html"]
    for page in pages.values():
        assert not re.search(r'(?:src|<link[^>]+href)="', page), "nothing is fetched"
        assert "Deleted." not in page
        assert page.rstrip().endswith("</html>")


@deep
def test_posts_are_a_table_in_which_nothing_is_a_formula(site: Site, mailbox: Mailbox) -> None:
    susan = live(site)
    susan.post("/posts/3/edit", data={"body": "Look, @david: <b>https://example.org/herons</b>"})
    ask(susan)

    text = download(site, susan).read("posts.csv").decode("utf-8-sig")

    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["text"] for row in rows] == ["'=HYPERLINK(1)", "Look, @david: <b>https://example.org/herons</b>"]
    assert rows[0]["created"].endswith("Z")
    assert [bool(row["edited"]) for row in rows] == [False, True]


@deep
def test_the_outbox_is_one_that_other_programs_read(site: Site, mailbox: Mailbox) -> None:
    """ActivityStreams 2.0: an OrderedCollection of Create activities, each with its Note."""
    susan = live(site)
    ask(susan)

    zipped = download(site, susan)

    outbox, actor = json.loads(zipped.read("outbox.json")), json.loads(zipped.read("actor.json"))
    assert (outbox["type"], outbox["totalItems"], len(outbox["orderedItems"])) == ("OrderedCollection", 2, 2)
    [first, second] = outbox["orderedItems"]
    assert (first["type"], first["object"]["type"], first["actor"]) == ("Create", "Note", actor["id"])
    assert first["to"] == ["https://www.w3.org/ns/activitystreams#Public"]
    assert second["object"]["content"].startswith("<p>Look, @david: &lt;b&gt;<a href=")
    assert second["object"]["source"]["content"] == "Look, @david: <b>https://example.org/heron</b>"
    assert (actor["type"], actor["preferredUsername"], actor["outbox"]) == ("Person", "susan", "outbox.json")


@deep
def test_what_is_stored_about_the_person_is_in_the_file_and_no_secret(site: Site, mailbox: Mailbox) -> None:
    susan = live(site)
    susan.post("/recovery_codes", data=PROOF)
    ask(susan)

    text = download(site, susan).read("account.json").decode()

    account = json.loads(text)
    assert set(account) == set(contents.SECTIONS.values())
    assert account["profile"][0]["email"] == SUSAN
    assert account["followers"][0]["username"] == account["following"][0]["username"] == "david"
    assert account["reports_made"][0]["reason"] == "dull"
    assert "logged_in" in {event["kind"] for event in account["events"]}
    assert account["sessions"][0]["client_ip"]
    assert len(account["recovery_codes"]) == 10
    secrets = [row[0] for name, column in SECRETS for row in execute(site, f"SELECT {column} FROM {name}")]
    assert len(secrets) > 10
    assert [secret for secret in secrets if secret in text] == []
    assert "david@example.com" not in text


SECRETS = [
    ("user_account", "password_hash"),
    ("session", "token_hash"),
    ("known_browser", "secret_hash"),
    ("recovery_code", "code_hash"),
]


def test_every_table_of_a_person_is_in_the_file_or_named() -> None:
    """Whoever adds a table about a person decides; see webapp/archives/contents.py."""
    # What has files of its own, or only exists once nobody can ask for it any more.
    elsewhere = {("post", "author_id"), ("account_deletion", "user_id")}
    # Who has muted or blocked a person is nobody else's business.
    of_others = {("mute", "muted_id"), ("block", "blocked_id")}
    referring = {(rows.name, owner.name) for rows, owner in erasure.belongings()}
    by_hand = {("user_account", "id"), ("security_event", "user_id"), ("outbox_email", "user_id")}
    by_hand |= {("refused_address", "address"), ("registration_request", "email"), ("account_deletion", "user_id")}

    assert referring | by_hand == set(contents.SECTIONS) | elsewhere | of_others


def test_no_column_that_sounds_like_a_secret_is_in_the_file() -> None:
    said = {
        f"{name}.{column.name}"
        for name, _owner in contents.SECTIONS
        for column in SQLModel.metadata.tables[name].columns
        if re.search(r"hash|secret|token|key|password|code|mark", column.name) and column.name not in contents.WITHHELD
    }

    # When something was locked, used, tried or declined, what a mail server said; none of them opens anything.
    harmless = {"password_locked_at", "password_used_at", "passkey_declined_at", "codes_checked_at"}
    assert said == {f"user_account.{name}" for name in harmless} | {"outbox_email.code", "refused_address.code"}


@deep
def test_an_email_says_that_it_is_there_and_asks_for_the_password_all_the_same(site: Site, mailbox: Mailbox) -> None:
    susan = live(site)
    ask(susan)

    assert mailbox.link(SUSAN, subject=SUBJECT) == "/export"
    refused = susan.post("/export/download", data={"current_password": "wrong"})
    assert refused.status_code == 422
    assert "That&#39;s not your current password." in refused.text
    [david] = [site.browser()]
    log_in(david, "david")
    others = david.post("/export/download", data=PROOF)
    assert "That file is gone." in others.text


@deep
def test_an_export_takes_the_password(site: Site, mailbox: Mailbox) -> None:
    susan = live(site)

    answer = susan.post("/export", data={"current_password": "wrong"})

    assert answer.status_code == 422
    assert execute(site, "SELECT * FROM account_export") == []


def test_who_asks_again_while_the_export_is_made_has_asked_once(site: Site) -> None:
    """In another tab, say. Otherwise it would begin anew, and use up what may be made in a day."""
    susan = live(site)
    values = {"user_id": 1, "expires_at": now() + timedelta(days=1), "leased_until": now() + timedelta(seconds=50)}
    execute(site, insert(AccountExport).values(**values, done=600, total=6000))

    answers = [susan.post("/export", data=PROOF) for _time in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert all("600 of 6000 steps are done." in answer.text for answer in answers)
    assert execute(site, "SELECT count(*) FROM account_export WHERE done = 600") == [(1,)]


@deep
def test_an_export_can_be_asked_for_twice_a_day(site: Site, mailbox: Mailbox) -> None:
    susan = live(site)
    for _time in range(2):
        ask(susan)
        wait_until_ready(site)

    answer = susan.post("/export", data=PROOF)

    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 86400


@deep
def test_an_export_is_gone_after_a_day(site: Site, mailbox: Mailbox) -> None:
    susan = live(site)
    log_in(susan, remember_me="1")
    ask(susan)
    wait_until_ready(site)

    with time_machine.travel(now() + timedelta(hours=24, minutes=1)):
        answer = susan.post("/export/download", data=PROOF)

    assert "That file is gone. Ask for a new one." in answer.text


@deep
def test_the_page_says_how_far_it_is_also_without_scripts(site: Site, mailbox: Mailbox) -> None:
    susan = live(site)
    values = {"user_id": 1, "expires_at": now() + timedelta(days=1), "leased_until": now() + timedelta(seconds=50)}
    execute(site, insert(AccountExport).values(**values, done=600, total=6000))

    page, part = susan.get("/export").text, susan.get("/export", headers=PART).text

    assert "600 of 6000 steps are done." in page
    assert 'href="/export">Refresh' in page
    assert part.lstrip().startswith('<div id="progress"')
    assert 'value="600"' in part


PART = {"hx-request": "true", "hx-request-type": "partial"}


@deep
def test_an_export_that_a_dead_process_was_making_is_made_by_another(any_site: Site, mailbox: Mailbox) -> None:
    """The claim of one that died runs out; one that wakes up late can't write into the file of the other."""
    susan = live(any_site)
    database = any_site.app.state.database

    async def die() -> exports.Lease:
        async with database.session(is_writing=True) as db:
            await exports.ask(db, 1)
            claimed = await exports.queue.claim(db)
            assert claimed
            await exports.add_chunks(db, claimed, 0, [b"half of it"])
            await db.commit()
        return claimed

    late = any_site.run(die)
    execute(any_site, update(AccountExport).values(leased_until=now() - timedelta(seconds=1)))
    any_site.run(wake, any_site)

    assert download(any_site, susan).testzip() is None

    async def write_late() -> None:
        async with database.session(is_writing=True) as db:
            await exports.queue.hold(db, late, done=1)  # type: ignore[arg-type]

    with pytest.raises(exports.LeaseLost):
        any_site.run(write_late)


async def wake(site: Site) -> None:
    site.app.state.exports.wake()


def maker(site: Site) -> Maker:
    return Maker(site.settings, site.app.state.database, templating.environment(site.settings))


@contextmanager
def full_disk(site: Site) -> Iterator[None]:
    """SQLite finds no more room, as on a disk that is full."""

    async def allow(most: str) -> None:
        async with site.app.state.database.session(is_writing=True) as db:
            pages = (await db.exec(text("PRAGMA page_count"))).scalar_one()
            await db.exec(text(f"PRAGMA max_page_count = {most or pages}"))

    site.run(allow, "")
    yield
    site.run(allow, "1000000")


@deep
def test_a_full_disk_only_delays_an_export(site: Site, mailbox: Mailbox, clock: Traveller) -> None:
    """Nothing is lost, the page says so, and anybody can go on as soon as there is room."""
    site.app.state.exports.stop()
    susan = live(site)
    _insert(site, [_post(secrets.token_hex(100), number) for number in range(300)])
    ask(susan)

    with full_disk(site):
        for _try in range(2):
            with pytest.raises(OperationalError, match="full"):
                site.run(maker(site).do_one)
        soon = susan.get("/export").text
        clock.shift(timedelta(minutes=3))
        late = susan.get("/export", headers=PART).text
    site.run(maker(site).do_one)

    assert ["taking longer than usual" in page for page in (soon, late)] == [False, True]
    assert mailbox.link(SUSAN, subject=SUBJECT) == "/export"
    assert json.loads(download(site, susan).read("outbox.json"))["totalItems"] == 302


@deep
def test_an_export_is_held_for_as_long_as_it_takes(any_site: Site, clock: Traveller) -> None:
    """Each step renews the lease, so nobody else begins with it."""
    any_site.app.state.exports.stop()
    susan = live(any_site)
    _insert(any_site, [_post("A heron. ", number) for number in range(2400)])
    ask(susan)
    making: list[asyncio.Task[bool]] = []
    reached = [0]

    async def progress() -> None:
        """Until another step is done."""
        before = reached[0]
        while reached[0] == before and not making[0].done():
            await asyncio.sleep(0.001)
            async with any_site.app.state.database.session() as db:
                reached[0] = (await database.execute(db, select(table(AccountExport).c.done))).scalar() or 0

    async def make_for_long() -> bool:
        making.append(asyncio.create_task(maker(any_site).do_one()))
        for _part in range(2):
            await progress()
            clock.shift(exports.LEASE * 0.9)
        await progress()
        is_claimed = await maker(any_site).do_one()
        assert await making[0]
        return is_claimed

    assert not any_site.run(make_for_long)
    assert execute(any_site, "SELECT state, fence FROM account_export") == [("ready", 1)]


# A process of its own makes the file of 100,000 posts, and says how much memory it took beyond what it had.
MEASURED = """
import asyncio, resource, sys
import webapp.app  # which knows all tables
from webapp.archives import exports
from webapp.archives.maker import Maker
from webapp.database import Database
from webapp.settings import Settings
from webapp.web import templating

async def main():
    settings = Settings(base_url="https://blog.example", secret_key="x" * 40, database_url=sys.argv[1], mailer="off")
    database = Database(settings.database_url)
    maker = Maker(settings, database, templating.environment(settings))
    async with database.session(is_writing=True) as db:
        await exports.ask(db, 1)
        await db.commit()  # and claims it before the running site looks for one
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert await maker.do_one()
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
    await database.aclose()

asyncio.run(main())
"""


@pytest.mark.deep
def test_a_hundred_thousand_posts_take_no_more_than_60_mb(site: Site, mailbox: Mailbox) -> None:
    """Half a minute, because it is what this size takes."""
    susan = live(site)
    body = "A heron stood in the shallows, and nobody said a word about it for the rest of the day. "
    for start in range(0, 100_000, 5000):
        _insert(site, [_post(body, number) for number in range(start, start + 5000)])

    command = [sys.executable, "-c", MEASURED, site.settings.database_url]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) <= 60
    zipped = download(site, susan)
    assert json.loads(zipped.read("outbox.json"))["totalItems"] == 100_002


def _post(body: str, number: int) -> dict[str, object]:
    return {"author_id": 1, "body": f"{body * 2}{number}", "created_at": now() - timedelta(minutes=number)}


def _insert(site: Site, rows: list[dict[str, object]]) -> None:
    async def work() -> None:
        async with site.app.state.database.session(is_writing=True) as db:
            await (await db.connection()).execute(insert(Post), rows)
            await db.commit()

    site.run(work)


@deep
def test_an_export_lets_the_others_have_their_turn_after_a_few_posts(site: Site, mailbox: Mailbox) -> None:
    """Twenty thousand that are full of links take a minute to write."""
    arrive(site, "susan")
    let_post(site, ("susan", "http://é.example/ " * 15), count=100)
    most = since = 0

    def look(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal since
        since += event == "call" and frame.f_code is markup.__code__

    async def take_turns() -> None:
        nonlocal most, since
        while True:
            most, since = max(most, since), 0
            await asyncio.sleep(0)

    async def keep(_pieces: Sequence[bytes], _posts: int) -> None:
        """Throws them away."""

    async def work() -> None:
        async with site.app.state.database.session() as db:
            user = await users.owner(db, 1)
        archive = Archive(site.app.state.database, site.settings, templating.environment(site.settings), user, keep)
        turns = asyncio.create_task(take_turns())
        sys.setprofile(look)
        try:
            await archive.write()
        finally:
            sys.setprofile(None)
            turns.cancel()

    site.run(work)

    assert 0 < most <= 10
