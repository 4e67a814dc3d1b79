"""Passwords: hashed whole, and never at the price of the rest of the site."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import anyio
import argon2
import asyncpg
import pytest
from anyio.lowlevel import checkpoint
from argon2.exceptions import VerifyMismatchError

from tests.depth import deep, one_in
from tests.imported import add_accounts
from tests.mailbox import PATIENCE, Mailbox
from tests.sites import Site, WatchedArgon2
from tests.stories import NEW_PASSWORD, PASSWORD, ask_for_reset, forget_and_find_link, log_in, register
from tests.watching import execute, statements
from webapp import imports
from webapp.accounts import users
from webapp.database.cleanup import CleanupTask
from webapp.fair_queue import Busy
from webapp.passwords import hasher, hashes, places
from webapp.passwords.costs import HashCost
from webapp.passwords.hasher import ARGON2, MAX_LENGTH, WORKERS, Hasher
from webapp.settings import ROOT, Settings

pytestmark = pytest.mark.dear_passwords

TODAYS = hasher.cost_of(ARGON2)


@deep
@pytest.mark.parametrize("length", [12, 72, 128, 255, MAX_LENGTH])
@one_in(4)
async def test_every_character_counts(anyio_backend: str, length: int) -> None:
    """C47: nothing is cut off, as bcrypt cuts after 72 bytes and C strings at a NUL."""
    hasher = Hasher()
    password = ("ab\u00e9\U0001f600" * 64)[: length - 1]
    stored = await hasher.hash(None, password + "x")

    assert await hasher.is_right(None, password + "x", stored)
    assert not await hasher.is_right(None, password + "y", stored)
    assert not await hasher.is_right(None, password, stored)
    assert not await hasher.is_right(None, password + "x ", stored)


@deep
def test_the_longest_password_works_over_http_and_counts_whole(any_site: Site, mailbox: Mailbox) -> None:
    """C47"""
    longest = ("p\u00e4ss w\u00f6rd " * 40)[: MAX_LENGTH - 1] + "!"
    register(any_site.browser(), mailbox, password=longest)

    assert len(longest) == MAX_LENGTH
    assert log_in(any_site.browser(), password=longest).url.path == "/"
    assert log_in(any_site.browser(), password=longest[:-1] + "?").status_code == 422


def test_a_longer_password_is_refused_before_it_is_hashed(site: Site, mailbox: Mailbox) -> None:
    """C47"""
    register(site.browser(), mailbox)
    link = forget_and_find_link(site.browser(), mailbox)
    site.argon2.runs.clear()

    answers = [
        log_in(site.browser(), password="p\u00e4ssword " * 30),
        site.browser().post(link, data={"password": "a longer password " * 20}),
    ]

    assert [answer.status_code for answer in answers] == [422, 422]
    assert all("Use 256 characters or fewer" in answer.text for answer in answers)
    assert site.argon2.runs == []


async def test_a_missing_hash_costs_as_much_as_a_wrong_password(anyio_backend: str) -> None:
    """C12"""
    watched = WatchedArgon2(ARGON2)
    hasher = Hasher(watched)

    assert not await hasher.is_right(None, "anything at all", None)
    assert watched.runs == ["verify"]


class ComparingArgon2(argon2.PasswordHasher):
    """Notes which hashes were compared: only what was hashed to the end is."""

    def __init__(self) -> None:
        super().__init__(ARGON2.time_cost, ARGON2.memory_cost, ARGON2.parallelism)
        self.compared: list[str | bytes] = []

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
        try:
            return super().verify(hash, password)
        except VerifyMismatchError:
            self.compared.append(hash)
            raise


@pytest.mark.parametrize("stored", [None, "", "!", "plain text", "$argon2id$v=19$broken", TODAYS + hashes.DUMMY])
async def test_a_wrong_password_costs_one_whole_hash_whatever_is_stored(anyio_backend: str, stored: str | None) -> None:
    """C12, C02: an account that never had a password takes as long as one that has."""
    comparing = ComparingArgon2()
    hasher = Hasher(comparing)

    assert not await hasher.is_right(None, "anything at all", stored)
    assert comparing.compared == [TODAYS + hashes.DUMMY]


async def test_the_dummy_hash_opens_nothing(anyio_backend: str) -> None:
    assert not await Hasher().is_right(None, "", None)


async def test_a_hash_is_argon2id_at_the_promised_costs_and_salted(anyio_backend: str) -> None:
    hasher = Hasher()

    one, two = await hasher.hash(None, "correct horse"), await hasher.hash(None, "correct horse")

    assert one.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert one != two
    assert not hasher.is_outdated(one)


async def test_hashing_leaves_the_event_loop_free(anyio_backend: str) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await anyio.sleep(0.001)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tick)
        await checkpoint()
        await Hasher().hash(None, "correct horse")
        tasks.cancel_scope.cancel()

    assert ticks >= 3


async def test_requests_beyond_the_queue_are_sent_away(anyio_backend: str) -> None:
    """C49: two at a time, a queue behind them, and an end of the queue, also for those who come at once."""
    hasher = Hasher(most_waiting=3)
    ends: list[str] = []

    async def use() -> None:
        try:
            await hasher.hash(None, "correct horse")
            ends.append("hashed")
        except Busy:
            ends.append("busy")

    async with anyio.create_task_group() as tasks:
        for _number in range(9):
            tasks.start_soon(use)

    assert sorted(ends) == ["busy"] * 6 + ["hashed"] * 3


def test_asking_for_an_email_hashes_nothing(site: Site) -> None:
    """C02"""
    ask_for_reset(site.browser(), "susan")

    assert site.argon2.runs == []


@deep
def test_nothing_is_held_while_a_password_is_hashed(any_site: Site, mailbox: Mailbox) -> None:
    """Neither a connection nor, with it, a lock: a hash takes long, and others want to go on."""
    pool, held = any_site.app.state.database.engine.pool, Counter[str]()

    def look(_run: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while pool.checkedout() and time.monotonic() < deadline:  # the mailer has its turns, too
            time.sleep(0.01)
        held["while hashing"] += pool.checkedout()

    any_site.argon2.meanwhile = look
    browser = any_site.browser()

    register(browser, mailbox)
    cheap = argon2.PasswordHasher(time_cost=2, memory_cost=64, parallelism=1).hash(PASSWORD)
    execute(any_site, "UPDATE user_account SET password_hash = :cheap", cheap=cheap)
    log_in(browser)
    changed = browser.post("/change_password", data={"current_password": PASSWORD, "password": NEW_PASSWORD})
    browser.post("/recovery_codes", data={"current_password": NEW_PASSWORD})
    browser.post("/recover", data={"username": "susan", "code": "abcd-efgh-jkmn"})
    browser.post(forget_and_find_link(browser, mailbox), data={"password": PASSWORD})

    assert changed.url.path != "/change_password"
    assert log_in(any_site.browser()).url.path == "/"
    assert Counter(any_site.argon2.runs) == {"hash": 4 + 10, "verify": 4 + 2}
    assert held == {"while hashing": 0}


def test_whatever_hashes_for_a_request_hands_over_its_session() -> None:
    """So that its connection is free meanwhile: only the hasher hashes, and it has no other way to do it."""
    files = {file: file.read_text() for file in (ROOT / "webapp").rglob("*.py")}

    assert [file for file, text in files.items() if re.search(r"\.(hash|is_right|matching)\(\s*None", text)] == []
    assert {file.name for file, text in files.items() if "from argon2" in text} == {"hasher.py", "hashes.py"}


@deep
def test_a_guess_without_a_place_runs_no_statement(site: Site, mailbox: Mailbox) -> None:
    """C65"""
    register(site.browser(), mailbox)
    site.app.state.hasher = Hasher(site.argon2, most_of_strangers=0)
    code = {"username": "susan", "code": "abcd-efgh-jkmn"}

    with statements(site) as run:
        answers = [log_in(site.browser()), site.browser().post("/recover", data=code)]

    assert [answer.status_code for answer in answers] == [503, 503]
    assert run == []


@pytest.mark.postgresql
@pytest.mark.parametrize("path", ["/login", "/recover", "/reset_password_request", "/register"])
@deep
def test_strangers_who_wait_at_the_database_leave_connections_to_others(
    postgres_url: str, make_settings: Callable[..., Settings], start_site: Callable[[Settings], Site], path: str
) -> None:
    """C65: all of these count what was typed in one row, which somebody holds; a process has eight connections."""
    typed = {"username": "nobody_here", "email": "nobody@example.org", "password": "a guess", "code": "abcd-efgh-jkmn"}
    site = start_site(make_settings(database_url=postgres_url))
    assert site.mailbox
    register(site.browser(), site.mailbox)
    owner = site.browser(follow_redirects=False)
    log_in(owner)
    execute(site, "DELETE FROM limit_window")  # what her own log-ins count is nobody else's to hold
    site.browser().post(path, data=typed)

    async def hold() -> asyncpg.Connection:
        holder = await asyncpg.connect(postgres_url.replace("+asyncpg", ""))
        await holder.execute("BEGIN; SELECT 1 FROM limit_window FOR UPDATE")
        return holder

    async def wait_for_waiting(holder: asyncpg.Connection) -> None:
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        async with asyncio.timeout(PATIENCE):
            while site.app.state.database.visitors < 12 or await holder.fetchval(waiting) < places.MOST_AT_DATABASE:
                await asyncio.sleep(0.01)

    async def let_go(holder: asyncpg.Connection) -> None:
        await holder.close()

    holder = site.run(hold)
    with ThreadPoolExecutor(12) as strangers:
        answers = [strangers.submit(site.browser().post, path, data=typed) for _number in range(12)]
        site.run(wait_for_waiting, holder)
        hers = log_in(owner).status_code
        site.run(let_go, holder)

    assert hers == 303
    assert {answer.result().status_code for answer in answers} <= {200, 422, 429, 503}, (
        "after six seconds a statement gives up"
    )


@deep
async def test_one_visitor_has_no_more_than_a_share_of_the_places(anyio_backend: str) -> None:
    """C65: by client_ip, and by account over many of them."""
    hasher = Hasher(most_of_one=3)
    of_one_ip = [hasher.hash(None, "correct horse", "192.0.2.1", f"account {number}") for number in range(8)]
    of_one_account = [hasher.hash(None, "correct horse", f"198.51.100.{number}", "susan") for number in range(8)]

    results = await asyncio.gather(*of_one_ip, *of_one_account, return_exceptions=True)
    afterwards = await hasher.hash(None, "correct horse", "192.0.2.1", "susan")

    assert [isinstance(result, Busy) for result in results] == ([False] * 3 + [True] * 5) * 2
    assert hashes.is_sound(afterwards), "every place was given back"


async def guess(hasher: Hasher, stored: str, *by: str) -> bool:
    """A guess from a browser that the account isn't known by."""
    with hasher.place(*by, by_stranger=True) as place:
        return await place.matching(None, "guess", stored) is not None


async def test_a_stranger_with_65536_networks_has_the_places_of_one(anyio_backend: str) -> None:
    """C65: an IPv6 /48."""
    hasher = Hasher(most_of_one=3)
    stored = await hasher.hash(None, "correct horse")
    guesses = [guess(hasher, stored, f"2001:db8:48:{number}::/64", f"account {number}") for number in range(8)]

    results = await asyncio.gather(*guesses, guess(hasher, stored, "2001:db8:49:1::/64"), return_exceptions=True)

    assert Counter(map(type, results[:8])) == {bool: 3, Busy: 5}
    assert results[8] is False


@deep
async def test_strangers_together_leave_places_to_people_who_are_known(anyio_backend: str) -> None:
    """C65: however many networks they have."""
    hasher = Hasher(most_waiting=8, most_of_strangers=5)
    stored = await hasher.hash(None, "correct horse")
    guesses = [guess(hasher, stored, f"198.51.100.{number}") for number in range(20)]
    hers = [
        hasher.is_right(None, "correct horse", stored, "192.0.2.1", "susan"),
        hasher.hash(None, "correct horse", "192.0.2.2"),
    ]

    results = await asyncio.gather(*guesses, *hers, return_exceptions=True)

    assert Counter(map(type, results[:20])) == {bool: 5, Busy: 15}
    assert results[20] is True
    assert hashes.is_sound(str(results[21]))
    assert not await guess(hasher, stored, "198.51.100.1"), "every place was given back"


async def test_newcomers_together_leave_places_to_people_who_are_known(anyio_backend: str) -> None:
    """C65: however many registration links somebody has gathered, and however many strangers there are beside."""
    hasher = Hasher(most_waiting=9, most_of_strangers=5, most_of_newcomers=3)
    stored = await hasher.hash(None, "correct horse")
    guesses = [guess(hasher, stored, f"198.51.100.{number}") for number in range(20)]
    come = [hasher.hash(None, "correct horse", f"203.0.113.{number}", by_newcomer=True) for number in range(20)]
    hers = hasher.is_right(None, "correct horse", stored, "192.0.2.1", "susan")

    results = await asyncio.gather(*guesses, *come, hers, return_exceptions=True)

    assert Counter(map(type, results[20:40])) == {str: 3, Busy: 17}
    assert results[40] is True


@pytest.mark.parametrize("mode", ["open", "approval"])
def test_whoever_registers_takes_a_place_of_newcomers(
    make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[[Settings], Site], mode: str
) -> None:
    """C65: by a link, or as somebody whom an admin has yet to let in."""
    site = start_site(make_settings(database_url=sqlite_url, registration=mode, admins=("susan@example.com",)))
    assert site.mailbox
    site.app.state.hasher = Hasher(site.argon2, most_of_newcomers=0)
    visitor = site.browser()
    visitor.post("/register", data={"email": "david@example.com"})
    form = {"username": "david", "password": PASSWORD, "why": "I know susan."}

    answer = visitor.post(site.mailbox.link(to="david@example.com"), data=form)

    assert answer.status_code == 503


@deep
def test_when_strangers_have_all_their_places_known_browsers_and_links_still_work(site: Site, mailbox: Mailbox) -> None:
    """C65"""
    register(site.browser(), mailbox)
    owner = site.browser(follow_redirects=False)
    log_in(owner)
    site.app.state.hasher = Hasher(site.argon2, most_of_strangers=0)

    stranger = site.browser(follow_redirects=False)
    by_strangers = [
        log_in(stranger).status_code,
        log_in(owner, "nobody_here").status_code,
        stranger.post("/recover", data={"username": "susan", "code": "abcd-efgh-jkmn"}).status_code,
    ]
    by_owner = [
        log_in(owner).status_code,
        owner.post("/recover", data={"username": "susan", "code": "abcd-efgh-jkmn"}).status_code,
        owner.post("/recovery_codes", data={"current_password": PASSWORD}).status_code,
        stranger.post(forget_and_find_link(stranger, mailbox), data={"password": NEW_PASSWORD}).status_code,
    ]
    register(site.browser(), mailbox, "david")

    assert by_strangers == [503, 503, 503]
    assert by_owner == [303, 422, 200, 303]


@deep
async def test_waiting_client_ips_are_served_in_turn(anyio_backend: str) -> None:
    """C65: whoever comes last waits for one of each other client_ip, and not for all of theirs."""
    hasher, served = Hasher(), []

    async def be_served(client_ip: str, number: int) -> None:
        await hasher.hash(None, "correct horse", client_ip)
        served.append((client_ip, number))

    crowd = [be_served("192.0.2.1", number) for number in range(18)]
    await asyncio.gather(*crowd, be_served("192.0.2.2", 0))

    assert served.index(("192.0.2.2", 0)) <= 2 * WORKERS + 1, "threads end in the order they like"


@deep
async def test_people_who_are_known_are_served_before_all_strangers(anyio_backend: str) -> None:
    """C65"""
    hasher, served = Hasher(), []
    stored = await hasher.hash(None, "correct horse")

    async def be_served(by: str, *, is_stranger: bool) -> None:
        await (guess(hasher, stored, by) if is_stranger else hasher.hash(None, "correct horse", by))
        served.append(by)

    strangers = [be_served(f"198.51.100.{number}", is_stranger=True) for number in range(20)]
    await asyncio.gather(*strangers, be_served("susan", is_stranger=False))

    assert served.index("susan") <= 2 * WORKERS, "threads end in the order they like"


@deep
async def test_guesses_take_no_place_from_the_account_or_the_network_they_are_about(anyio_backend: str) -> None:
    """C65"""
    hasher = Hasher(most_of_one=3)
    stored = await hasher.hash(None, "correct horse")
    guesses = [guess(hasher, stored, "192.0.2.1", "susan") for _number in range(8)]
    hers = [hasher.is_right(None, "correct horse", stored, "192.0.2.1", "susan") for _number in range(3)]

    results = await asyncio.gather(*guesses, *hers, return_exceptions=True)

    assert Counter(map(type, results[:8])) == {bool: 3, Busy: 5}
    assert results[8:] == [True] * 3


@deep
async def test_a_visitor_who_leaves_while_waiting_frees_their_place(anyio_backend: str) -> None:
    hasher = Hasher()
    waiting = [asyncio.create_task(hasher.hash(None, "correct horse", "192.0.2.1")) for _number in range(12)]
    await asyncio.sleep(0)
    for task in waiting[1::2]:
        task.cancel()

    results = await asyncio.gather(*waiting, return_exceptions=True)
    afterwards = await asyncio.wait_for(
        asyncio.gather(*(hasher.hash(None, "correct horse") for _number in range(4))), 5
    )

    assert sum(isinstance(result, str) for result in results) >= 6
    assert len(afterwards) == 4


IMPORTED = argon2.PasswordHasher(time_cost=3, memory_cost=64, parallelism=2).hash(PASSWORD)
DEARER = argon2.PasswordHasher(time_cost=4, memory_cost=128, parallelism=1, type=argon2.Type.I).hash(PASSWORD)


@deep
def test_every_log_in_pays_what_the_costliest_imported_hash_costs(any_site: Site, mailbox: Mailbox) -> None:
    """C02, C12: the work is the same for imported accounts of either cost, for a new one, and for nobody's name."""
    lines = ["username,email,password_hash", f'peter,p@example.com,"{IMPORTED}"', f'david,d@example.com,"{DEARER}"']
    register(any_site.browser(), mailbox)
    add(any_site, "\n".join(lines))
    verified, seen = any_site.argon2.verified, {}

    for name in ("susan", "peter", "d@example.com", "nobdy"):
        verified.clear()
        log_in(any_site.browser(), name, "not the right password")
        seen[name] = [hashes.cost_of(str(stored)) for stored in verified]

    assert seen["susan"] == seen["peter"] == seen["d@example.com"] == seen["nobdy"]
    assert seen["susan"] == sorted({hashes.cost_of(IMPORTED), hashes.cost_of(DEARER), TODAYS})
    for name in ("susan", "peter", "david"):
        assert log_in(any_site.browser(), name).url.path == "/"


@deep
def test_costs_that_no_hash_has_any_more_are_no_longer_paid(site: Site) -> None:
    add(site, f'username,email,password_hash\npeter,p@example.com,"{IMPORTED}"\ndavid,d@example.com,"{DEARER}"')
    log_in(site.browser(), "peter")

    left = [tidied(site) for _time in range(2)][-1]

    assert left == [(hashes.cost_of(DEARER),)]


def test_an_import_of_too_many_costs_is_refused_whole(site: Site) -> None:
    lines = [f'person{number},{number}@example.com,"{hash_of(number)}"' for number in range(1, 5)]

    with pytest.raises(imports.Refused, match="more than 3 different costs"):
        add(site, "\n".join(["username,email,password_hash", *lines]))

    assert execute(site, "SELECT count(*) FROM user_account") == [(0,)]


def hash_of(number: int) -> str:
    return argon2.PasswordHasher(time_cost=number, memory_cost=64, parallelism=1).hash(PASSWORD)


def add(site: Site, text: str) -> None:
    async def work() -> None:
        async with site.app.state.database.session(is_writing=True) as db:
            assert await add_accounts(db, site.settings, text) == []
            await db.commit()

    site.run(work)


def tidied(site: Site) -> list[tuple[Any, ...]]:
    site.run(CleanupTask(HashCost, users.unused_hash_costs).run_batch, site.app.state.database)
    return execute(site, "SELECT cost FROM hash_cost")
