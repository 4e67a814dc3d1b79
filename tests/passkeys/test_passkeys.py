"""Passkeys: add, name, use, remove; what is refused; and what ends them."""

import html
import json
import re
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import time_machine
from cryptography.hazmat.primitives.asymmetric import ec
from httpx2 import Response

from tests.addresses.steps import signed_in
from tests.depth import deep, one_in
from tests.factors.steps import set_up_app
from tests.mailbox import Mailbox
from tests.passkeys.authenticator import CAN_SYNC, PRESENT, SYNCED, VERIFIED, Authenticator, options_of
from tests.sites import Browser, Site
from tests.stories import NEW_PASSWORD, PASSWORD, forget_and_find_link, is_logged_in, log_in, register
from tests.watching import execute, statements, table, wait_until_posted
from webapp.settings import Settings

SUSAN = "susan@example.com"
CHALLENGE, LOG_IN = "/login/passkey/challenge", "/login/passkey"


@pytest.fixture
def susan(site: Site, mailbox: Mailbox) -> Browser:
    return signed_in(site, mailbox)


@pytest.fixture
def phone() -> Authenticator:
    return Authenticator()


def add(
    browser: Browser, device: Authenticator, name: str = "My phone", password: str = PASSWORD, **changed: Any
) -> Response:
    options = options_of(browser.get("/passkeys").text)
    fields = {"name": name, "current_password": password, "handle": options["user"]["id"]}
    return browser.post("/passkeys", data=fields | {"credential": device.make(options, **changed)})


def enter(browser: Browser, device: Authenticator, **changed: Any) -> Response:
    return browser.post(LOG_IN, data={"credential": device.use(browser.get(CHALLENGE).json(), **changed)})


def events_of(site: Site) -> list[str]:
    return [kind for (kind,) in execute(site, "SELECT kind FROM security_event ORDER BY id")]


@deep
def test_an_added_passkey_logs_in_without_a_password(site: Site, susan: Browser, phone: Authenticator) -> None:
    page = add(susan, phone)
    other = site.browser()
    home = enter(other, phone)

    assert "My phone" in page.text
    assert "Only on one device" in page.text
    assert home.url.path == "/"
    assert is_logged_in(other)
    assert events_of(site)[-2:] == ["passkey_added", "logged_in"]


@deep
def test_every_change_is_told_by_email_and_written_down(
    site: Site, susan: Browser, phone: Authenticator, mailbox: Mailbox
) -> None:
    add(susan, phone)
    susan.post("/passkeys/1", data={"name": "Old phone", "current_password": PASSWORD})
    assert "Old phone" in susan.get("/passkeys").text
    susan.post("/passkeys/1/remove", data={"current_password": PASSWORD})

    emails = [mailbox.last(SUSAN, subject=f"A passkey was {what}") for what in ("added", "renamed", "removed")]
    assert "My phone" in emails[0].text
    assert "Old phone" in emails[2].text
    assert all("/not_me/" in email.text for email in emails)
    assert events_of(site)[-3:] == ["passkey_added", "passkey_renamed", "passkey_removed"]
    assert enter(site.browser(), phone).status_code == 422


@deep
def test_no_name_of_a_passkey_is_a_link_in_an_email(
    site: Site, susan: Browser, phone: Authenticator, mailbox: Mailbox
) -> None:
    """A thief may have chosen it, and the email is in the site's own name."""
    add(susan, phone, name="https://evil.example")
    for name in ("Not you? evil.example/reset", "My phone"):
        susan.post("/passkeys/1", data={"name": name, "current_password": PASSWORD})
    wait_until_posted(site)

    emails = [email.text + email.html for email in mailbox.all(SUSAN) if "A passkey was" in email.subject]
    assert len(emails) == 3
    assert all("[link]" in email for email in emails)
    assert not [email for email in emails if "evil.example" in email]


@deep
@pytest.mark.parametrize("path", ["/passkeys", "/passkeys/1", "/passkeys/1/remove"])
@one_in(3)
def test_each_change_takes_the_password(site: Site, susan: Browser, phone: Authenticator, path: str) -> None:
    add(susan, phone)
    options = options_of(susan.get("/passkeys").text)
    fields = {"name": "x", "handle": options["user"]["id"], "credential": Authenticator().make(options)}

    answer = susan.post(path, data=fields | {"current_password": "not the right one"})

    assert answer.status_code == 422
    assert [row[6] for row in table(site, "passkey")] == ["My phone"]


@deep
def test_without_scripts_the_page_says_once_what_passkeys_need(susan: Browser) -> None:
    needs = "Passkeys need JavaScript"

    page = susan.get("/passkeys")
    refused = susan.post("/passkeys", data={"name": "x", "current_password": PASSWORD})

    assert refused.status_code == 422
    assert (page.text.count(needs), refused.text.count(needs)) == (1, 1)


@deep
def test_after_a_wrong_password_the_new_passkey_is_not_lost(susan: Browser, phone: Authenticator) -> None:
    page = add(susan, phone, password="not the right one")
    fields = dict(re.findall(r'name="(credential|handle)" value="([^"]+)"', page.text))

    again = {name: html.unescape(value) for name, value in fields.items()}
    answer = susan.post("/passkeys", data=again | {"current_password": PASSWORD, "name": "My phone"})

    assert page.status_code == 422
    assert "My phone" in answer.text
    assert answer.status_code == 200


def test_nobody_touches_somebody_elses_passkey(
    site: Site, susan: Browser, phone: Authenticator, mailbox: Mailbox
) -> None:
    """C36"""
    add(susan, phone)
    david = site.browser()
    register(david, mailbox, "david")
    log_in(david, "david")
    fields = {"name": "mine", "current_password": PASSWORD}

    assert david.post("/passkeys/1", data=fields).status_code == 404
    assert david.post("/passkeys/1/remove", data=fields).status_code == 404
    assert "<strong>My phone" not in david.get("/passkeys").text


@deep
def test_what_was_asked_for_one_account_adds_to_no_other(site: Site, susan: Browser, mailbox: Mailbox) -> None:
    david = site.browser()
    register(david, mailbox, "david")
    log_in(david, "david")
    options = options_of(susan.get("/passkeys").text)
    fields = {"credential": Authenticator().make(options), "handle": options["user"]["id"]}

    answer = david.post("/passkeys", data=fields | {"current_password": PASSWORD})

    assert answer.status_code == 422
    assert table(site, "passkey") == []


OTHER_KEY = ec.generate_private_key(ec.SECP256R1())
WRONG: dict[str, dict[str, Any]] = {
    "another site's name": {"rp_id": "evil.example"},
    "a part of the name": {"rp_id": "example"},
    "another origin": {"origin": "https://evil.example"},
    "a subdomain": {"origin": "https://www.blog.example"},
    "another port": {"origin": "https://blog.example:8443"},
    "without TLS": {"origin": "http://blog.example"},
    "nobody present": {"flags": VERIFIED},
    "not unlocked": {"flags": PRESENT},
    "a made-up challenge": {
        "challenge": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    },
    "an empty challenge": {"challenge": ""},
    "in a frame": {"crossOrigin": True},
    "the other ceremony": {"type": "webauthn.create"},
    "another key": {"key": OTHER_KEY},
    "no signature": {"signature": b""},
    "another account's handle": {"handle": "AAAA"},
    "no handle": {"handle": ""},
}


@deep
def test_what_is_not_quite_right_opens_nothing(site: Site, susan: Browser, phone: Authenticator) -> None:
    """And uses nothing up: the device still opens the account afterwards."""
    add(susan, phone)
    strangers = {name: site.browser() for name in WRONG}

    answers = {name: enter(strangers[name], phone, **changed) for name, changed in WRONG.items()}

    refused = [name for name, answer in answers.items() if "didn&#39;t open an account here" in answer.text]
    assert refused == list(WRONG)
    assert {answer.status_code for answer in answers.values()} == {422}
    assert [name for name, stranger in strangers.items() if is_logged_in(stranger)] == []
    assert enter(site.browser(), phone).url.path == "/"


UNADDABLE = ["another site's name", "another origin", "without TLS", "nobody present", "not unlocked", "in a frame"]


@deep
def test_what_is_not_quite_right_is_not_added(
    site: Site, susan: Browser, phone: Authenticator, mailbox: Mailbox
) -> None:
    statuses = {name: add(susan, phone, **WRONG[name]).status_code for name in UNADDABLE[:3]}
    david = site.browser()  # each may try but a few times an hour
    register(david, mailbox, "david")
    log_in(david, "david")
    statuses |= {name: add(david, phone, **WRONG[name]).status_code for name in UNADDABLE[3:]}

    assert statuses == dict.fromkeys(UNADDABLE, 422)
    assert table(site, "passkey") == []


MADE_UP = ["", "{}", "[]", "null", "1", '"x"', "{", "[" * 5000, "\u0000", "é" * 4000]
MADE_UP += ['{"rawId":"\\ud800","response":{}}', '{"rawId":"x","response":{"userHandle":"\\ud800"}}']
MADE_UP += ['{"rawId":"\\u0000","response":{"userHandle":"\\u0000"}}']
MADE_UP += ['{"rawId":1,"response":1}', '{"rawId":"x","response":{}}']
MADE_UP += ['{"rawId":"x","response":{"clientDataJSON":"AAAA"}}', json.dumps({"rawId": "x" * 11000, "response": {}})]


@deep
def test_what_no_browser_sends_is_refused_in_words(site: Site, susan: Browser, phone: Authenticator) -> None:
    """C46"""
    add(susan, phone)
    mine = json.loads(phone.use(susan.get(CHALLENGE).json()))
    statuses: dict[str, int] = {}
    for sent in MADE_UP:
        statuses[sent] = site.browser().post(LOG_IN, data={"credential": sent}).status_code
        for part in mine["response"]:
            broken = json.dumps(mine | {"response": mine["response"] | {part: sent[:100]}})
            statuses[f"{part}: {sent}"] = site.browser().post(LOG_IN, data={"credential": broken}).status_code

    assert {sent[:200]: status for sent, status in statuses.items() if status != 422} == {}


@pytest.mark.parametrize("number", range(0, len(MADE_UP), 4))
@deep
def test_what_no_browser_sends_is_not_added(site: Site, susan: Browser, number: int) -> None:
    """C46"""
    statuses = {
        sent[:200]: susan.post("/passkeys", data={"credential": sent, "current_password": PASSWORD}).status_code
        for sent in MADE_UP[number : number + 4]
    }

    assert {sent: status for sent, status in statuses.items() if status != 422} == {}


@deep
def test_an_answer_opens_once_and_only_for_a_while(site: Site, susan: Browser, phone: Authenticator) -> None:
    add(susan, phone)
    browser = site.browser(follow_redirects=False)
    credential = phone.use(browser.get(CHALLENGE).json())
    late = phone.use(browser.get(CHALLENGE).json())

    first = browser.post(LOG_IN, data={"credential": credential})
    second = site.browser().post(LOG_IN, data={"credential": credential})
    with time_machine.travel(time.time() + 601):
        third = site.browser().post(LOG_IN, data={"credential": late})

    assert [answer.status_code for answer in (first, second, third)] == [303, 422, 422]


@deep
def test_of_one_answer_sent_many_times_at_once_one_opens(any_site: Site, mailbox: Mailbox) -> None:
    """C17, on both databases."""
    phone, susan = Authenticator(), any_site.browser()
    register(susan, mailbox)
    log_in(susan)
    add(susan, phone)
    credential = phone.use(susan.get(CHALLENGE).json())
    browsers = [any_site.browser(follow_redirects=False) for _time in range(10)]

    with ThreadPoolExecutor(10) as senders:
        answers = senders.map(lambda each: each.post(LOG_IN, data={"credential": credential}).status_code, browsers)

    assert Counter(answers) == {303: 1, 422: 9}


@deep
def test_a_counter_that_falls_is_written_down_and_refuses_nobody(
    site: Site, susan: Browser, phone: Authenticator
) -> None:
    add(susan, phone, counter=5)
    enter(site.browser(), phone, counter=6)
    before = events_of(site)
    home = enter(site.browser(), phone, counter=6)

    assert "passkey_counter" not in before
    assert home.url.path == "/"
    assert events_of(site)[-2:] == ["passkey_counter", "logged_in"]


@deep
def test_the_page_says_whether_it_is_synced(site: Site, susan: Browser, phone: Authenticator) -> None:
    add(susan, phone)
    enter(site.browser(), phone, flags=PRESENT | VERIFIED | CAN_SYNC | SYNCED)

    assert ">Synced<" in susan.get("/passkeys").text


@deep
def test_the_same_passkey_is_not_added_twice_and_the_browser_is_told_which_there_are(
    susan: Browser, phone: Authenticator
) -> None:
    add(susan, phone)
    options = options_of(susan.get("/passkeys").text)
    again = add(susan, phone)

    assert len(options["excludeCredentials"]) == 1
    assert again.status_code == 422
    assert "on the list already" in again.text


@deep
def test_the_site_is_known_by_its_own_name_and_never_by_the_host_header(site: Site, susan: Browser) -> None:
    """C09"""
    options, asked = options_of(susan.get("/passkeys").text), susan.get(CHALLENGE).json()

    assert options["rp"]["id"] == asked["rpId"] == "blog.example"
    assert susan.get(CHALLENGE, headers={"host": "evil.example"}).status_code == 400
    assert options["attestation"] == "none"
    assert "susan" not in json.dumps(options["user"]["id"])


@deep
def test_the_challenge_tells_nobody_who_has_a_passkey(site: Site, susan: Browser, phone: Authenticator) -> None:
    """C01, C02: it names none, and nobody is looked up."""
    before = susan.get(CHALLENGE).json()
    add(susan, phone)
    with statements(site) as seen:
        stranger = site.browser().get(CHALLENGE).json()

    assert seen == []
    assert stranger["allowCredentials"] == []
    assert stranger | {"challenge": ""} == before | {"challenge": ""}
    assert len(stranger["challenge"]) == len(before["challenge"])


def test_a_disabled_account_opens_to_no_passkey(site: Site, susan: Browser, phone: Authenticator) -> None:
    add(susan, phone)
    execute(site, "UPDATE user_account SET disabled_at = created_at")

    assert enter(site.browser(), phone).status_code == 422


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:8000", "http://[::1]:8000"])
@deep
def test_an_address_can_have_no_passkeys_and_says_so(
    make_settings: Callable[..., Settings], start_site: Callable[[Settings], Site], sqlite_url: str, base_url: str
) -> None:
    sender = "no-reply@blog.example"
    site = start_site(make_settings(database_url=sqlite_url, base_url=base_url, mail_sender=sender))
    assert site.mailbox
    browser = site.browser()
    register(browser, site.mailbox)
    log_in(browser)

    assert "can't have passkeys" in browser.get("/passkeys").text
    assert "passkeys.js" not in site.browser().get("/login").text
    assert browser.get(CHALLENGE).status_code == 404
    assert browser.post(LOG_IN).status_code == 404
    assert "Never forget" not in browser.get("/").text


@pytest.mark.parametrize(
    ("base_url", "can"),
    [
        ("https://blog.example", True),
        ("http://localhost:8000", True),
        ("https://192.0.2.1", False),
        ("http://[::1]:1", False),
    ],
)
def test_who_can_have_passkeys(make_settings: Callable[..., Settings], base_url: str, can: bool) -> None:
    assert make_settings(base_url=base_url).can_have_passkeys is can


OFFER = "Next time, log in without a password"


@deep
def test_a_passkey_is_offered_until_there_is_one_or_it_is_declined(
    site: Site, mailbox: Mailbox, susan: Browser, phone: Authenticator
) -> None:
    david = signed_in(site, mailbox, "david")
    susan.post("/follow/david")
    david.post("/follow/susan")
    offered = [OFFER in browser.get("/").text for browser in (susan, david)]
    susan.post("/passkeys/decline")
    add(david, phone)

    assert offered == [True, True]
    assert [OFFER in browser.get("/").text for browser in (susan, david)] == [False, False]


def test_a_newcomer_meets_people_before_a_passkey_is_offered(site: Site, mailbox: Mailbox, susan: Browser) -> None:
    susan.post("/", data={"body": "Hello."})
    newcomer = site.browser()
    newcomer.post("/register", data={"email": "noor@example.com"})
    home = newcomer.post(mailbox.link(to="noor@example.com"), data={"username": "noor", "password": PASSWORD})
    newcomer.post("/follow/susan")
    followed = newcomer.get("/").text
    newcomer.post("/unfollow/susan")
    log_in(newcomer, "noor")
    again = newcomer.get("/").text
    newcomer.post("/follow/susan")

    assert [OFFER in page for page in (home.text, followed, again)] == [False, False, False]
    assert ["People to begin with" in page for page in (home.text, followed, again)] == [True, False, True]
    assert OFFER in newcomer.get("/").text


def test_when_something_was_last_used_takes_one_line_on_a_phone(
    site: Site, susan: Browser, phone: Authenticator
) -> None:
    """It is told as "5 minutes ago": a whole date takes two."""
    add(susan, phone)
    enter(site.browser(), phone)

    for path, count in {"/passkeys": 1, "/sign-in_methods": 2, "/sessions": 1}.items():
        told = re.findall(r"Last (?:used|seen):?(?:</dt> <dd>| )<time([^>]*)>", susan.get(path).text)
        assert [" data-ago" in attributes for attributes in told] == [True] * count, path


# What ends them (C19, C68).


@deep
def test_a_reset_ends_the_passkeys_that_a_thief_may_have_added(
    site: Site, susan: Browser, phone: Authenticator, mailbox: Mailbox
) -> None:
    add(susan, phone)
    link = forget_and_find_link(site.browser(), mailbox)
    page = site.browser().get(link)
    done = site.browser().post(link, data={"password": NEW_PASSWORD})

    assert "You'll be logged out on 1 device. Its passkeys will stop working, too." in page.text
    assert "Your passkeys no longer work either" in done.text
    assert enter(site.browser(), phone).status_code == 422
    assert table(site, "passkey") == []


@deep
def test_a_session_that_is_kept_keeps_the_passkey_that_opened_it_and_no_other(
    site: Site, susan: Browser, phone: Authenticator
) -> None:
    thiefs = Authenticator()
    add(susan, phone)
    add(susan, thiefs, name="the thief's")
    owner = site.browser()
    enter(owner, phone)

    owner.post("/sessions/end_others")

    assert enter(site.browser(), phone).url.path == "/"
    assert enter(site.browser(), thiefs).status_code == 422
    assert [row[6] for row in table(site, "passkey")] == ["My phone"]


@deep
@pytest.mark.parametrize(
    ("path", "fields", "subject"),
    [
        ("/change_password", {"current_password": PASSWORD, "password": NEW_PASSWORD}, "Your password on"),
        ("/sessions/end_others", {}, "You were logged out everywhere else"),
    ],
)
def test_what_ends_all_passkeys_of_a_session_without_one_says_so_by_email(
    site: Site, susan: Browser, phone: Authenticator, mailbox: Mailbox, path: str, fields: dict[str, str], subject: str
) -> None:
    """A thief may have done it, so the owner hears of everything that is gone."""
    add(susan, phone)
    susan.post(path, data=fields)

    assert enter(site.browser(), phone).status_code == 422
    told = mailbox.last("susan@example.com", subject=subject)
    assert "Your passkeys stopped working, too" in " ".join(told.text.split())
    assert "Your passkeys stopped working, too" in told.html


@deep
def test_a_passkey_answers_the_second_step_and_nobody_is_told_that_it_was_not(
    site: Site, susan: Browser, phone: Authenticator
) -> None:
    add(susan, phone)
    set_up_app(susan)
    browser = site.browser()
    page = log_in(browser)

    home = enter(browser, phone)

    assert page.url.path == "/login/second_step"
    assert "data-passkey" in page.text
    assert home.url.path == "/"
    assert execute(site, "SELECT id FROM pending_log_in WHERE finished_at IS NULL") == []
