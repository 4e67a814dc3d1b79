"""A reset takes no factor away: the form behind its link asks for the second one, however one came there."""

import pytest

from tests.factors.steps import App
from tests.mailbox import Mailbox
from tests.sites import Browser, Site
from tests.stories import NEW_PASSWORD, PASSWORD, forget_and_find_link, log_in
from tests.watching import execute
from webapp.accounts import tokens, users


def is_password(site: Site, password: str) -> bool:
    return log_in(site.browser(), password=password).url.path == "/login/second_step"


def test_the_form_asks_for_the_apps_code(site: Site, app: App, mailbox: Mailbox) -> None:
    link = forget_and_find_link(site.browser(), mailbox)
    browser = site.browser()

    assert 'name="code"' in browser.get(link).text
    refused = browser.post(link, data={"password": NEW_PASSWORD})
    assert refused.status_code == 422
    assert "Type the six digits" in refused.text
    assert is_password(site, PASSWORD)

    assert browser.post(link, data={"password": NEW_PASSWORD, "code": app.code()}).url.path == "/login"
    assert is_password(site, NEW_PASSWORD)
    assert execute(site, "SELECT count(*) FROM factor") == [(1,)]


def test_a_recovery_code_does_too(site: Site, app: App, mailbox: Mailbox) -> None:
    link = forget_and_find_link(site.browser(), mailbox)

    assert site.browser().post(link, data={"password": NEW_PASSWORD, "code": app.codes[3]}).url.path == "/login"


def test_one_sheet_of_codes_is_not_both_factors(site: Site, app: App) -> None:
    """A recovery code that led to the form has replaced the mailbox: another one does not replace the app, too."""
    browser = site.browser()
    form = browser.post("/recover", data={"username": "susan", "code": app.codes[0]})
    link = form.url.path

    assert "another one isn't enough" in form.text.replace("&#39;", "'")
    assert browser.post(link, data={"password": NEW_PASSWORD, "code": app.codes[1]}).status_code == 422
    assert is_password(site, PASSWORD)
    assert browser.post(link, data={"password": NEW_PASSWORD, "code": app.code()}).url.path == "/login"


def test_the_admins_link_asks_for_it_as_well(site: Site, app: App) -> None:
    """It stands in for the mailbox, and for nothing else."""

    async def link() -> str:
        async with site.app.state.database.session() as db:
            user = await users.find(db, "susan")
            assert user
            return tokens.reset_link(site.settings, user)

    path = str(site.run(link))

    assert site.browser().post(path, data={"password": NEW_PASSWORD}).status_code == 422
    assert site.browser().post(path, data={"password": NEW_PASSWORD, "code": app.codes[0]}).url.path == "/login"


@pytest.mark.parametrize("typed", ["000000", "aaaa-bbbb-cccc"])
def test_guesses_are_limited(site: Site, app: App, mailbox: Mailbox, typed: str) -> None:
    link = forget_and_find_link(site.browser(), mailbox)
    browser = site.browser()

    statuses = [browser.post(link, data={"password": NEW_PASSWORD, "code": typed}).status_code for _time in range(6)]

    assert statuses == [422] * 5 + [429]


def test_new_recovery_codes_take_the_factor_that_they_would_stand_in_for(site: Site, app: App) -> None:
    """Else who has the password and a session would make some, and take the app away with them."""
    thief: Browser = site.browser()
    log_in(thief)
    thief.post("/login/second_step", data={"code": app.code()})

    answer = thief.post("/recovery_codes", data={"current_password": PASSWORD})

    assert answer.status_code == 422
    assert 'name="code"' in answer.text
    made = thief.post("/recovery_codes", data={"current_password": PASSWORD, "code": app.codes[0]})
    assert "Your recovery codes" in made.text


def test_who_has_lost_phone_and_password_gets_back_in_with_mailbox_and_sheet(
    site: Site, app: App, mailbox: Mailbox
) -> None:
    link, browser = forget_and_find_link(site.browser(), mailbox), site.browser()

    browser.post(link, data={"password": NEW_PASSWORD, "code": app.codes[0]})
    log_in(browser, password=NEW_PASSWORD)
    assert browser.post("/login/second_step", data={"code": app.codes[1]}).url.path == "/"
    assert browser.post("/sign-in_methods/app/remove", data={"code": app.codes[2]}).url.path == "/sign-in_methods"

    assert log_in(site.browser(), password=NEW_PASSWORD).url.path == "/"
