"""The page that searches, in every state that a person can bring it to."""

from tests.browser.states import LONG_NAME, state
from tests.browser.visitor import Visitor
from tests.browser.walls import RICH, says


@state
def search(person: Visitor) -> None:
    person.goto("/search")
    person.sees("Search posts and people.")


@state
def search_found(person: Visitor) -> None:
    person.name = f"{LONG_NAME[: 30 - len(person.name)]}{person.name}"
    person.is_logged_in()
    says(person, f"{RICH} @{person.name}")
    person.goto(f"/search?q={person.name}")
    person.sees("People")


@state
def search_refused(person: Visitor) -> None:
    person.goto("/search?q=%3F%21")
    person.sees("Only letters and digits can be found.")
