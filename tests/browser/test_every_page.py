"""Every page in every state: usable by everybody, on a phone and in the dark, and silent on the console."""

import pytest

import tests.browser.finds
import tests.browser.neighbours
import tests.browser.walls  # noqa: F401
from tests.browser.states import STATES
from tests.browser.visitor import Visitor

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("name", STATES)
def test_a_page_is_accessible_and_never_scrolls_sideways(scripted: Visitor, name: str) -> None:
    """Axe finds nothing in light and dark. C45, C37: `Visitor.faults` has no foreign request, and no violation."""
    STATES[name](scripted)

    assert scripted.wrong_looks() == []
