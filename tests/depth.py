"""How much of a sweep runs: `make test` takes a fair part of its cases, `make test-all` takes them all."""

from collections.abc import Sequence
from typing import TypeVar

import pytest

Case = TypeVar("Case")
# A case or a test that only `make test-all` runs, as CI does: another one of its room or its sweep is in `make test`.
deep = pytest.mark.deep
_everything: list[bool] = []


def one_in(number: int) -> pytest.MarkDecorator:
    """Of this test's cases `make test` runs one in so many, the first among them."""
    return pytest.mark.one_in(number)


def go_through_everything() -> None:
    _everything.append(True)


def share(cases: Sequence[Case], number: int, among: int) -> Sequence[Case]:
    """The part of the `number`th of those who share the cases, such as routes: every case is tried by some of them."""
    return cases if _everything else cases[number % among :: among]


def besides(cases: Sequence[Case]) -> Sequence[Case]:
    """Cases that only the whole run takes."""
    return cases if _everything else ()


def some(cases: Sequence[Case], among: int) -> Sequence[Case]:
    """One in so many cases, for parameters."""
    return share(cases, 0, among)
