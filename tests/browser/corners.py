"""The pages that came last, in the states that a person can bring them to: replies, edits, invitations, people."""

from playwright.sync_api import expect

from tests.addresses.steps import links
from tests.browser.neighbours import neighbour_of
from tests.browser.states import state
from tests.browser.visitor import Visitor
from tests.browser.walls import in_menu_of, says


@state
def reply(person: Visitor) -> None:
    person.is_logged_in()
    says(person).get_by_role("link", name="Reply").click()
    person.sees_heading(f"Reply to {person.name}")


@state
def reply_refused(person: Visitor) -> None:
    reply(person)
    person.page.get_by_label("Your reply").fill("x" * 281)
    person.press("Reply")
    person.sees("That's 281 characters")


@state
def post_with_reply(person: Visitor) -> None:
    reply(person)
    person.page.get_by_label("Your reply").fill("Hello back.")
    person.press("Reply")
    person.sees("Reply posted.")


@state
def edit_post(person: Visitor) -> None:
    person.is_logged_in()
    in_menu_of(says(person), "link", "Edit").click()
    person.sees_heading("Edit a post")


@state
def invites(person: Visitor) -> None:
    person.is_logged_in()
    person.goto("/invites")
    person.fill(name="My friends in Bristol")
    person.press("Make a link")
    person.sees("Your link is ready.")


@state
def invitation(person: Visitor) -> None:
    invites(person)
    link = person.page.locator(".invite-link").inner_text()
    person.logs_out()
    person.goto(link.strip())
    person.sees_heading(f"{person.name} invites you")


@state
def checkup(person: Visitor) -> None:
    person.is_logged_in()
    person.goto("/checkup")
    person.sees_heading("Can you get back in?")


@state
def checkup_email(person: Visitor) -> None:
    checkup(person)
    person.press("Send me a test link")
    person.sees("A test link is on its way")
    person.goto(links(person.mailbox, person.address, "/checkup_email/")[0])
    person.sees_heading("The test link")


@state
def import_posts(person: Visitor) -> None:
    person.is_logged_in()
    person.goto("/import")
    person.press("Choose a file")
    expect(person.page.get_by_label("File")).to_be_visible()


@state
def admin_people(person: Visitor) -> None:
    person.is_host().is_logged_in()
    neighbour_of(person)
    person.goto("/admin/people")
    person.sees(f"bob_{person.name}")


@state
def admin_person(person: Visitor) -> None:
    admin_people(person)
    person.goto(f"/admin/people/bob_{person.name}")
    person.sees_heading(f"bob_{person.name}")


@state
def act_on_person_refused(person: Visitor) -> None:
    admin_person(person)
    person.follow("Disable…")
    person.sees_heading(f"Disable bob_{person.name}'s account")
    person.press("Disable the account")
    expect(person.page.locator("[aria-invalid=true]").first).to_be_visible()
