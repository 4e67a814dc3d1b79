"""A passkey proves who somebody is, wherever a page asks for the password again."""

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from httpx2 import Response
from pydantic import BaseModel

from tests.depth import deep, one_in
from tests.factors.steps import app_page, set_up_app
from tests.mailbox import Mailbox
from tests.passkeys.authenticator import Authenticator, options_of
from tests.passkeys.test_passkeys import WRONG, add, enter
from tests.security.test_proof import OLD
from tests.sites import Browser, Site
from tests.stories import NEW_PASSWORD, PASSWORD, log_in, register
from tests.watching import execute
from webapp.authentication.forms import Login
from webapp.routes import routes
from webapp.settings import ROOT, Settings

CHALLENGE = "/prove/challenge"
FORMS = {
    "/edit_profile": {"username": "suzan", "about_me": "What I typed."},
    "/letters": {"digest": "1", "new_sign_in": "1"},
    "/change_email": {"email": "typed@example.org"},
    "/change_password": {"password": NEW_PASSWORD},
    "/recovery_codes": {},
    "/export": {},
    "/passkeys/1": {"name": "My old phone"},
    "/delete_account": {"username": "susan"},
}


@pytest.fixture
def phone() -> Authenticator:
    return Authenticator()


@pytest.fixture
def susan(site: Site, mailbox: Mailbox, phone: Authenticator) -> Browser:
    """She has a passkey, and last proved long ago who she is."""
    browser = site.browser()
    register(browser, mailbox)
    log_in(browser)
    add(browser, phone)
    execute(site, OLD)
    return browser


def prove(browser: Browser, device: Authenticator, path: str, fields: dict[str, str], **changed: Any) -> Response:
    answer = device.use(browser.get(CHALLENGE).json(), **changed)
    return browser.post(path, data=fields | {"passkey_proof": answer})


@pytest.mark.parametrize("path", FORMS)
@deep
def test_a_page_that_asks_for_the_password_takes_a_passkey_instead(
    susan: Browser, phone: Authenticator, path: str
) -> None:
    page = susan.get(path).text
    done = prove(susan, phone, path, FORMS[path])

    assert "data-or-passkey" in page
    assert "or_passkey.js" in page
    assert 'name="current_password"' in page
    assert done.status_code == 200, done.text
    assert 'aria-invalid="true"' not in done.text


@deep
def test_it_counts_for_the_pages_after_it_as_a_password_does(susan: Browser, phone: Authenticator) -> None:
    prove(susan, phone, "/letters", FORMS["/letters"])

    assert 'name="current_password"' not in susan.get(app_page(susan)).text


@deep
def test_another_passkey_is_added_with_the_proof_of_the_first(site: Site, susan: Browser, phone: Authenticator) -> None:
    laptop, options = Authenticator(), options_of(susan.get("/passkeys").text)
    fields = {"name": "My laptop", "handle": options["user"]["id"], "credential": laptop.make(options)}

    assert "My laptop" in prove(susan, phone, "/passkeys", fields).text
    assert enter(site.browser(), laptop).url.path == "/"


@pytest.mark.parametrize("path", ["/recovery_codes", "/sign-in_methods/app/remove"])
@pytest.mark.parametrize("before", [OLD, "SELECT 1"], ids=["the last proof is old", "it is young"])
@deep
def test_it_answers_instead_of_password_and_code(
    site: Site, susan: Browser, phone: Authenticator, path: str, before: str
) -> None:
    """A passkey that its owner has unlocked is two factors in one."""
    prove(susan, phone, "/export", {})
    set_up_app(susan)
    execute(site, before)

    page = susan.get(path).text
    anothers = prove(susan, Authenticator(), path, {})
    done = prove(susan, phone, path, {})

    assert 'data-instead-of="current_password code"' in page or 'data-instead-of="code"' in page
    assert is_refused(anothers)
    assert done.status_code == 200, done.text
    assert "Your recovery codes" in done.text or "The authenticator app is removed." in done.text


def is_refused(answer: Response) -> bool:
    return answer.status_code == 422 and "open this account" in answer.text


# The handle only says who somebody is at a log-in; here that is known.
OF_A_PROOF = {name: changed for name, changed in WRONG.items() if "handle" not in changed}


@deep
@pytest.mark.parametrize("number", range(0, len(OF_A_PROOF), 4))
@one_in(4)
def test_what_is_not_quite_right_proves_nothing(site: Site, susan: Browser, phone: Authenticator, number: int) -> None:
    """Four of them on one site, for nobody may try oftener."""
    before = execute(site, "SELECT password_hash, epoch FROM user_account")
    four = list(OF_A_PROOF.items())[number : number + 4]

    answers = {
        name: prove(susan, phone, "/change_password", FORMS["/change_password"], **changed) for name, changed in four
    }

    assert [name for name, answer in answers.items() if not is_refused(answer)] == []
    assert execute(site, "SELECT password_hash, epoch FROM user_account") == before


@deep
def test_somebody_elses_passkey_proves_nothing(site: Site, susan: Browser, mailbox: Mailbox) -> None:
    davids, david = Authenticator(), site.browser()
    register(david, mailbox, "david")
    log_in(david, "david")
    add(david, davids)

    assert is_refused(prove(susan, davids, "/export", {}))


@deep
def test_an_answer_counts_once_in_its_session_and_for_ten_minutes(
    site: Site, susan: Browser, phone: Authenticator
) -> None:
    """A thief who has an answer of another session, or an old one, proves nothing with it."""
    other = site.browser()
    enter(other, phone)
    used, of_other, late, of_log_in = (
        phone.use(browser.get(path).json())
        for browser, path in (
            (susan, CHALLENGE),
            (other, CHALLENGE),
            (susan, CHALLENGE),
            (susan, "/login/passkey/challenge"),
        )
    )
    susan.post("/export", data={"passkey_proof": used})
    execute(site, OLD)

    answers = [susan.post("/letters", data={"passkey_proof": each}) for each in (used, of_other, of_log_in)]
    with time_machine.travel(time.time() + 601):
        answers.append(susan.post("/letters", data={"passkey_proof": late}))

    assert [is_refused(answer) for answer in answers] == [True] * 4


def test_what_proves_something_logs_nobody_in(site: Site, susan: Browser, phone: Authenticator) -> None:
    credential = phone.use(susan.get(CHALLENGE).json())

    assert site.browser().post("/login/passkey", data={"credential": credential}).status_code == 422


def test_a_password_that_is_typed_goes_before_a_passkey(susan: Browser, phone: Authenticator) -> None:
    """Whoever gives up on the passkey and types is not told about the passkey."""
    fields = {"current_password": PASSWORD, "passkey_proof": "what failed before"}

    assert susan.post("/letters", data=FORMS["/letters"] | fields).status_code == 200


@deep
def test_a_button_without_a_page_takes_it_and_carries_no_proof_along(
    make_settings: Callable[..., Settings],
    start_site: Callable[[Settings], Site],
    sqlite_url: str,
    phone: Authenticator,
) -> None:
    site = start_site(make_settings(database_url=sqlite_url, admins=("susan@example.com",)))
    assert site.mailbox
    susan = site.browser()
    register(susan, site.mailbox)
    log_in(susan)
    add(susan, phone)
    execute(site, OLD)

    asked = susan.post("/admin/mail/pause", data={"passkey_proof": "not one"})
    done = prove(susan, phone, "/admin/mail/pause", {})

    assert asked.status_code == 422
    assert "not one" not in asked.text
    assert "Paused since" in done.text


def test_a_person_without_a_passkey_sees_nothing_of_it(site: Site, mailbox: Mailbox) -> None:
    browser = site.browser()
    register(browser, mailbox)
    log_in(browser)
    page = browser.get("/change_password").text

    assert "data-or-passkey" not in page
    assert "passkeys.js" not in page


def test_every_form_that_takes_the_password_takes_a_passkey_too() -> None:
    """For the next form that asks who somebody is."""
    assert list(routes(Settings(base_url="https://blog.example", secret_key="x", database_url="sqlite+aiosqlite://")))

    def below(shape: type[BaseModel]) -> set[type[BaseModel]]:
        return {each for sub in shape.__subclasses__() for each in {sub} | below(sub)}

    asking = [shape for shape in below(BaseModel) if "current_password" in shape.model_fields]
    templates = [file for file in (ROOT / "templates").rglob("*.html") if '"current_password"' in file.read_text()]

    assert [shape.__name__ for shape in asking if not {"passkey_proof", "code"} <= shape.model_fields.keys()] == []
    assert Login not in asking
    assert len(asking) >= 10
    assert {file.name for file in templates} <= {"_form.html", "_request.html", "admin_people.html"}
    assert all(re.search("or_passkey|own_password|password\\(request", file.read_text()) for file in templates)
