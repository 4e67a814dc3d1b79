"""Names and addresses as people type and paste them: what shows nothing changes nothing."""

from collections.abc import Callable, Iterator
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, TypeAdapter
from sqlmodel import SQLModel

from tests.depth import deep
from tests.mailbox import Mailbox
from tests.sites import Site
from tests.stories import PASSWORD, ask_for_reset, is_logged_in, log_in, register
from tests.watching import execute
from webapp.names.identities import visible
from webapp.settings import Settings

MARKS = "\ufeff\u200b\u200e\u202a {}\u202c\u200f\u00a0\u2060"


PERSIAN = "a@\u0646\u0627\u0645\u0647\u200c\u0627\u06cc.example"  # a joiner makes it another domain


def shapes(base: type[BaseModel] = BaseModel) -> Iterator[type[BaseModel]]:
    for shape in base.__subclasses__():
        if shape.__module__.startswith("webapp.") and not issubclass(shape, SQLModel):
            yield shape
        yield from shapes(shape)


def fields() -> list[Any]:
    """Every field of every form in which somebody types a username or an address."""
    import webapp.app  # noqa: F401  (all forms are known then)

    found = {(shape, name) for shape in shapes() for name in shape.model_fields if name in {"username", "email"}}
    return [pytest.param(*one, id=f"{one[0].__name__}.{one[1]}") for one in sorted(found, key=str)]


@pytest.mark.parametrize(("shape", "name"), fields())
def test_every_field_for_a_name_or_an_address_drops_what_shows_nothing(
    shape: type[BaseModel], name: str, make_settings: Callable[..., Settings]
) -> None:
    field, typed = shape.model_fields[name], "susan" if name == "username" else "susan@example.com"
    adapter: TypeAdapter[str] = TypeAdapter(Annotated[(str, *field.metadata)])

    assert adapter.validate_python(MARKS.format(typed), context={"settings": make_settings()}) == typed


@pytest.mark.parametrize(
    ("typed", "seen"),
    [
        (MARKS.format("susan"), "susan"),
        ("su\u200bs\u00adan\ufeff", "susan"),
        ("\u200csusan\u200d", "susan"),
        ("sus\u202ean", "sus\u202ean"),  # reads other than it is, so it is left in and refused
        (
            "a@\u0646\u0627\u0645\u0647\u200c\u0627\u06cc.example",
            "a@\u0646\u0627\u0645\u0647\u200c\u0627\u06cc.example",
        ),
    ],
)
def test_what_shows_nothing_is_dropped_and_nothing_else(typed: str, seen: str) -> None:
    assert visible(typed) == seen


def test_pasted_names_and_addresses_open_every_door(site: Site, mailbox: Mailbox) -> None:
    browser = site.browser()
    browser.post("/register", data={"email": MARKS.format("Susan@Example.com")})
    link = mailbox.link(to="susan@example.com")
    browser.post(link, data={"username": MARKS.format("susan"), "password": PASSWORD})

    for typed in ("susan", "susan@example.com"):
        assert is_logged_in_with(site, MARKS.format(typed))
    answer = ask_for_reset(site.browser(), MARKS.format("susan"))
    assert "susan" in answer.text
    assert "\u200b" not in answer.text
    assert mailbox.link(to="susan@example.com", subject="Reset your password")
    assert "/user/susan" in browser.get("/search", params={"q": MARKS.format("susan")}).text


def is_logged_in_with(site: Site, name: str) -> bool:
    browser = site.browser()
    log_in(browser, name)
    return is_logged_in(browser)


@pytest.fixture
def home(make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[[Settings], Site]) -> Site:
    """A site on a network of its own."""
    return start_site(make_settings(database_url=sqlite_url, mail_local_domains=("home.local", "box")))


@pytest.mark.parametrize("domain", ["home.local", "box"])
@deep
def test_an_address_on_the_sites_own_network_works_everywhere(home: Site, domain: str) -> None:
    mailbox, browser = home.mailbox, home.browser()
    assert mailbox

    browser.post("/register", data={"email": f" Susan@{domain.upper()}"})
    browser.post(mailbox.link(to=f"susan@{domain}"), data={"username": "susan", "password": PASSWORD})
    ask_for_reset(home.browser(), f"susan@{domain}")

    assert is_logged_in_with(home, f"SUSAN@{domain}")
    assert execute(home, "SELECT email FROM user_account") == [(f"susan@{domain}",)]
    assert mailbox.link(to=f"susan@{domain}", subject="Reset your password")


def test_other_domains_of_the_kind_are_still_refused(home: Site, site: Site, mailbox: Mailbox) -> None:
    register(site.browser(), mailbox)
    refused = [
        home.browser().post("/register", data={"email": typed}).status_code
        for typed in ("susan@other.local", "susan@sub.home.local", "susan@localhost", 'su"san@box', "s\u00fcsan@box")
    ]

    assert refused == [422] * 5
    assert site.browser().post("/register", data={"email": "susan@home.local"}).status_code == 422
