"""Nobody tells from the time that an answer takes who is here."""

import asyncio
import gc
import itertools
import math
import random
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.imported import add_accounts
from tests.reliability.conftest import Figure
from tests.sites import Site
from tests.watching import execute, standing_site
from webapp.passwords.hasher import ARGON2

# The fields of each form; {} is the address of somebody who is here, or of nobody.
FORMS = {
    "/reset_password_request": {"email": "{}"},
    "/register": {"email": "{}"},
    "/login": {"username": "{}", "password": "not the right password"},
    "/recover": {"username": "{}", "code": "2222-2222-2222"},
}
# Of a password that nobody remembers.
SOUND_HASH = "$argon2id$v=19$m=19456,t=2,p=1$VufvwlOlSSKR5lKTbW9mNw$3jq8EoreQK3lIrfObrp84uXFnHbswLnSM0DUHLjYRZs"
# Who is compared with whom.
HERE, GUARDED = ("person", "nobody"), ("guarded", "plain")
AN_APP = """
    INSERT INTO factor (user_id, kind, secret, sealed_with, last_step, spent_ahead, created_at)
    SELECT id, 'app', 'x', 'x', 0, '', created_at FROM user_account WHERE username LIKE 'guarded{}x%'
"""
A_PASSKEY = """
    INSERT INTO passkey (user_id, epoch, credential_id, public_key, handle, name, counter, is_synced, created_at)
    SELECT id, epoch, username, 'AAAA', username, 'A phone', 0, false, created_at
    FROM user_account WHERE username LIKE 'guarded{}x%'
"""
# On a machine that does other things meanwhile, even the best statistics are wrong now and then.
pytestmark = pytest.mark.soak
_numbers = itertools.count(1)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def site(
    request: pytest.FixtureRequest, migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A site whose emails are sent by a process of their own: nothing but answers is measured. It hashes at the real
    cost, as do the hashes of those who are here.
    """
    url = request.getfixturevalue("standing_postgres_url") if request.param == "postgresql" else None
    changes = {"mailer": "process"} | ({"database_url": url} if url else {})
    with standing_site(migrated_sqlite, tmp_path_factory.mktemp("timed"), ARGON2, **changes) as site:
        yield site


@pytest.mark.parametrize(
    ("form", "password_hash", "pairs"),
    [
        pytest.param("/reset_password_request", SOUND_HASH, 250, id="request"),
        pytest.param("/login", SOUND_HASH, 20, id="log-in"),
        pytest.param("/login", "", 15, id="log-in of an account without a password"),
        pytest.param("/recover", SOUND_HASH, 15, id="recovery code"),
        pytest.param("/reset_password_request", SOUND_HASH, 2000, id="full request"),
        pytest.param("/register", SOUND_HASH, 2000, id="full register"),
        pytest.param("/login", SOUND_HASH, 700, id="full log-in"),
    ],
)
def test_the_time_of_an_answer_does_not_tell_who_is_here(
    site: Site, form: str, password_hash: str, pairs: int, figure: Figure
) -> None:
    """C03"""
    told = auc_of(site, site.app, form, pairs, password_hash)
    if not is_chance(told, pairs):  # as it may look on a busy machine
        told = auc_of(site, site.app, form, pairs, password_hash)

    figure("C03", f"AUC {told:.3f} in {pairs} pairs")
    assert is_chance(told, pairs)


@pytest.mark.parametrize(
    ("form", "pairs"), [("/reset_password_request", 2000), ("/login", 700)], ids=["request", "log-in"]
)
def test_the_time_of_an_answer_does_not_tell_who_has_a_second_step(
    site: Site, form: str, pairs: int, figure: Figure
) -> None:
    """C03, for a stranger who doesn't know the password: an account with an app and a passkey, and one without."""
    told = auc_of(site, site.app, form, pairs, SOUND_HASH, GUARDED)
    if not is_chance(told, pairs):
        told = auc_of(site, site.app, form, pairs, SOUND_HASH, GUARDED)

    figure("C03", f"AUC {told:.3f} in {pairs} pairs of accounts with and without a second step")
    assert is_chance(told, pairs)


def test_a_millisecond_more_would_be_found(site: Site, figure: Figure) -> None:
    """C03: the control."""
    told = auc_of(site, telling(site.app), "/reset_password_request", 250, SOUND_HASH)
    if is_chance(told, 250):
        told = auc_of(site, telling(site.app), "/reset_password_request", 250, SOUND_HASH)

    figure("C03", f"AUC {told:.3f} in 250 pairs with a millisecond planted")
    assert told > 0.5
    assert not is_chance(told, 250)


def is_chance(auc: float, pairs: int) -> bool:
    """Whether two samples that are alike may give such an AUC: 3.3 standard deviations (Hanley and McNeil, 1982)."""
    return abs(auc - 0.5) <= max(0.03, 3.3 * math.sqrt(1 / (6 * pairs)))


def telling(app: ASGIApp) -> ASGIApp:
    """The site with a leak: a millisecond more for each address that somebody has."""

    async def slower(scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        if b"person" in message["body"]:
            await asyncio.sleep(0.001)

        async def again() -> Message:
            return message

        await app(scope, again, send)

    return slower


def auc_of(site: Site, app: ASGIApp, form: str, pairs: int, password_hash: str, whom: tuple[str, str] = HERE) -> float:
    """How often a random answer about the first took longer than a random one about the second."""
    run = next(_numbers)
    execute(site, "DELETE FROM limit_window")
    execute(site, "DELETE FROM outbox_email")
    for who in set(whom) - {"nobody"}:
        site.run(add_people, site, run, pairs, password_hash, who)
    if whom == GUARDED:
        execute(site, AN_APP.format(run))
        execute(site, A_PASSKEY.format(run))
    times: tuple[list[float], list[float]] = site.run(measured, app, form, run, pairs, whom)  # type: ignore[assignment]
    here, nowhere = times[0], sorted(times[1])
    return sum(bisect_left(nowhere, one) + bisect_right(nowhere, one) for one in here) / (2 * len(here) * len(nowhere))


async def add_people(site: Site, run: int, count: int, password_hash: str, who: str) -> None:
    lines = [f'{who}{run}x{number},{address(who, run, number)},"{password_hash}"' for number in range(count)]
    async with site.app.state.database.session(is_writing=True) as db:
        assert await add_accounts(db, site.settings, "\n".join(["username,email,password_hash", *lines])) == []
        await db.commit()


def address(who: str, run: int, number: int) -> str:
    return f"{who}{run:03}x{number:04}@example.com"


async def measured(
    app: ASGIApp, form: str, run: int, pairs: int, whom: tuple[str, str]
) -> tuple[list[float], list[float]]:
    """The seconds of the answers about the first and about the second, asked in turn."""
    times: dict[str, list[float]] = {who: [] for who in whom}
    gc.collect()
    gc.disable()
    for number in range(pairs):
        for who in random.sample(whom, 2):
            times[who].append(await seconds(app, form, address(who, run, number)))
    gc.enable()
    return times[whom[0]], times[whom[1]]


async def seconds(app: ASGIApp, form: str, typed: str) -> float:
    """From the request to the last byte of its answer, for somebody from a network of their own."""
    number = next(_numbers)
    body = urlencode({name: text.format(typed) for name, text in FORMS[form].items()}).encode()
    ended: list[float] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] in {303, 422}
        elif not message.get("more_body"):
            ended.append(time.perf_counter())

    began = time.perf_counter()
    await app(scope_of(form, f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"), receive, send)
    return ended[0] - began


def scope_of(path: str, network: str) -> dict[str, Any]:
    headers = {
        "host": "blog.example",
        "x-forwarded-for": network,
        "content-type": "application/x-www-form-urlencoded",
    }
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
    }
