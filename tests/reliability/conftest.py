"""The figures that a run measured, printed in its last lines."""

from collections.abc import Callable
from pathlib import Path

import pytest

Figure = Callable[[str, object], None]
PREFIX = "figure "
WAITS_MOST = {"test_shutdown", "test_mail_server"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What mostly waits comes first, so that another worker is busy beside it."""
    items.sort(key=lambda item: item.path.stem not in WAITS_MOST)


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
