"""What is heavy to read is refused before anybody else has to wait for it."""

import asyncio
import time
from collections.abc import Awaitable, Iterator
from itertools import count
from pathlib import Path

import httpx2
import pytest

from tests.depth import deep, one_in
from tests.sites import Site
from tests.stories import forget_and_find_link, register
from tests.watching import standing_site

LAG_SECONDS = 0.05
KIB = 1024
MOST = 64 * KIB
FORM, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"
PART = b'--x\r\nContent-Disposition: form-data; name="a%d"\r\n\r\n1\r\n'
NEST = b"--x\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
# As much of each kind as comes in whole.
HEAVY = {
    "one field": (FORM, b"username=" + b"a" * 64 * KIB),
    "an escaped field": (FORM, b"username=" + b"%61" * 21 * KIB),
    "a field of spaces": (FORM, b"username=" + b"+" * 64 * KIB),
    "a field of NUL": (FORM, b"username=" + b"%00" * 21 * KIB),
    "a broken escape": (FORM, b"username=" + b"%" * 64 * KIB),
    "names without values": (FORM, b"a&" * 32 * KIB),
    "nothing but ampersands": (FORM, b"&" * 64 * KIB),
    "nothing but equals signs": (FORM, b"=" * 64 * KIB),
    "brackets": (FORM, b"username" + b"[" * 60 * KIB + b"=x"),
    "many short fields": (FORM, b"&".join(b"a%d=1" % number for number in range(9000))),
    "an address of dots": (FORM, b"username=" + b"a." * 150 + b"@" + b"b." * 80 + b"c&password=x"),
    "an address of quotes": (FORM, b"username=" + b"%22" * 100 + b"@example.com&password=x"),
    "an address in Punycode": (FORM, b"username=a@xn--" + b"a9" * 100 + b".com&password=x"),
    "a password of marks": (FORM, b"username=susan&password=" + b"%CC%81" * 256),
    "many parts": (MULTIPART, b"".join(PART % number for number in range(1200)) + b"--x--"),
    "deep parts": (MULTIPART, NEST * 1300),
    "a boundary that nearly comes": (MULTIPART, b"\r\n--" * 16 * KIB),
    "deep JSON": ("application/json", b"[" * 64 * KIB),
}
PATHS = ["/login", "/register", "/reset_password_request"]
networks = count()


@pytest.fixture(scope="module")
def site(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with standing_site(migrated_sqlite, tmp_path_factory.mktemp("heavy")) as site:
        assert site.mailbox
        register(site.browser(), site.mailbox)
        site.app.state.link = forget_and_find_link(site.browser(), site.mailbox)
        yield site


async def lag_of(work: Awaitable[object]) -> float:
    """The longest time for which the event loop had no turn for anybody else during the work.

    In seconds of the processor, so that other work of a busy machine doesn't count.
    """
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        while True:
            began = time.thread_time()
            await asyncio.sleep(0.001)
            longest = max(longest, time.thread_time() - began)

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0.005)
    longest = 0.0
    await work
    await asyncio.sleep(0.002)
    ticking.cancel()
    return longest


async def send_to_all(site: Site, content_type: str, body: bytes) -> None:
    headers = {"content-type": content_type, "x-forwarded-for": f"203.0.113.{next(networks) % 250}"}
    transport = httpx2.ASGITransport(site.app)
    async with httpx2.AsyncClient(transport=transport, base_url=site.settings.base_url, headers=headers) as browser:
        for path in (*PATHS, site.app.state.link):
            answer = await browser.post(path, content=body)
            assert 400 <= answer.status_code < 500


@deep
@pytest.mark.parametrize("kind", HEAVY)
@one_in(3)
def test_a_heavy_body_holds_nobody_up(site: Site, kind: str) -> None:
    """C46: refused, and never 50 ms at a time. Sent again if it seems to, as a busy machine may look so."""
    content_type, body = HEAVY[kind]
    lags: list[float] = []

    while not lags or (lags[-1] > LAG_SECONDS and len(lags) < 4):
        lags.append(site.run(lag_of, send_to_all(site, content_type, body[:MOST])))  # type: ignore[arg-type]

    assert min(lags) < LAG_SECONDS


def test_the_probe_finds_what_holds_the_others_up(site: Site) -> None:
    """C46: the control."""

    async def block() -> None:
        began = time.thread_time()
        while time.thread_time() - began < LAG_SECONDS:
            pass

    lag = site.run(lag_of, block())

    assert isinstance(lag, float)
    assert lag >= LAG_SECONDS
