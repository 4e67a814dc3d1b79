"""The pages of posts, in every state that a person can bring them to."""

from datetime import UTC, datetime, timedelta

import time_machine
from playwright.sync_api import Locator, expect

from tests.browser.states import LONG_NAME, state
from tests.browser.visitor import Visitor

RICH = (
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft \U0001f35e\n\n"
    "https://example.com/a/very/long/path/that/goes/on/and/on and @nobody_here.\nשלום https://example.org/שלום"
)


def says(person: Visitor, words: str = "Hello, world.") -> Locator:
    """Posts in the browser; returns the post."""
    person.page.get_by_label("What's new?").fill(words)
    person.press("Post")
    post = person.page.locator("article", has_text=words.split()[0]).first
    expect(post).to_be_visible()
    return post


def has_posted(person: Visitor, count: int) -> None:
    """So many posts of theirs over the last hours, made without looking at the pages."""
    cookies = {cookie.get("name", ""): cookie.get("value", "") for cookie in person.context.cookies()}
    with person.quick(cookies=cookies) as quick:
        for number in range(count):
            with time_machine.travel(datetime.now(UTC) + timedelta(minutes=2 * (number - count))):
                assert quick.post("/", data={"body": f"Post number {number}."}).status_code == 303


@state
def home_with_posts(person: Visitor) -> None:
    person.name = f"{LONG_NAME[: 30 - len(person.name)]}{person.name}"
    person.is_logged_in()
    says(person)
    says(person, f"{RICH} @{person.name}")


@state
def post_refused(person: Visitor) -> None:
    person.is_logged_in()
    person.page.get_by_label("What's new?").fill("x" * 281)
    person.press("Post")
    person.sees("That's 281 characters")


@state
def post_deleted(person: Visitor) -> None:
    person.is_logged_in()
    says(person).get_by_role("button", name="Delete").click()
    person.sees("Post deleted.")


@state
def explore(person: Visitor) -> None:
    person.is_logged_in()
    says(person, f"{RICH} @{person.name}")
    person.goto("/explore")


@state
def explore_as_a_stranger(person: Visitor) -> None:
    person.goto("/explore")


@state
def profile(person: Visitor) -> None:
    person.is_logged_in()
    says(person)
    person.goto(f"/user/{person.name}")


@state
def profile_of_nobody_yet(person: Visitor) -> None:
    person.is_logged_in()
    person.goto(f"/user/{person.name}")
    person.sees("No posts yet.")


@state
def post(person: Visitor) -> None:
    person.is_logged_in()
    says(person).locator(".post-time").click()
    person.sees_heading(f"A post by {person.name}")
