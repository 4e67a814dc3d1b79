"""Nobody's crowd of requests keeps another person waiting, or costs more hashes than it must (C65)."""

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import asyncpg
import pytest
import time_machine

from tests.depth import deep
from tests.mailbox import Mailbox
from tests.moments import START
from tests.sites import Browser, Site
from tests.stories import NEW_PASSWORD, PASSWORD, is_logged_in, log_in, register
from tests.watching import execute
from webapp.settings import Settings

CROWD = 90
WRONG = "not the right password"
Post = Callable[[int], int]


@pytest.fixture
def registration_link(site: Site, mailbox: Mailbox) -> str:
    register(site.browser(), mailbox, "susan")
    site.browser().post("/register", data={"email": "new@example.com"})
    return mailbox.link("new@example.com")


def crowd_beside_a_log_in(site: Site, post: Post) -> tuple[Counter[int], int]:
    """What a crowd was answered that came at once, and what susan was, who logs in from elsewhere behind it."""
    owner = site.browser(follow_redirects=False)

    def come(number: int) -> int:
        return log_in(owner).status_code if number == CROWD else post(number)

    with ThreadPoolExecutor(CROWD + 1) as people:
        *crowd, hers = people.map(come, range(CROWD + 1))
    return Counter(crowd), hers


def browsers(site: Site, network: str) -> list[Browser]:
    return [site.browser(network, follow_redirects=False) for _number in range(CROWD)]


@pytest.mark.dear_passwords
@deep
def test_ninety_posts_of_one_link_with_a_taken_name_cost_no_hash(site: Site, registration_link: str) -> None:
    crowd = browsers(site, "198.51.100.7")
    site.argon2.runs.clear()

    def post(number: int) -> int:
        fields = {"username": "Susan", "password": "a long enough phrase"}
        return crowd[number].post(registration_link, data=fields).status_code

    answers, hers = crowd_beside_a_log_in(site, post)

    assert (answers, hers) == ({422: 10, 429: CROWD - 10}, 303)
    assert site.argon2.runs == ["verify"], "the log-in's"


@pytest.mark.dear_passwords
@deep
def test_of_ninety_posts_of_one_link_with_free_names_only_the_first_is_hashed(
    site: Site, registration_link: str
) -> None:
    crowd = browsers(site, "198.51.100.7")
    site.argon2.runs.clear()

    def post(number: int) -> int:
        fields = {"username": f"heron_{number}", "password": "a long enough phrase"}
        return crowd[number].post(registration_link, data=fields).status_code

    answers, hers = crowd_beside_a_log_in(site, post)

    assert (answers, hers) == ({303: 1, 410: CROWD - 1}, 303)
    assert sorted(site.argon2.runs) == ["hash", "verify"]


@pytest.mark.dear_passwords
@pytest.mark.parametrize("path", ["/change_password", pytest.param("/recovery_codes", marks=pytest.mark.deep)])
@deep
def test_a_members_ninety_changes_at_once_are_limited_and_leave_a_neighbours_log_in_alone(
    site: Site, mailbox: Mailbox, path: str
) -> None:
    register(site.browser(), mailbox, "susan")
    register(site.browser(), mailbox, "david")
    david = site.browser("198.51.100.7", follow_redirects=False)
    log_in(david, "david")

    def post(number: int) -> int:
        return david.post(path, data={"current_password": PASSWORD, "password": NEW_PASSWORD}).status_code

    answers, hers = crowd_beside_a_log_in(site, post)

    assert hers == 303
    assert answers[429] > 0
    assert 503 not in answers


@deep
def test_of_right_passwords_none_is_refused_however_many_come_in_a_row_or_at_once(
    any_site: Site, mailbox: Mailbox
) -> None:
    register(any_site.browser(), mailbox)
    in_a_row = [log_in(any_site.browser("198.51.100.7", follow_redirects=False)).status_code for _time in range(8)]
    at_once = [any_site.browser("198.51.100.7", follow_redirects=False) for _number in range(12)]

    with ThreadPoolExecutor(12) as people:
        answers = list(people.map(lambda browser: log_in(browser).status_code, at_once))

    assert in_a_row == [303] * 8
    assert answers == [303] * 12


@pytest.mark.postgresql
@deep
def test_a_log_in_and_a_reset_of_one_account_never_wait_for_each_other_in_a_circle(
    postgres_url: str, make_settings: Callable[..., Settings], start_site: Callable[[Settings], Site]
) -> None:
    """Both write to the account's row and to its counts of tries: PostgreSQL would end one of them, with 503."""
    site = start_site(make_settings(database_url=postgres_url))
    assert site.mailbox
    register(site.browser(), site.mailbox)

    async def begin() -> asyncpg.Connection:
        reset = await asyncpg.connect(postgres_url.replace("+asyncpg", ""))
        await reset.execute("BEGIN; UPDATE user_account SET last_seen_at = last_seen_at")
        return reset

    async def go_on(reset: asyncpg.Connection, log_in: Future[Any]) -> None:
        """Once the log-in waits for the reset, or is done without."""
        waits = "SELECT 1 FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
        while not (log_in.done() or await reset.fetchval(waits)):
            await asyncio.sleep(0.01)
        assert not log_in.done()
        await reset.execute("DELETE FROM limit_window; COMMIT")
        await reset.close()

    with ThreadPoolExecutor(1) as person:
        reset = site.run(begin)
        answer = person.submit(log_in, site.browser(follow_redirects=False))
        site.run(go_on, reset, answer)

        assert answer.result().status_code == 303


@deep
def test_the_current_password_given_right_five_times_leaves_the_log_in_open(site: Site, mailbox: Mailbox) -> None:
    register(site.browser(), mailbox)
    browser = site.browser()
    log_in(browser)

    statuses = [browser.post("/recovery_codes", data={"current_password": PASSWORD}).status_code for _time in range(6)]
    again = log_in(browser)

    assert statuses == [200] * 5 + [429]
    assert (again.status_code, is_logged_in(browser)) == (200, True)


def guesses(site: Site, typed: str, times: int, at: float = START) -> list[int]:
    """Wrong passwords, each from a client_ip of its own."""
    with time_machine.travel(at, tick=False):
        return [log_in(site.browser(), typed, WRONG).status_code for _time in range(times)]


@pytest.mark.parametrize("typed", ["susan", "susan@example.com", "nobody", "nobody@example.com"])
@deep
def test_after_fifty_failures_in_a_row_from_anywhere_a_guesser_has_one_try_a_minute(
    site: Site, mailbox: Mailbox, typed: str
) -> None:
    """C12: an account has two things to type, so a hundred in all; and the same for who is not here."""
    register(site.browser(), mailbox)

    first = guesses(site, typed, 52)
    later = guesses(site, typed, 3, START + 61)

    assert first == [422] * 50 + [429] * 2
    assert later == [422, 429, 429]


@deep
def test_a_thousand_networks_lock_nobody_out_of_a_known_browser_or_behind_a_reset(site: Site, mailbox: Mailbox) -> None:
    """C12"""
    address = register(site.browser(), mailbox)
    known = site.browser()
    log_in(known)
    guesses(site, "susan", 60)
    guesses(site, address, 60)

    with time_machine.travel(START, tick=False):
        in_known = log_in(known)
        elsewhere = log_in(site.browser())
    known.post("/change_password", data={"current_password": PASSWORD, "password": NEW_PASSWORD})
    with time_machine.travel(START, tick=False):
        after_change = log_in(site.browser(), password=NEW_PASSWORD)

    assert (in_known.status_code, in_known.url.path) == (200, "/")
    assert elsewhere.status_code == 200, "her log-in in the known browser ended the row of failures"
    assert after_change.url.path == "/"
    assert execute(site, "SELECT disabled_at FROM user_account") == [(None,)]
