"""ADMIN_TWO_FACTORS: the admin's pages only open for admins with a second step."""

import re
from collections.abc import Callable

import pytest
from starlette.routing import Route

from tests.depth import deep
from tests.factors.steps import log_in_with, set_up_app
from tests.security.test_roles import ADMIN
from tests.sites import Browser, Site
from tests.stories import log_in, register
from tests.test_sweeps import ROUTES
from tests.watching import dump
from webapp.settings import Settings

EXAMPLES = {"post_id": "1", "request_id": "1", "username": "susan", "action": "disable"}


@pytest.fixture
def guarded(make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[[Settings], Site]) -> Site:
    """A site whose admin, susan, must have two factors, and has none yet."""
    admins = {"admins": ("susan@example.com",), "admin_two_factors": True}
    site = start_site(make_settings(database_url=sqlite_url, **admins))
    assert site.mailbox
    register(site.browser(), site.mailbox)
    return site


def path_of(route: Route) -> str:
    return re.sub(r"\{(\w+)[^}]*\}", lambda found: EXAMPLES[found[1]], route.path)


def opened(browser: Browser) -> list[str]:
    """The routes of the admins' that do not lead elsewhere before they do anything."""
    admins = [(route, method) for route in ROUTES if route.name in ADMIN for method in sorted(route.methods or ())]
    fields = {"reason": "Dull."}
    answers = {
        f"{method} {route.path}": browser.request(method, path_of(route), data=fields if method == "POST" else None)
        for route, method in admins
    }
    elsewhere = ("/login", "/sign-in_methods")
    return [name for name, it in answers.items() if not it.headers.get("location", "").startswith(elsewhere)]


@deep
def test_the_admins_pages_ask_for_a_second_step(guarded: Site) -> None:
    browser = guarded.browser()
    log_in(browser)

    sent_on = browser.get("/admin/mail")
    set_up_app(browser)
    allowed = browser.get("/admin/mail")

    assert sent_on.url.path == "/sign-in_methods"
    assert "Admin pages open only for people with a second step" in sent_on.text
    assert allowed.url.path == "/admin/mail"


def test_an_admin_without_one_opens_and_changes_nothing(guarded: Site) -> None:
    admin = guarded.browser(follow_redirects=False)
    log_in(admin)
    before = dump(guarded)

    assert opened(admin) == []
    assert dump(guarded) == before


@deep
def test_an_admin_who_has_only_typed_the_password_opens_and_changes_nothing(guarded: Site) -> None:
    """Nor does a thief of the password."""
    owner, thief = guarded.browser(), guarded.browser(follow_redirects=False)
    log_in(owner)
    app = set_up_app(owner)
    assert log_in(thief).headers["location"] == "/login/second_step"
    before = dump(guarded)

    assert opened(thief) == []
    assert dump(guarded) == before
    thief.post("/login/second_step", data={"code": app.code()})
    assert "GET /admin/mail" in opened(thief)


@deep
def test_a_session_from_before_the_app_opens_and_changes_nothing(guarded: Site) -> None:
    """It may be a thief's, who had the password; a browser that is trusted is the admin's own."""
    before, owner = guarded.browser(), guarded.browser()
    log_in(before)
    log_in(owner)
    app = set_up_app(owner)

    refused = before.get("/admin/mail")
    before.follow_redirects = False

    assert "You logged in here without your second step" in refused.text
    assert opened(before) == []
    log_in_with(owner, app, trust="1")
    owner.post("/logout")
    assert log_in(owner).url.path == "/"
    assert owner.get("/admin/mail").url.path == "/admin/mail"


@deep
def test_whoever_removes_the_app_is_no_longer_let_in(guarded: Site) -> None:
    admin = guarded.browser()
    log_in(admin)
    app = set_up_app(admin)
    other = guarded.browser()
    log_in_with(other, app)
    other.follow_redirects = False
    admin.post("/sign-in_methods/app/remove", data={"code": app.codes[1]})

    assert opened(other) == []
