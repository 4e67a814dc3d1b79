"""The pages of posts, in every state that a person can bring them to."""

from datetime import UTC, datetime, timedelta
from typing import Literal

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


def in_menu_of(post: Locator, role: Literal["button", "link"], label: str) -> Locator:
    """What stands in the post's menu, once that is open."""
    post.locator("summary").click()
    return post.get_by_role(role, name=label, exact=True)


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
    in_menu_of(says(person), "button", "Delete").click()
    person.sees("Post deleted.")


@state
def explore(person: Visitor) -> None:
    person.is_logged_in()
    says(person, f"{RICH} @{person.name}")
    person.goto("/explore")


@state
def front_door(person: Visitor) -> None:
    person.is_logged_in()
    says(person, RICH)
    person.logs_out()
    person.goto("/")
    person.sees("Newest posts")


@state
def profile(person: Visitor) -> None:
    person.is_logged_in()
    says(person)
    person.goto(f"/user/{person.name}")


@state
def post(person: Visitor) -> None:
    person.is_logged_in()
    says(person).locator(".post-time").click()
    expect(person.page.locator(".post-large h1")).to_contain_text(person.name)
