"""What all tests stand on: their fixtures, their options, and what is said at their end."""

import gc
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import hypothesis
import pytest
from time_machine import Traveller, travel

from tests import depth
from tests.missing import UNAVAILABLE
from webapp import clock as machine_clock

pytest_plugins = ["tests.databases", "tests.sites"]

# Files that take longest come first: at the end of a run, one of them would keep a single worker busy by itself.
LONGEST = {
    *("test_emails", "test_cost", "test_second_press", "test_move", "test_sweeps", "test_roles", "test_endings"),
    *("test_factor_endings", "test_pieces", "test_odd_signs", "test_proof", "test_second_step", "test_refusals"),
    *("test_migrate", "test_fairness", "test_login", "test_reset_password", "test_htmx", "test_smtp", "test_mailer"),
    *("test_development", "test_from_the_tutorial", "test_stolen_cookie", "test_fuzz", "test_import_tutorial"),
}

# In the suite the same examples each time, and no clock; `make soak` looks for new ones.
_calm = hypothesis.settings(deadline=None, database=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("suite", _calm, derandomize=True, max_examples=10)
hypothesis.settings.register_profile("everything", _calm, derandomize=True, max_examples=25)
hypothesis.settings.register_profile("thorough", _calm, max_examples=3000)
hypothesis.settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--everything", action="store_true", help="run each case of each sweep, on both databases")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--everything"):
        depth.go_through_everything()
        hypothesis.settings.load_profile("everything")


def pytest_pycollect_makeitem(collector: pytest.Collector, obj: object) -> list[pytest.Item] | None:
    """Makes no cases of a deep test: to make and drop them was a third of what each worker does before its first."""
    config = collector.config
    is_named = any("::" in name for name in config.args)
    is_for_all = is_named or config.getoption("--everything") or "not soak" not in config.option.markexpr
    is_deep = any(mark.name == "deep" for mark in getattr(obj, "pytestmark", []))
    return [] if is_deep and not is_for_all else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what only `make test-all` runs: deep cases, some of many, and one of two twins that are alike."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)
    if config.getoption("--everything"):
        return
    kept = set(_one_in_so_many(item for item in items if not _is_left_out(item)))
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = [item for item in items if item in kept]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Thousands of tests and all modules stay to the end: to look through them for garbage took a tenth of a run."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _is_left_out(item: pytest.Item) -> bool:
    marks = {mark.name for mark in item.iter_markers()}
    is_on_postgresql = "postgresql" in marks
    is_twin = ("alike" in marks and is_on_postgresql) or ("races" in marks and not is_on_postgresql)
    return "soak" not in marks and ("deep" in marks or is_twin)


def _one_in_so_many(items: Iterable[pytest.Item]) -> Iterator[pytest.Item]:
    """Takes of each test's cases one in so many, as its mark says: see `depth.one_in`."""
    seen: Counter[str] = Counter()
    for item in items:
        mark = item.get_closest_marker("one_in")
        test = item.nodeid.partition("[")[0]
        if mark is None or seen[test] % mark.args[0] == 0:
            yield item
        seen[test] += 1


os.environ["LANGUAGE"] = "en"  # the command line's, whatever whoever runs the tests speaks
os.environ["no_proxy"] = "localhost,127.0.0.1"  # where all the tests' servers are, on a machine behind a proxy, too


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Names the tests that had to be left out: a run without them is not the whole run."""
    left_out: dict[str, list[str]] = {}
    for report in terminalreporter.getreports("skipped"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        if UNAVAILABLE in reason:
            left_out.setdefault(reason.partition(UNAVAILABLE)[2], []).append(report.nodeid)
    for reason, tests in left_out.items():
        terminalreporter.section(f"{len(tests)} tests NOT RUN: {reason}", yellow=True)
        for test in tests:
            terminalreporter.write_line(test)


@pytest.fixture(autouse=True)
def _clock_that_is_right() -> Iterator[None]:
    """What a process has learned of its clock ends with the test that has set it."""
    yield
    machine_clock.learn(datetime.now(UTC), time.monotonic())


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> Iterator[Traveller]:
    """A clock that a test can move on; by itself it shows the time."""
    with travel(datetime.now(UTC), tick=True) as clock:
        yield clock
