"""People and posts in a real browser, with JavaScript and without: follow, report, decide."""

import pytest
from playwright.sync_api import expect

from tests.browser import neighbours
from tests.browser.neighbours import WHY, neighbour_of
from tests.browser.visitor import Visitor
from tests.depth import deep

pytestmark = pytest.mark.browser


def test_the_button_follows_and_unfollows_where_it_stands(visitor: Visitor) -> None:
    visitor.is_logged_in()
    name = neighbour_of(visitor)
    visitor.goto(f"/user/{visitor.name}/followers")

    visitor.press(f"Follow {name}")

    turned = visitor.page.get_by_role("button", name=f"Unfollow {name}")
    expect(turned).to_be_visible()
    if visitor.has_javascript:
        expect(turned).to_be_focused()
    expect(visitor.page).to_have_url(f"{visitor.url}/user/{visitor.name}/followers")
    visitor.goto(f"/user/{name}")
    visitor.sees("1 follower")
    visitor.press(f"Unfollow {name}")
    visitor.sees("0 followers")


@deep
def test_a_report_reaches_the_admin_and_the_decision_the_author(visitor: Visitor) -> None:
    neighbours.post_removed(visitor)

    email = visitor.mailbox.last(f"bob_{visitor.name}@example.com", count=2)

    assert email.subject == "A post of yours on Microblog was removed"
    assert WHY in email.text
    visitor.goto(f"/user/bob_{visitor.name}")
    expect(visitor.page.locator("body")).not_to_contain_text("Cheap watches")
