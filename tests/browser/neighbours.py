"""Others on the site, and the pages about them in every state: lists of people, reports, decisions."""

from tests.addresses.steps import links
from tests.browser.states import state
from tests.browser.visitor import Visitor
from tests.browser.walls import in_menu_of
from tests.stories import PASSWORD

WHY = "Advertising is not wanted here."


def neighbour_of(person: Visitor) -> str:
    """The name of somebody else, who has posted something and follows the person, if there is such an account."""
    name = f"bob_{person.name}"
    with person.quick(follow_redirects=True) as quick:
        quick.post("/register", data={"email": f"{name}@example.com"})
        link = links(person.mailbox, f"{name}@example.com", "/register/")[0]
        quick.post(link, data={"username": name, "password": PASSWORD})
        quick.post("/login", data={"username": name, "password": PASSWORD})
        quick.post("/", data={"body": "Cheap watches, only today!\nhttps://watches.example/a/rather/long/address"})
        quick.post(f"/follow/{person.name}")
    return name


def explain(person: Visitor, reason: str) -> None:
    person.page.locator("textarea[name=reason]").fill(reason)


@state
def followers(person: Visitor) -> None:
    person.is_logged_in()
    name = neighbour_of(person)
    person.goto(f"/user/{person.name}/followers")
    person.sees(name)


@state
def mentions(person: Visitor) -> None:
    person.is_logged_in()
    name = neighbour_of(person)
    person.goto("/mentions")
    person.sees(name)


@state
def block(person: Visitor) -> None:
    person.is_logged_in()
    name = neighbour_of(person)
    person.goto(f"/block/{name}")
    person.sees_heading(f"Block {name}?")


@state
def blocked(person: Visitor) -> None:
    block(person)
    person.press(f"Block bob_{person.name}")
    person.sees("You don't see each other here.")


@state
def muted_and_blocked(person: Visitor) -> None:
    blocked(person)
    person.goto("/muted_and_blocked")
    person.sees(f"bob_{person.name}")


@state
def report(person: Visitor) -> None:
    person.is_logged_in()
    person.goto(f"/user/{neighbour_of(person)}")
    in_menu_of(person.page.locator("article"), "link", "Report").click()
    person.sees_heading("Report this post")


@state
def report_refused(person: Visitor) -> None:
    report(person)
    person.press("Report the post")
    person.sees("Fill this in.")


@state
def report_sent(person: Visitor) -> None:
    report(person)
    explain(person, "It is an advertisement.")
    person.press("Report the post")
    person.sees_heading("Thank you. We'll look at it")


@state
def admin_reports(person: Visitor) -> None:
    report_sent(person.is_host())
    person.goto("/admin/reports")
    person.sees(f"bob_{person.name}")


@state
def remove_post(person: Visitor) -> None:
    admin_reports(person)
    case = person.page.locator(".case", has_text=f"bob_{person.name}")
    case.get_by_role("link", name="Remove the post").click()
    person.sees_heading("Remove this post")


def post_removed(person: Visitor) -> None:
    remove_post(person)
    explain(person, WHY)
    person.press("Remove the post")
    person.sees("is removed.")
