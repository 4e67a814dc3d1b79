"""The htmx headers are a wish about the answer's shape: they give nobody a right, and take none."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
import time_machine
from httpx2 import Response as Answer

from tests.depth import deep, one_in
from tests.sites import Browser, Site
from tests.stories import forget_and_find_link, log_in, register
from tests.test_sweeps import NAMES, PUBLIC, ROUTES, path_of
from tests.watching import dump, standing_site, wait_until_posted
from webapp.database import now

# Each header that htmx 4 has, and some that it had, with values that it would never send.
WISHES = [
    {"hx-request": "true", "hx-request-type": "partial"},
    {"hx-request": "true", "hx-request-type": "full", "hx-boosted": "true"},
    {
        "hx-request": "true",
        "hx-request-type": "partial",
        "hx-source": "button#admin",
        "hx-target": "section#panel",
        "hx-trigger": "admin",
        "hx-trigger-name": "admin",
        "hx-prompt": "yes",
        "hx-current-url": "https://blog.example/admin/mail",
        "hx-history-restore-request": "true",
    },
    {"hx-request": "TRUE, true", "hx-request-type": "everything", "hx-redirect": "/admin/mail", "hx-location": "/"},
]
WISH = pytest.mark.parametrize("wish", WISHES, ids=["part", "page", "all of them", "nonsense"])
FOR_EACH_ROUTE = WISHES[2:]  # what the others ask for is asked of every route in the sweeps, too
POSTS = [route.name for route in ROUTES if "POST" in (route.methods or ())]


@pytest.fixture(scope="module")
def site(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with standing_site(migrated_sqlite, tmp_path_factory.mktemp("wished"), admins=("host@example.com",)) as site:
        assert site.mailbox
        register(site.browser(), site.mailbox)
        site.app.state.link = forget_and_find_link(site.browser(), site.mailbox)
        yield site


@pytest.fixture
def stranger(site: Site) -> Browser:
    return site.browser(follow_redirects=False)


def sense(answer: Answer) -> tuple[int, str]:
    """What an answer says, whatever its shape: where it leads, or its status."""
    leads_to = answer.headers.get("hx-redirect", answer.headers.get("location", ""))
    return (303 if leads_to else answer.status_code), leads_to


@deep
@pytest.mark.parametrize("name", [name for name in NAMES if name not in PUBLIC])
@one_in(12)
def test_a_stranger_with_htmx_headers_gets_no_further(site: Site, stranger: Browser, name: str) -> None:
    """C40: neither sees nor does what wants a log-in."""
    before = dump(site)
    path = path_of(site, name)

    answers = [stranger.request(method, path, headers=wish) for wish in FOR_EACH_ROUTE for method in ("GET", "POST")]

    assert {sense(answer) for answer in answers} <= {(405, ""), (303, "/login"), (303, f"/login?next={path}")}
    assert not any("susan" in answer.text for answer in answers)
    assert dump(site) == before


@pytest.mark.parametrize("name", POSTS)
@deep
def test_an_empty_form_is_refused_all_the_same(site: Site, stranger: Browser, name: str) -> None:
    """C40: the same status, and no more words than the page has."""
    path = path_of(site, name)
    if name in {"check_email", "email_removal_link"}:  # an empty form is all it takes, but only once
        assert stranger.post(path).status_code == 303

    for wish in FOR_EACH_ROUTE:
        with time_machine.travel(now(), tick=False):  # forms say to the second when they were opened
            plain, wished = stranger.post(path), stranger.post(path, headers=wish)
            if sense(wished)[1] == path:  # the page itself says what is wrong with its link
                wished = stranger.get(path, headers=wish)

        assert sense(wished) == sense(plain)
        assert wished.text.strip() in plain.text


@WISH
@pytest.mark.parametrize("headers", [{"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}], ids=repr)
@deep
def test_another_site_with_htmx_headers_gets_no_further(
    site: Site, stranger: Browser, headers: dict[str, str], wish: dict[str, str]
) -> None:
    """C40, C29"""
    answers = [stranger.post(path_of(site, name), headers=headers | wish) for name in POSTS]

    assert {answer.status_code for answer in answers} == {403}


@WISH
@deep
def test_a_member_with_htmx_headers_is_still_no_admin(site: Site, wish: dict[str, str]) -> None:
    """C40, C36"""
    susan = site.browser(follow_redirects=False)
    log_in(susan)
    wait_until_posted(site)
    before = dump(site)
    hosts = [name for name in NAMES if "/admin/" in path_of(site, name)]

    answers = [susan.request(method, path_of(site, name), headers=wish) for name, method in pairs(hosts)]

    assert len(hosts) >= 4
    assert {answer.status_code for answer in answers} <= {403, 405}
    assert dump(site) == before


def pairs(names: list[str]) -> Iterator[tuple[str, str]]:
    return itertools.product(names, ["GET", "POST"])
