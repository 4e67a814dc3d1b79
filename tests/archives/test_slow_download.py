"""A download that takes long breaks off once the session in which it was asked for has ended (C33, C68)."""

from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlencode

import pytest
from anyio.to_thread import run_sync
from sqlalchemy import insert

from tests.archives.test_export import PROOF, ask, wait_until_ready
from tests.depth import deep, one_in
from tests.mailbox import Mailbox
from tests.sites import Browser, Site
from tests.stories import NEW_PASSWORD, log_in, register
from tests.watching import execute
from webapp.archives.models import ExportChunk

MORE = 3  # pieces of a byte, after all that there is
ENDINGS: dict[str, tuple[str, dict[str, str]]] = {
    "log out everywhere else": ("/sessions/end_others", {}),
    "a new password": ("/change_password", PROOF | {"password": NEW_PASSWORD}),
    "one session ended": ("/sessions/2/end", {}),
    "the account deleted": ("/delete_account", PROOF | {"username": "susan"}),
}


@pytest.fixture
def two(any_site: Site, mailbox: Mailbox) -> tuple[Browser, Browser]:
    """A thief and the owner, in this order, and a file that has several pieces."""
    register(any_site.browser(), mailbox)
    log_in(thief := any_site.browser())
    log_in(owner := any_site.browser())
    ask(owner)
    wait_until_ready(any_site)
    rows = [{"export_id": 1, "number": 1 + number, "content": b"!"} for number in range(MORE)]
    execute(any_site, insert(ExportChunk).values(rows))
    execute(any_site, f"UPDATE account_export SET size = size + {MORE}")
    return thief, owner


async def read_slowly(site: Site, browser: Browser, meanwhile: Callable[[], object]) -> tuple[int, bytes, bool]:
    """How much is promised, and what arrives when something happens after the first piece; and if that was all."""
    pieces: list[bytes] = []
    length, is_whole = 0, False
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.cookies.jar)
    headers = {"host": "blog.example", "origin": "https://blog.example", "cookie": cookies}
    headers["content-type"] = "application/x-www-form-urlencoded"
    scope: dict[str, Any] = {"type": "http", "http_version": "1.1", "method": "POST", "scheme": "https"}
    scope |= {"path": "/export/download", "raw_path": b"/export/download", "query_string": b"", "root_path": ""}
    scope |= {"headers": [(name.encode(), value.encode()) for name, value in headers.items()]}
    scope |= {"client": ("127.0.0.1", 1), "server": ("blog.example", 443), "asgi": {"spec_version": "2.4"}}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": urlencode(PROOF).encode(), "more_body": False}

    async def send(message: Any) -> None:
        nonlocal length, is_whole
        if message["type"] == "http.response.start":
            length = int(dict(message["headers"])[b"content-length"])
            return
        pieces.append(message["body"])
        is_whole = not message["more_body"]
        if len(pieces) == 1:
            await run_sync(meanwhile)

    await site.app(scope, receive, send)
    return length, b"".join(pieces), is_whole


def read(site: Site, browser: Browser, meanwhile: Callable[[], object]) -> tuple[int, bytes, bool]:
    return site.run(partial(read_slowly, site, browser, meanwhile))  # type: ignore[return-value]


@deep
@pytest.mark.alike
@pytest.mark.parametrize("ending", ENDINGS)
@one_in(6)
def test_it_breaks_off_once_the_session_has_ended(any_site: Site, two: tuple[Browser, Browser], ending: str) -> None:
    thief, owner = two
    path, form = ENDINGS[ending]

    promised, arrived, is_whole = read(any_site, thief, lambda: owner.post(path, data=form))

    assert (promised - len(arrived), is_whole) == (MORE, False)


@deep
def test_it_goes_on_while_others_are_logged_out(any_site: Site, two: tuple[Browser, Browser]) -> None:
    thief, owner = two

    promised, arrived, is_whole = read(any_site, owner, lambda: thief.post("/logout"))

    assert (promised - len(arrived), is_whole) == (0, True)
