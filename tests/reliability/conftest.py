"""The figures that a run measured, printed in its last lines."""

from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path

import pytest

Figure = Callable[[str, object], None]
PREFIX = "figure "
TAKES_LONG = {"test_shutdown", "test_mail_server", "test_crashes", "test_writes"}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each that takes long stands before a short one: workers are given two tests at a time, beginning at the head."""
    own = [item for item in items if item.path.parent == Path(__file__).parent]
    others = [item for item in items if item not in own]
    long = [item for item in own if item.path.stem in TAKES_LONG]
    short = [item for item in own if item not in long]
    items[:] = [item for pair in zip_longest(long, short) for item in pair if item] + others


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Figure:
    """Notes a measured figure under its check's id."""
    return lambda name, value: record_property(PREFIX + name, str(value))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.getreports(outcome)]
    lines = {
        f"{name.removeprefix(PREFIX)} {Path(report.nodeid).name.partition('::')[2]}: {value}"
        for report in reports
        for name, value in report.user_properties
        if name.startswith(PREFIX)
    }
    if lines:
        terminalreporter.section("figures")
        for line in sorted(lines):
            terminalreporter.write_line(line)
