"""What all tests stand on: their fixtures, their options, and what is said at their end."""

import os

import hypothesis
import pytest

from tests.missing import UNAVAILABLE

pytest_plugins = ["tests.databases", "tests.sites"]

# Files that take longest come first: at the end of a run, one of them would keep a single worker busy by itself.
LONGEST = {
    *("test_development", "test_from_the_tutorial", "test_cost", "test_sweeps", "test_refusals", "test_emails"),
    *("test_endings", "test_reset_password", "test_smtp", "test_fairness", "test_mailer", "test_request_body"),
    *("test_protocol", "test_import_users", "test_cli", "test_register"),
}

# In the suite the same examples each time, and no clock; `make soak` looks for new ones.
_calm = hypothesis.settings(deadline=None, database=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("suite", _calm, derandomize=True, max_examples=50)
hypothesis.settings.register_profile("thorough", _calm, max_examples=3000)
hypothesis.settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all-twins", action="store_true", help="run on PostgreSQL also what is alike on both databases")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves the PostgreSQL twin of a test out where nothing of it depends on the database; see `make test-all`."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)
    if config.getoption("--all-twins"):
        return
    twins = [item for item in items if item.get_closest_marker("alike") and item.get_closest_marker("postgresql")]
    config.hook.pytest_deselected(items=twins)
    items[:] = [item for item in items if item not in twins]


os.environ["LANGUAGE"] = "en"  # the command line's, whatever whoever runs the tests speaks


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


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
