"""How often is too often: counted once for all processes, for the client_ip that asks, until the window ends."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import time_machine
from starlette.requests import Request

from tests.depth import deep, one_in
from tests.moments import START
from tests.sites import Site
from tests.stories import ask_for_reset
from tests.watching import execute, standing_site, table
from webapp import rate_limits
from webapp.rate_limits import Limit, Rate, TooOften
from webapp.settings import Settings
from webapp.web import client_ip

TWICE = (Rate(2, 60),)


@pytest.fixture(scope="module")
def site(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with standing_site(migrated_sqlite, tmp_path_factory.mktemp("limits"), mailer="process") as site:
        yield site


async def use(site: Site, who: str, rates: tuple[Rate, ...] = TWICE, name: str = "knock") -> int:
    """Counts one use; returns 0, or the seconds to wait."""
    async with site.app.state.database.session(is_writing=True) as db:
        try:
            await rate_limits.count(db, site.settings, (Limit(name, rates), who))
        except TooOften as refused:
            await db.rollback()
            return refused.seconds
        await db.commit()
        return 0


def at(second: float) -> time_machine.travel:
    return time_machine.travel(START + second, tick=False)


@deep
def test_a_window_ends_after_its_seconds(any_site: Site) -> None:
    waits = []

    for second in (0, 30, 31, 59, 60, 61, 62, 120):
        with at(second):
            waits.append(any_site.run(use, any_site, "susan"))

    assert waits == [0, 0, 29, 1, 0, 0, 58, 0]


@deep
@pytest.mark.parametrize("ahead", [86_400, 3600, 700])
@pytest.mark.alike
def test_a_window_that_a_wrong_clock_began_is_over_with_it(any_site: Site, ahead: int) -> None:
    with at(ahead):
        waits_ahead = [any_site.run(use, any_site, "susan") for _knock in range(3)]
    with at(0):
        waits = [any_site.run(use, any_site, "susan") for _knock in range(3)]

    assert waits_ahead == waits == [0, 0, 60]


@pytest.mark.parametrize("ahead", [30, 120, 500])
@pytest.mark.alike
def test_clocks_that_differ_by_minutes_open_no_window_anew(any_site: Site, ahead: int) -> None:
    """Two machines at which somebody knocks in turns, which a load balancer has them do."""
    waits = []
    for _turn in range(3):
        for second in (ahead, 0):
            with at(second):
                waits.append(any_site.run(use, any_site, "susan"))

    assert waits == [0, 0, 60, 60 + ahead, 60, 60 + ahead]


@pytest.mark.alike
def test_what_was_refused_is_not_counted(any_site: Site) -> None:
    """Nobody stretches another's wait by knocking."""
    with at(0):
        waits = [any_site.run(use, any_site, "susan") for _knock in range(20)]
        before = execute(any_site, "SELECT count, ends FROM limit_window")

    with at(60):
        after = any_site.run(use, any_site, "susan")

    assert waits == [0, 0] + [60] * 18
    assert before == [(2, START + 60)]
    assert after == 0


@pytest.mark.alike
def test_the_longest_wait_of_several_rates_is_named(any_site: Site) -> None:
    rates = (Rate(1, 10), Rate(2, 100))
    waits = []

    for second in (0, 1, 10, 20, 99, 100):
        with at(second):
            waits.append(any_site.run(use, any_site, "susan", rates))

    assert waits == [0, 9, 0, 80, 1, 0]


@pytest.mark.alike
def test_each_person_has_a_separate_count(any_site: Site) -> None:
    with at(0):
        waits = [any_site.run(use, any_site, who) for who in ("a", "b", "a", "b", "a", "b", "c")]
        other = any_site.run(use, any_site, "a", TWICE, "ring")

    assert waits == [0, 0, 0, 0, 60, 60, 0]
    assert other == 0


@pytest.mark.parametrize("size", [50])
def test_of_many_at_once_no_more_than_allowed_get_through(any_site: Site, size: int) -> None:
    """C53, C10: counted by the database, so by all connections and processes together."""
    rates = (Rate(7, 3600), Rate(30, 7200))
    connections = asyncio.Semaphore(8)  # as many as a process has: who waits for one gives up after a few seconds

    async def use_one() -> int:
        async with connections:
            return await use(any_site, "susan", rates)

    async def crowd() -> list[int]:
        return await asyncio.gather(*(use_one() for _number in range(size)))

    waits: list[int] = any_site.run(crowd)  # type: ignore[assignment]

    assert sum(wait == 0 for wait in waits) == 7
    assert sorted(execute(any_site, "SELECT count FROM limit_window")) == [(7,), (7,)]


@deep
def test_two_processes_count_together(
    any_site: Site, start_site: Callable[[Settings], Site], make_settings: Callable[..., Settings]
) -> None:
    other = start_site(make_settings(database_url=any_site.settings.database_url, mailer="process"))

    statuses = [
        ask_for_reset(site.browser(follow_redirects=False), "susan").status_code for site in (any_site, other, any_site)
    ]

    assert statuses == [303, 429, 429]


@pytest.mark.alike
def test_the_table_does_not_tell_who_asked(any_site: Site) -> None:
    ask_for_reset(any_site.browser(network="198.51.100.77"), "susan@example.com")

    stored = repr(table(any_site, "limit_window"))

    assert "limit" not in stored
    assert "susan" not in stored
    assert "198.51.100" not in stored


def request_from(site: Site, peer: str | None, *forwarded: str) -> Request:
    headers = [(b"x-forwarded-for", line.encode("latin-1")) for line in forwarded]
    client = (peer, 50000) if peer else None
    return Request({"type": "http", "headers": headers, "client": client, "app": site.app})


@pytest.fixture(scope="module", params=[0, 1, 2])
def hops(
    request: pytest.FixtureRequest, migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("hops")
    with standing_site(migrated_sqlite, folder, trusted_proxies=request.param, mailer="process") as site:
        yield site


LIES = [
    [],
    ["1.2.3.4"],
    ["1.2.3.4, 5.6.7.8"],
    ["1.2.3.4", "5.6.7.8"],
    ["", ","],
    ["nonsense, 127.0.0.1"],
    ["::1"],
    ["9.9.9.9, " * 200 + "9.9.9.9"],
    ["10.0.0.1;DROP TABLE"],
]


@pytest.mark.parametrize("lies", LIES, ids=repr)
def test_what_a_visitor_writes_never_changes_the_client_ip(hops: Site, lies: list[str]) -> None:
    """C53: each trusted proxy adds one entry at the right end; whatever is left of them is the visitor's own words."""
    trusted = hops.settings.trusted_proxies
    chain = ["203.0.113.9", "192.0.2.1", "192.0.2.2"]  # the visitor, and the proxies on the way
    added = [", ".join(chain[:trusted])] if trusted else []

    told = client_ip.of(request_from(hops, chain[trusted], *lies, *added))

    assert told == "203.0.113.9"


@deep
@pytest.mark.parametrize("lie", ["1.2.3.4", "9.9.9.9, 8.8.8.8", "::1", "x"])
@one_in(4)
def test_a_spoofed_header_is_no_way_round_a_limit(hops: Site, lie: str) -> None:
    """C53, over HTTP: twenty emails an hour for a network, under whatever names it says to have."""
    trusted = hops.settings.trusted_proxies
    execute(hops, "DELETE FROM limit_window")
    behind = ", ".join(["203.0.113.9", "192.0.2.1"][:trusted])
    statuses = []

    for number in range(21):
        browser = hops.browser(f"{lie}{number}, {behind}" if trusted else f"{lie}{number}", follow_redirects=False)
        statuses.append(ask_for_reset(browser, f"somebody{number}@example.com").status_code)

    # Starlette's test client has no address of its own: without proxies all of it is one network.
    assert statuses == [303] * 20 + [429]


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("fe80::1%eth0", "fe80::/64"),
        ("203.0.113.9:50123", "203.0.113.9"),
        ("[2001:db8:1:2::3]:50123", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::3]", "2001:db8:1:2::/64"),
        ("2001:db8::1:80", "2001:db8::/64"),
        ("203.0.113.9:x", "unknown"),
        ("not an address", "unknown"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_a_client_ip_is_an_ipv4_address_or_an_ipv6_64(site: Site, peer: str | None, network: str) -> None:
    """C53: a household with IPv6 has 2^64 addresses, and one count."""
    as_peer = client_ip.of(request_from(site, peer))
    forwarded = client_ip.of(request_from(site, "10.0.0.1", "1.2.3.4", peer or "-"))

    assert (as_peer, forwarded) == (network, network)


def test_fewer_entries_than_proxies_is_no_way_round_either(migrated_sqlite: Path, tmp_path: Path) -> None:
    """Somebody who reaches the site past one of its two proxies counts as the one who speaks to it."""
    with standing_site(migrated_sqlite, tmp_path, trusted_proxies=2, mailer="process") as site:
        assert client_ip.of(request_from(site, "192.0.2.1", "1.2.3.4")) == "192.0.2.1"
        assert client_ip.of(request_from(site, "192.0.2.1")) == "192.0.2.1"


@pytest.mark.alike
def test_a_wait_is_a_whole_number_of_seconds_and_never_none(any_site: Site) -> None:
    with at(0.25):
        any_site.run(use, any_site, "susan", (Rate(1, 60),))

    with at(60.2):
        wait = any_site.run(use, any_site, "susan", (Rate(1, 60),))

    assert wait == 1


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "1 second"),
        (40, "40 seconds"),
        (59, "59 seconds"),
        (60, "1 minute"),
        (61, "2 minutes"),
        (299, "5 minutes"),
        (300, "5 minutes"),
        (3540, "59 minutes"),
        (3541, "1 hour"),
        (3600, "1 hour"),
        (3601, "2 hours"),
        (86399, "1 day"),
        (86400, "1 day"),
        (30 * 86400, "30 days"),
    ],
)
def test_a_wait_is_said_as_people_say_it_and_never_too_short(seconds: int, words: str) -> None:
    assert TooOften(seconds).wait == words
