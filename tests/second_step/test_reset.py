"""A reset removes no factor: the form behind its link asks for the second one, however a person got there."""

import pytest

from tests.depth import deep
from tests.factors.steps import App, log_in_with
from tests.mailbox import Mailbox
from tests.passkeys.authenticator import Authenticator, options_of
from tests.passkeys.test_passkeys import add, enter
from tests.sites import Browser, Site
from tests.stories import NEW_PASSWORD, PASSWORD, forget_and_find_link, log_in, register
from tests.watching import execute
from webapp.accounts import tokens, users


def is_password(site: Site, password: str) -> bool:
    return log_in(site.browser(), password=password).url.path == "/login/second_step"


@deep
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


@deep
def test_a_recovery_code_answers_too(site: Site, app: App, mailbox: Mailbox) -> None:
    link = forget_and_find_link(site.browser(), mailbox)

    assert site.browser().post(link, data={"password": NEW_PASSWORD, "code": app.codes[3]}).url.path == "/login"


@deep
def test_one_sheet_of_codes_is_not_both_factors(site: Site, app: App) -> None:
    """A recovery code that led to the form has replaced the mailbox: another one does not replace the app, too."""
    browser = site.browser()
    form = browser.post("/recover", data={"username": "susan", "code": app.codes[0]})
    link = form.url.path

    assert "another one isn't enough" in form.text.replace("&#39;", "'")
    assert browser.post(link, data={"password": NEW_PASSWORD, "code": app.codes[1]}).status_code == 422
    assert is_password(site, PASSWORD)
    assert browser.post(link, data={"password": NEW_PASSWORD, "code": app.code()}).url.path == "/login"


@deep
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
@deep
def test_guesses_are_limited(site: Site, app: App, mailbox: Mailbox, typed: str) -> None:
    link = forget_and_find_link(site.browser(), mailbox)
    browser = site.browser()

    statuses = [browser.post(link, data={"password": NEW_PASSWORD, "code": typed}).status_code for _time in range(6)]

    assert statuses == [422] * 5 + [429]


@deep
def test_making_new_recovery_codes_takes_the_factor_they_can_replace(site: Site, app: App) -> None:
    """Otherwise somebody with the password and a session could make some, and remove the app with them."""
    thief: Browser = site.browser()
    log_in(thief)
    thief.post("/login/second_step", data={"code": app.code()})

    answer = thief.post("/recovery_codes", data={"current_password": PASSWORD})

    assert answer.status_code == 422
    assert 'name="code"' in answer.text
    made = thief.post("/recovery_codes", data={"current_password": PASSWORD, "code": app.codes[0]})
    assert "Your recovery codes" in made.text


@deep
def test_a_person_without_phone_and_password_gets_back_in_with_mailbox_and_codes(
    site: Site, app: App, mailbox: Mailbox
) -> None:
    link, browser = forget_and_find_link(site.browser(), mailbox), site.browser()

    browser.post(link, data={"password": NEW_PASSWORD, "code": app.codes[0]})
    log_in(browser, password=NEW_PASSWORD)
    assert browser.post("/login/second_step", data={"code": app.codes[1]}).url.path == "/"
    assert browser.post("/sign-in_methods/app/remove", data={"code": app.codes[2]}).url.path == "/sign-in_methods"

    assert log_in(site.browser(), password=NEW_PASSWORD).url.path == "/"


def with_passkey(site: Site, app: App) -> Authenticator:
    """Susan adds a passkey, and logs out again."""
    browser, phone = site.browser(), Authenticator()
    log_in_with(browser, app)
    assert "The passkey is added" in add(browser, phone).text
    browser.post("/logout")
    return phone


@deep
def test_a_passkey_answers_too_and_is_the_only_one_to_stay(site: Site, app: App, mailbox: Mailbox) -> None:
    """It was shown by who has the link: the others may be a thief's."""
    phone, thiefs = with_passkey(site, app), Authenticator()
    owner = site.browser()
    enter(owner, phone)
    add(owner, thiefs)
    browser, link = site.browser(), forget_and_find_link(site.browser(), mailbox)
    page = browser.get(link).text

    answer = browser.post(link, data={"password": NEW_PASSWORD, "passkey_proof": phone.use(options_of(page))})

    assert "or_passkey.js" in page
    assert answer.url.path == "/login"
    assert is_password(site, NEW_PASSWORD)
    assert enter(site.browser(), phone).url.path == "/"
    assert enter(site.browser(), thiefs).status_code == 422


@deep
def test_a_passkey_with_a_sheet_of_codes_is_two_factors(site: Site, app: App) -> None:
    phone, browser = with_passkey(site, app), site.browser()
    form = browser.post("/recover", data={"username": "susan", "code": app.codes[1]})
    answer = {"password": NEW_PASSWORD, "passkey_proof": phone.use(options_of(form.text))}

    assert browser.post(form.url.path, data=answer).url.path == "/login"


@deep
def test_a_passkey_that_nothing_asks_for_stays_if_it_is_shown(site: Site, mailbox: Mailbox) -> None:
    susan, phone = site.browser(), Authenticator()
    register(susan, mailbox)
    log_in(susan)
    add(susan, phone)
    browser, link = site.browser(), forget_and_find_link(site.browser(), mailbox)
    page = browser.get(link).text

    wrong = browser.post(link, data={"password": NEW_PASSWORD, "passkey_proof": "{}"})
    done = browser.post(link, data={"password": NEW_PASSWORD, "passkey_proof": phone.use(options_of(page))})

    assert wrong.status_code == 422
    assert done.url.path == "/login"
    assert enter(site.browser(), phone).url.path == "/"


@deep
def test_a_thief_of_the_mailbox_gets_nowhere_with_a_passkey_that_is_not_the_accounts(
    site: Site, app: App, mailbox: Mailbox
) -> None:
    """Nor with an answer to another question."""
    phone = with_passkey(site, app)
    david, davids = site.browser(), Authenticator()
    register(david, mailbox, "david")
    log_in(david, "david")
    add(david, davids)
    thief, link = site.browser(), forget_and_find_link(site.browser(), mailbox)
    options, of_log_in = options_of(thief.get(link).text), thief.get("/login/passkey/challenge").json()

    def refused(credential: str) -> bool:
        answer = thief.post(link, data={"password": NEW_PASSWORD, "passkey_proof": credential})
        return answer.status_code == 422 and "open this account" in answer.text

    assert refused(davids.use(options))
    assert refused(phone.use(of_log_in))
    assert refused("{}")
    assert thief.post("/login/passkey", data={"credential": phone.use(options)}).status_code == 422
    assert is_password(site, PASSWORD)
