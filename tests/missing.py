"""What to do where this machine lacks what a test needs."""

import os
from typing import NoReturn

import pytest

UNAVAILABLE = "not run: "


def unavailable(reason: str) -> NoReturn:
    """Ends a test for want of something on this machine: named in the last lines, and in CI a failure."""
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(UNAVAILABLE + reason, pytrace=False)
    pytest.skip(UNAVAILABLE + reason)
