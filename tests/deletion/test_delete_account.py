"""Have an account deleted: hidden at once, brought back by the mailed button, or gone for good."""

import asyncio
import hashlib
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy
import time_machine
from sqlmodel import insert, update

from tests.addresses.steps import ask_and_find_link, change
from tests.depth import deep, one_in
from tests.factors.steps import set_up_app
from tests.mailbox import Mailbox, link_in
from tests.sites import Browser, Site
from tests.stories import PASSWORD, RESET_SUBJECT, ask_for_reset, is_logged_in, log_in, register
from tests.watching import execute, standing_site, wait_until_posted
from webapp.accounts.models import AccountDeletion
from webapp.audit.models import SecurityEvent
from webapp.database import now
from webapp.deletion.erasure import BATCH, Erasure
from webapp.mail.models import OutboxEmail, RefusedAddress
from webapp.posts.models import Post
from webapp.settings import Settings

SUSAN = "susan@example.com"
SUBJECT = "Your account on Microblog is being deleted"
GUESS = {"password": "a quite different staple", "code": "zzzz-zzzz-zzzz"}
TYPED = {"username": "susan", "current_password": PASSWORD}
DAYS = timedelta(days=14)


def delete(browser: Browser, **typed: str) -> Browser:
    answer = browser.post("/delete_account", data=TYPED | typed)
    assert answer.url.path == "/account_deleted", answer.text
    return browser


def arrive(site: Site, *names: str) -> list[Browser]:
    assert site.mailbox
    browsers = []
    for name in names:
        register(site.browser(), site.mailbox, name)
        browsers.append(site.browser())
        log_in(browsers[-1], name)
    return browsers


def erase(site: Site) -> None:
    """What the cleanup does every few minutes, until there is nothing left to do."""

    async def work() -> None:
        erasure = Erasure(site.settings)
        while await erasure.run_batch(site.app.state.database):
            pass

    site.run(work)


def make_due(site: Site) -> None:
    execute(site, update(AccountDeletion).values(due_at=now() - timedelta(seconds=1)))


@pytest.fixture
def susan(site: Site) -> Browser:
    return arrive(site, "susan")[0]


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"username": "david"}, "That&#39;s not your username. It is susan."),
        ({"username": ""}, "Fill this in."),
        ({"current_password": "wrong"}, "That&#39;s not your current password."),
    ],
)
def test_deleting_takes_the_username_and_the_password(
    site: Site, susan: Browser, typed: dict[str, str], words: str
) -> None:
    answer = susan.post("/delete_account", data=TYPED | typed)

    assert answer.status_code == 422
    assert words in answer.text
    assert execute(site, "SELECT * FROM account_deletion") == []
    assert is_logged_in(susan)


def test_what_goes_and_what_stays_is_said_before_and_after(susan: Browser) -> None:
    before = susan.get("/delete_account").text
    after = susan.post("/delete_account", data=TYPED).text

    for page in (before, after):
        assert "Your username, scrambled so that nobody can read it: for a year nobody else can have it." in page
        assert "What an admin decided about reports" in page


@pytest.mark.alike
def test_at_once_nobody_sees_anything_of_the_person(any_site: Site, mailbox: Mailbox) -> None:
    susan, david, fay = arrive(any_site, "susan", "david", "fay")
    susan.post("/", data={"body": "My heron, seen by @fay."})
    david.post("/", data={"body": "Ask @susan about it."})
    for follower, followed in ((david, "susan"), (susan, "david"), (fay, "david")):
        follower.post(f"/follow/{followed}")
    stranger = any_site.browser()

    delete(susan)

    for reader in (david, fay, stranger):
        assert reader.get("/user/susan").status_code == 404
        assert reader.get("/user/susan/1").status_code == 404
        assert reader.get("/user/susan/feed.atom").status_code == 404
        for page in ("/", "/explore", "/search?q=heron", "/search?q=susan", "/explore/feed.atom"):
            assert "My heron" not in reader.get(page).text
            assert 'href="/user/susan"' not in reader.get(page).text
    assert "susan" not in david.get("/user/david/followers").text
    assert "susan" not in david.get("/user/david/following").text
    assert "Ask @susan about it." in david.get("/user/david").text, "plain text"
    assert not is_logged_in(susan)


def test_every_session_and_link_ends(site: Site, mailbox: Mailbox, susan: Browser) -> None:
    phone = site.browser()
    log_in(phone)
    confirm = ask_and_find_link(susan, mailbox, "new@example.org")
    ask_for_reset(site.browser(), SUSAN)
    reset = link_in(mailbox.last(SUSAN, subject="Reset your password").text)

    delete(susan)

    assert not is_logged_in(phone)
    assert site.browser().get(confirm).status_code == 410
    assert site.browser().get(reset).status_code == 410


def test_who_forgets_the_password_meanwhile_gets_the_link_that_brings_it_back(
    site: Site, mailbox: Mailbox, susan: Browser
) -> None:
    delete(susan)
    ask_for_reset(site.browser())

    link = link_in(mailbox.last(SUSAN, 2, SUBJECT).text)
    assert mailbox.all(SUSAN, RESET_SUBJECT) == []
    site.browser().post(link)
    assert log_in(site.browser()).url.path == "/"


@deep
@pytest.mark.parametrize(
    "too_late",
    ["UPDATE account_deletion SET due_at = '2001-01-01 00:00:00'", "UPDATE account_deletion SET reason = 'spam'"],
)
def test_who_can_bring_nothing_back_gets_no_such_link(
    site: Site, mailbox: Mailbox, susan: Browser, too_late: str
) -> None:
    """It is over, or the admin has decided."""
    delete(susan)
    mailbox.last(SUSAN, subject=SUBJECT)
    execute(site, too_late)
    ask_for_reset(site.browser())
    wait_until_posted(site)

    assert len(mailbox.all(SUSAN, SUBJECT)) == 1
    assert mailbox.all(SUSAN, RESET_SUBJECT) == []


@pytest.mark.alike
def test_the_button_brings_everything_back_and_a_look_does_nothing(any_site: Site, mailbox: Mailbox) -> None:
    [susan] = arrive(any_site, "susan")
    susan.post("/", data={"body": "My heron."})
    delete(susan)
    link = mailbox.link(SUSAN, subject=SUBJECT)
    assert any_site.browser().get(link).status_code == 200
    assert any_site.browser().get("/user/susan").status_code == 404

    answer = any_site.browser().post(link)

    assert answer.url.path == "/login"
    assert "susan is back. Recovery codes and passkeys from before no longer work." in answer.text
    assert 'value="susan"' in answer.text
    assert "My heron." in any_site.browser().get("/user/susan").text
    log_in(susan)
    assert is_logged_in(susan)
    again = any_site.browser().post(link)
    assert again.status_code == 410
    assert "This link has been used" in again.text


@deep
def test_a_link_undoes_its_own_deletion_only(site: Site, mailbox: Mailbox, susan: Browser) -> None:
    delete(susan)
    first = mailbox.link(SUSAN, subject=SUBJECT)
    site.browser().post(first)
    log_in(susan)
    delete(susan)

    assert site.browser().post(first).status_code == 410
    assert site.browser().get("/user/susan").status_code == 404


@deep
@pytest.mark.parametrize(("passed", "status"), [(DAYS - timedelta(minutes=1), 200), (DAYS, 410)])
@one_in(2)
def test_undoing_works_until_the_last_minute(site: Site, mailbox: Mailbox, passed: timedelta, status: int) -> None:
    [susan] = arrive(site, "susan")
    with time_machine.travel(now(), tick=False) as clock:
        delete(susan)
        link = mailbox.link(SUSAN, subject=SUBJECT)
        clock.shift(passed)

        assert site.browser().post(link).status_code == status


@deep
def test_somebody_who_logs_in_meanwhile_is_told_and_gets_the_link_again(
    site: Site, mailbox: Mailbox, susan: Browser
) -> None:
    delete(susan)
    wait_until_posted(site)

    wrong = log_in(site.browser(), password="not the password")
    right = log_in(site.browser())

    assert "being deleted" not in wrong.text
    assert "match" in wrong.text
    assert "will be deleted for good on" in right.text
    assert "We&#39;ve just sent the link to its email." in right.text
    assert site.browser().post(mailbox.link(SUSAN, 2, SUBJECT)).url.path == "/login"


@deep
def test_a_person_robbed_of_the_address_can_undo_the_deletion(site: Site, mailbox: Mailbox) -> None:
    """A thief knows the password, moves the account to an address of theirs, and has it deleted."""
    [thief] = arrive(site, "susan")
    undo_address = change(thief, mailbox)
    delete(thief)

    undo = mailbox.link(SUSAN, subject=SUBJECT)
    assert undo.startswith("/undo_deletion/")
    site.browser().post(undo_address)

    assert site.browser().get("/user/susan").status_code == 200
    assert execute(site, "SELECT email, disabled_at FROM user_account") == [(SUSAN, None)]
    assert execute(site, "SELECT * FROM account_deletion") == []


@deep
def test_this_was_not_me_brings_it_back_locked(site: Site, mailbox: Mailbox, susan: Browser) -> None:
    log_in(site.browser())
    not_me = next(
        path for path in mailbox.last(SUSAN, subject="A new log-in").text.split() if "/not_me/" in path
    ).removeprefix(site.settings.base_url)
    delete(susan)

    assert "Your account is locked" in site.browser().post(not_me).text

    assert site.browser().get("/user/susan").status_code == 200
    assert "is waiting for its owner" in log_in(site.browser()).text
    assert execute(site, "SELECT * FROM account_deletion") == []


@deep
def test_the_username_and_the_address_stay_taken_meanwhile(site: Site, mailbox: Mailbox, susan: Browser) -> None:
    delete(susan)

    [david] = arrive(site, "david")
    answer = david.post("/edit_profile", data={"username": "Susan", "current_password": PASSWORD})

    assert answer.status_code == 422
    assert "That username is taken." in answer.text


# What a person leaves behind in every corner, and then what is left of it.


def live(site: Site, mailbox: Mailbox) -> None:
    """Susan uses all of the site; david reads, reports and mentions her; hal asks for her address, in vain."""
    susan, david, host = arrive(site, "susan", "david", "host")
    susan.post("/", data={"body": f"Write to {SUSAN}, not to @david."})
    for number in range(4):
        susan.post("/", data={"body": f"Post {number}"})
    david.post("/", data={"body": "Ask @susan."})
    david.post("/posts/1/report", data={"reason": f"spam of {SUSAN}"})
    david.post("/posts/2/report", data={"reason": "still open"})
    susan.post("/posts/6/report", data={"reason": "I don't like it"})
    host.post("/admin/reports/1/remove", data={"reason": f"No addresses, {SUSAN}"})
    host.post("/admin/reports/6/keep")
    david.post("/follow/susan")
    susan.post("/follow/david")
    susan.post("/recovery_codes", data={"current_password": PASSWORD})
    susan.post("/edit_profile", data={"username": "suzan", "current_password": PASSWORD})
    susan.post("/change_email", data={"current_password": PASSWORD, "email": "other@example.org"})
    david.post("/change_email", data={"current_password": PASSWORD, "email": SUSAN})
    for name in ("suzan", "susan"):
        ask_for_reset(site.browser(), name)
        log_in(site.browser(), name, "not her password")
    set_up_app(susan)
    site.browser().post(mailbox.link(SUSAN, subject=RESET_SUBJECT), data=GUESS)
    execute(site, "DELETE FROM factor")
    execute(site, insert(RefusedAddress).values(address=SUSAN, since=now(), source="smtp"))
    wait_until_posted(site)


def dumped(site: Site) -> dict[str, str]:
    tables = [name for (name,) in execute(site, TABLES[site.app.state.database.is_sqlite])]
    # Two have only an index of words, which is in tables of its own.
    tables = [name for name in tables if name not in {"post_words", "person_words"}]
    return {name: repr(execute(site, f'SELECT * FROM "{name}"')) for name in tables}


TABLES = {
    True: "SELECT name FROM sqlite_master WHERE type = 'table'",
    False: "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
}


def leave(site: Site) -> None:
    """Two weeks and a minute after susan has used all of it, and had her account deleted."""
    assert site.mailbox
    live(site, site.mailbox)
    browser = site.browser()
    log_in(browser, "suzan")
    with time_machine.travel(now(), tick=False) as clock:
        assert sum(SUSAN in rows for rows in dumped(site).values()) > 3, "else there is nothing to look for"
        delete(browser, username="suzan")
        wait_until_posted(site)
        clock.shift(DAYS + timedelta(minutes=1))
        erase(site)


@pytest.fixture(scope="module")
def gone(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that susan has left for good."""
    with standing_site(migrated_sqlite, tmp_path_factory.mktemp("gone"), admins=("host@example.com",)) as site:
        leave(site)
        yield site


@deep
def test_nothing_in_the_database_names_the_address_on_postgresql_either(
    make_settings: Callable[..., Settings], postgres_url: str, start_site: Callable[[Settings], Site]
) -> None:
    site = start_site(make_settings(database_url=postgres_url, admins=("host@example.com",)))
    leave(site)

    test_nothing_in_the_database_names_the_address(site)


@deep
def test_nothing_in_the_database_names_the_address(gone: Site) -> None:
    found = {name: rows for name, rows in dumped(gone).items() if SUSAN in rows or "other@example.org" in rows}

    assert found == {}
    assert execute(gone, "SELECT username FROM user_account ORDER BY id") == [("david",), ("host",)]


@deep
def test_no_byte_of_the_files_is_left(gone: Site) -> None:
    file = Path(gone.settings.database_url.partition(":///")[2])
    names = (SUSAN, "other@example.org", "Post 3")

    left = {(path.name, name) for path in file.parent.glob(f"{file.name}*") for name in names if _has(path, name)}

    assert left == set()
    assert _has(file, "david@example.com"), "else this would find nothing"


def _has(path: Path, text: str) -> bool:
    return text.encode() in path.read_bytes()


@deep
def test_the_name_in_posts_of_others_is_plain_text(gone: Site) -> None:
    page = gone.browser().get("/user/david").text

    assert "Ask @susan." in page
    assert 'href="/user/susan"' not in page


@deep
@pytest.mark.parametrize("name", ["suzan", "Suzan", "susan"])
def test_nobody_takes_the_name_over(gone: Site, name: str) -> None:
    david = gone.browser()
    log_in(david, "david")

    answer = david.post("/edit_profile", data={"username": name, "current_password": PASSWORD})

    assert "That username is taken." in answer.text
    assert [name for name, rows in dumped(gone).items() if "suzan" in rows] == []


def test_after_a_year_the_name_is_anybodys(gone: Site) -> None:
    with time_machine.travel(now() + DAYS + timedelta(days=366)):
        david = gone.browser()
        log_in(david, "david")
        answer = david.post("/edit_profile", data={"username": "suzan", "current_password": PASSWORD})

    assert answer.url.path == "/settings", answer.text


def test_what_the_admin_decided_stays_in_words(gone: Site) -> None:
    host = gone.browser()
    log_in(host, "host")

    page = host.get("/admin/reports").text

    kept = execute(gone, "SELECT reason, outcome, decision FROM decided_report ORDER BY id")
    assert sorted(kept) == [
        ("I don't like it", "kept", ""),
        ("spam of s…@example.com", "removed", "No addresses, s…@example.com"),
    ]
    assert "spam of s…@example.com" in page
    assert "still open" not in page


def test_no_limit_counts_the_account_any_more(gone: Site) -> None:
    """Only what counts networks and other people is left."""
    key = gone.settings.key("limits")
    keys = [key for (key,) in execute(gone, "SELECT key FROM limit_window")]

    def of(who: str) -> str:
        return hashlib.blake2b(who.encode(), key=key, digest_size=16).hexdigest()

    names = ["1", "reset 1", "suzan", "susan", SUSAN]
    whose = [
        of(who) for who in (*names, *(f"reset_password {name}" for name in names), f"register {SUSAN}", f"1 {SUSAN}")
    ]
    assert [one for one in keys if one.partition(":")[0] in whose] == []


def test_the_address_can_come_back_under_a_new_name(gone: Site) -> None:
    assert gone.mailbox
    before = len(gone.mailbox.all(SUSAN))
    browser = gone.browser()
    browser.post("/register", data={"email": SUSAN})
    link = gone.mailbox.link(SUSAN, before + 1)

    answer = browser.post(link, data={"username": "susan_again", "password": PASSWORD})

    assert answer.url.path == "/"


@deep
def test_an_account_with_much_goes_in_batches_and_others_are_served(site: Site, susan: Browser) -> None:
    execute(site, insert(Post).values([{"author_id": 1, "body": f"word {number}"} for number in range(2000)]))
    delete(susan)
    make_due(site)
    left = []

    async def work() -> None:
        erasure = Erasure(site.settings)
        while await erasure.run_batch(site.app.state.database):
            left.append(execute_count())

    def execute_count() -> int:
        file = site.settings.database_url.partition(":///")[2]
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as reader:
            return int(reader.execute("SELECT count(*) FROM post").fetchone()[0])

    site.run(work)

    assert len({count for count in left if 0 < count < 2000}) >= 5
    assert left[-1] == 0


@deep
@pytest.mark.alike
def test_no_step_is_longer_for_whoever_had_many_addresses_and_emails(site: Site, susan: Browser) -> None:
    """C73: nobody waits while what was counted at hundreds of client IPs is forgotten."""
    moment, many = now(), range(1, 701)
    event = {"user_id": 1, "kind": "logged_in", "created_at": moment, "user_agent": "a browser", "details": {}}
    execute(site, insert(SecurityEvent).values([event | {"client_ip": f"10.0.{n >> 8}.{n & 255}"} for n in many]))
    email = {"kind": "digest", "user_id": 1, "language": "en", "parameters": {}, "state": "sent"}
    email |= dict.fromkeys(("created_at", "due_at", "expires_at", "finished_at"), moment)
    email |= {"priority": 2, "attempts": 1, "fence": 0, "crashes": 0}
    execute(site, insert(OutboxEmail).values([email | {"message_id": f"<{n}@blog.example>"} for n in many]))
    execute(site, "UPDATE outbox_email SET user_id = 1")  # nobody's: the email to register with
    delete(susan)
    wait_until_posted(site)
    make_due(site)
    database = site.app.state.database
    steps: list[Counter[str]] = [Counter()]

    def note(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        steps[-1][statement.split()[0]] += 1

    async def work() -> None:
        erasure = Erasure(site.settings)
        while await erasure.run_batch(database):
            steps.append(Counter())

    engine = database.engine.sync_engine
    sqlalchemy.event.listen(engine, "before_cursor_execute", note)
    site.run(work)

    assert execute(site, "SELECT * FROM security_event") == execute(site, "SELECT * FROM outbox_email") == []
    assert len(steps) > 2 * len(many) // BATCH
    assert max(step.total() for step in steps) < 100


@deep
@pytest.mark.races
def test_processes_that_erase_at_once_are_not_in_each_others_way(any_site: Site) -> None:
    """Neither waits for rows that the other has locked, or takes it for an error that they are gone."""
    names = [f"person{number}" for number in range(6)]
    for name, browser in zip(names, arrive(any_site, *names), strict=True):
        delete(browser, username=name)
    make_due(any_site)

    async def erase_all() -> None:
        erasure = Erasure(any_site.settings)
        while await erasure.run_batch(any_site.app.state.database):
            pass

    async def work() -> None:
        await asyncio.gather(*(erase_all() for _process in range(4)))

    any_site.run(work)

    assert execute(any_site, "SELECT * FROM user_account") == []


@deep
def test_a_deletion_that_has_begun_cannot_be_undone(site: Site, mailbox: Mailbox, susan: Browser) -> None:
    delete(susan)
    link = mailbox.link(SUSAN, subject=SUBJECT)
    make_due(site)

    assert site.browser().post(link).status_code == 410
    assert "match" in log_in(site.browser()).text
