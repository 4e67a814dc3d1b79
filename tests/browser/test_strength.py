"""The strength of a new password: measured while it is typed, in the browser and nowhere else (C48)."""

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import Visitor
from tests.depth import deep

pytestmark = pytest.mark.browser


def comes_to_choose(visitor: Visitor) -> None:
    visitor.asks_for_account()
    visitor.goto(visitor.mailbox.link(to=visitor.address))


STRENGTHS = [
    ("\U0001f600" * 11, "11 of 12 characters", "0.916667"),
    ("abcdefghijklmn", "Easy to guess.", "1"),
    ("susan-at-home-susan", "Fair. One more word makes it stronger.", "2"),
    ("a quite different staple", "Strong.", "4"),
    ("e\u0301" * 11, "11 of 12 characters", "0.916667"),
]


def test_strength_is_said_and_shown(scripted: Visitor) -> None:
    """While one types on: each password is as strong as if it were the first."""
    comes_to_choose(scripted)
    scripted.page.wait_for_load_state("networkidle")
    requests: list[str] = []
    scripted.page.on("request", lambda request: requests.append(request.url))

    scripted.fill(username="susan")
    for password, words, value in STRENGTHS:
        scripted.fill(password=password)
        expect(scripted.page.get_by_role("main").get_by_role("status")).to_have_text(words)
        meter = scripted.page.get_by_role("meter", name="Password strength")
        assert f"{float(meter.evaluate('(meter) => meter.value')):.6g}" == value

    assert requests == [], "nothing leaves the browser while one types"


@deep
def test_nothing_is_measured_before_something_is_typed(scripted: Visitor) -> None:
    comes_to_choose(scripted)

    expect(scripted.page.get_by_role("meter")).to_have_count(0)
    scripted.fill(password="hello")
    expect(scripted.page.get_by_role("meter")).to_be_visible()
    scripted.fill(password="")
    expect(scripted.page.get_by_role("meter")).to_have_count(0)


@deep
def test_a_password_is_pasted_whole_and_refused_rather_than_cut(scripted: Visitor) -> None:
    """C48: managers paste; a longer one than the site takes is refused in words."""
    long = "a long phrase " * 20
    comes_to_choose(scripted)
    scripted.fill(username=scripted.name)
    field = scripted.page.locator("input[name=password]")

    field.focus()
    scripted.page.evaluate(
        """(text) => {
            const pasted = new ClipboardEvent("paste", { clipboardData: new DataTransfer(), cancelable: true });
            const isAllowed = document.activeElement.dispatchEvent(pasted);
            if (isAllowed) document.execCommand("insertText", false, text);
        }""",
        long,
    )

    expect(field).to_have_value(long)
    scripted.press("Register")
    scripted.sees("Use 256 characters or fewer.")


@deep
def test_without_script_the_advice_stands_there_and_the_reason_after(visitor: Visitor) -> None:
    comes_to_choose(visitor)
    expect(visitor.page.get_by_label("Password", exact=True)).to_have_accessible_description(
        "12 characters or more. A few random words work well."
    )

    visitor.fill(username=visitor.name, password="password1234")
    visitor.press("Register")

    visitor.sees("Too easy to guess: many people use this password")
