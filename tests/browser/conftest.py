"""People before real browsers."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserType

from tests.browser.listening import CHROMIUM, ListeningSite, free_socket, settings_for
from tests.browser.visitor import Visitor
from tests.missing import unavailable
from tests.sites import CHEAP, quick_app


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ListeningSite]:
    """One for all: people differ by name and network."""
    socket = free_socket()
    settings = settings_for(socket, tmp_path_factory.mktemp("instance"))
    with ListeningSite(quick_app(settings, CHEAP), socket) as site:
        yield site


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    if not CHROMIUM:
        unavailable("no Chromium on this machine (apt-get install chromium)")
    return {**browser_type_launch_args, "executable_path": CHROMIUM, "args": ["--no-sandbox"]}


@pytest.fixture(scope="session")
def browser(launch_browser: Callable[[], Browser]) -> Iterator[Browser]:
    """One real browser for all; each visitor gets a profile of their own."""
    browser = launch_browser()
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def remembering_browser(
    browser_type: BrowserType, browser_type_launch_args: dict[str, Any], browser: Browser
) -> Iterator[Browser]:
    """A browser that, like those of people, keeps pages alive for Back where their headers allow it."""
    args = {**browser_type_launch_args, "ignore_default_args": ["--disable-back-forward-cache"]}
    remembering = browser_type.launch(**args)
    yield remembering
    remembering.close()


@pytest.fixture
def has_javascript(request: pytest.FixtureRequest) -> bool:
    """With JavaScript, unless the test is marked with `both_ways`: without it a page is what `TestClient` sees, too."""
    return bool(getattr(request, "param", "script") == "script")


_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def seats() -> dict[bool, list[Visitor]]:
    """Browsers that nobody sits at, with JavaScript and without: to clear one is much quicker than to start another."""
    return {True: [], False: []}


@pytest.fixture
def new_visitor(
    site: ListeningSite, browser: Browser, seats: dict[bool, list[Visitor]]
) -> Iterator[Callable[..., Visitor]]:
    """People with a browser, a name and a network of their own.

    After the test, whatever went wrong behind their backs fails it: see `Visitor.faults`.
    """
    seated: list[Visitor] = []
    others: list[Visitor] = []

    def come(*, has_javascript: bool = True, before: Browser = browser, **options: Any) -> Visitor:
        if seats[has_javascript] and before is browser and not options:
            seated.append(seats[has_javascript].pop().makes_room(next(_numbers)))
            return seated[-1]
        visitor = Visitor(before, site.url, site.mailbox, next(_numbers), has_javascript, **options)
        (others if options or before is not browser else seated).append(visitor)
        return visitor

    yield come
    problems = [fault for visitor in (*seated, *others) for fault in visitor.problems]  # before the pages are torn down
    for visitor in others:
        visitor.leave()
    for visitor in seated:
        visitor.stands_up()
        seats[visitor.has_javascript].append(visitor)
    assert problems == []


@pytest.fixture
def visitor(new_visitor: Callable[..., Visitor], has_javascript: bool) -> Visitor:
    """Somebody, with JavaScript unless the test says otherwise."""
    return new_visitor(has_javascript=has_javascript)


@pytest.fixture
def scripted(new_visitor: Callable[..., Visitor]) -> Visitor:
    """Somebody with JavaScript."""
    return new_visitor()
