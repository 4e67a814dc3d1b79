"""The check-up: each way back is tried without using it up, and the weakest is named."""

import re
import time

import pytest
import time_machine

from tests.addresses.steps import signed_in
from tests.depth import deep
from tests.factors.steps import set_up_app
from tests.mailbox import Mailbox
from tests.passkeys.authenticator import Authenticator
from tests.passkeys.test_passkeys import add
from tests.sites import Browser, Site
from tests.stories import PASSWORD, log_in, register
from tests.watching import execute

SUSAN = "susan@example.com"


@pytest.fixture
def susan(site: Site, mailbox: Mailbox) -> Browser:
    return signed_in(site, mailbox)


def codes_of(susan: Browser) -> list[str]:
    page = susan.post("/recovery_codes", data={"current_password": PASSWORD}).text
    return re.findall(r"<code>(\S+)</code>", page)


def weakest(susan: Browser) -> str:
    found = re.search(r"The weakest point</strong> ([^<]+)<", susan.get("/checkup").text)
    return found[1] if found else ""


def follow_test_link(susan: Browser, mailbox: Mailbox, site: Site) -> str:
    susan.post("/checkup/send")
    link = mailbox.link(SUSAN, subject="A test link")
    assert "arrived, whole and unchanged" in susan.post(link).text
    return link


def use(susan: Browser, device: Authenticator) -> str:
    challenge = susan.get("/checkup/passkey/challenge").json()
    return susan.post("/checkup/passkey", data={"credential": device.use(challenge)}).text


@deep
def test_it_names_the_weakest_point_until_all_is_well(site: Site, susan: Browser, mailbox: Mailbox) -> None:
    said = [weakest(susan)]
    phone = Authenticator()
    add(susan, phone)
    said.append(weakest(susan))
    code = codes_of(susan)[0]
    said.append(weakest(susan))
    follow_test_link(susan, mailbox, site)
    said.append(weakest(susan))
    susan.post("/checkup", data={"recovery_code": code[:4]})
    page = susan.get("/checkup").text

    assert [sentence.partition(".")[0] for sentence in said] == [
        "If you lose your mailbox, there&#39;s no other way back in",
        "If you lose this device, only the mailbox is left",
        "We don&#39;t know whether our emails reach you",
        "Do you still have your recovery codes? Type four characters of one",
    ]
    assert "All is well." in page


def test_four_characters_of_a_code_are_known_and_spend_nothing(site: Site, susan: Browser) -> None:
    codes = codes_of(susan)
    before = execute(site, "SELECT * FROM recovery_code")

    answers = [
        susan.post("/checkup", data={"recovery_code": typed}).text for typed in (codes[0][:4].upper(), f" {codes[1]} ")
    ]

    assert all("That code is on your list" in answer for answer in answers)
    assert execute(site, "SELECT * FROM recovery_code") == before


@deep
def test_a_used_code_and_a_wrong_one_are_told(site: Site, susan: Browser) -> None:
    codes = codes_of(susan)
    site.browser().post("/recover", data={"username": "susan", "code": codes[0]})

    assert "None of your unused codes" in susan.post("/checkup", data={"recovery_code": codes[0][:4]}).text
    assert susan.post("/checkup", data={"recovery_code": "0000"}).status_code == 422
    assert susan.post("/checkup", data={"recovery_code": ""}).status_code == 422


def test_a_look_at_the_test_link_proves_nothing_and_the_button_does(
    site: Site, susan: Browser, mailbox: Mailbox
) -> None:
    """C20: programs that look into emails open links, too."""
    link = ask_for_test_link(susan, mailbox)
    for _look in range(3):
        assert "The test link" in site.browser().get(link).text
    assert execute(site, "SELECT email_checked_at FROM user_account") == [(None,)]

    done = site.browser().post(link)

    assert "arrived, whole and unchanged" in done.text
    assert "A test link arrived at susan@example.com" in susan.get("/checkup").text


SCANNER, PHONE = {"user-agent": "LinkScan/2.1", "x-forwarded-for": "192.0.2.7"}, {"user-agent": "A phone"}
AGAIN = {"user-agent": "A phone", "x-forwarded-for": "192.0.2.7"}
PROGRAM, SOMEBODY = "A program had opened it before you", "It had been opened before"
NOBODY = "nobody opened it before you"


def ask_for_test_link(susan: Browser, mailbox: Mailbox) -> str:
    before = len(mailbox.all(SUSAN, "A test link"))
    susan.post("/checkup/send")
    return mailbox.link(SUSAN, before + 1, "A test link")


@pytest.mark.parametrize(
    ("looks", "minutes", "words"),
    [
        ([], 0, NOBODY),
        ([PHONE], 0, NOBODY),
        ([PHONE, SCANNER], 0, NOBODY),
        ([SCANNER], 0, PROGRAM),
        ([SCANNER, PHONE], 0, PROGRAM),
        ([AGAIN], 0, PROGRAM),
        ([AGAIN], 5, NOBODY),
        ([SCANNER], 5, SOMEBODY),
    ],
    ids=[
        "nobody",
        "the person",
        "the person, then a program",
        "a program",
        "a program, then the person",
        "a program that says it is the same browser",
        "the person, who is now in another network",
        "something, minutes later",
    ],
)
@deep
def test_it_says_whether_a_program_opened_the_link_first(
    site: Site, susan: Browser, mailbox: Mailbox, looks: list[dict[str, str]], minutes: int, words: str
) -> None:
    phone, link = site.browser(), ask_for_test_link(susan, mailbox)
    with time_machine.travel(time.time() + minutes * 60):
        for headers in looks:
            phone.head(link, headers=headers)
        said = phone.post(link, headers=PHONE).text

    assert [each for each in (PROGRAM, SOMEBODY, NOBODY) if each in said] == [words]
    assert (words in susan.get("/checkup").text) == (words != NOBODY)
    assert ("192.0.2.7" in said) == (words != NOBODY)


def test_a_visit_in_the_persons_own_browser_is_not_taken_for_a_programs(
    site: Site, susan: Browser, mailbox: Mailbox
) -> None:
    """Logged in there or out."""
    link = ask_for_test_link(susan, mailbox)
    susan.get(link)
    susan.post("/logout")
    susan.get(link)

    assert NOBODY in site.browser().post(link, headers=PHONE).text


@deep
def test_a_visit_to_an_older_link_says_nothing_of_the_newest(site: Site, susan: Browser, mailbox: Mailbox) -> None:
    older = ask_for_test_link(susan, mailbox)
    with time_machine.travel(time.time() + 2):
        newest = ask_for_test_link(susan, mailbox)
        site.browser().get(older, headers=SCANNER)

        assert NOBODY in site.browser().post(newest, headers=PHONE).text


def test_a_cut_or_outdated_test_link_says_so(site: Site, susan: Browser, mailbox: Mailbox) -> None:
    susan.post("/checkup/send")
    link = mailbox.link(SUSAN, subject="A test link")
    cut = susan.get(link[:-5])
    execute(site, "UPDATE user_account SET epoch = epoch + 1")

    assert cut.status_code == 404
    assert "incomplete" in cut.text
    assert site.browser().get(link).status_code == 410


@deep
def test_a_passkey_is_tried_and_somebody_elses_is_refused(site: Site, susan: Browser, mailbox: Mailbox) -> None:
    phone, other = Authenticator(), Authenticator()
    add(susan, phone)
    david = site.browser()
    register(david, mailbox, "david")
    log_in(david, "david")
    add(david, other)

    assert "Your passkey works" in use(susan, phone)
    assert "open this account" in use(susan, other)


def test_what_answers_the_check_up_logs_nobody_in(site: Site, susan: Browser) -> None:
    phone = Authenticator()
    add(susan, phone)
    credential = phone.use(susan.get("/checkup/passkey/challenge").json())

    assert site.browser().post("/login/passkey", data={"credential": credential}).status_code == 422


def test_the_home_page_asks_once_a_year_and_can_be_told_not_to(site: Site, susan: Browser) -> None:
    susan.post("/passkeys/decline")
    fresh = susan.get("/").text
    with time_machine.travel("2031-01-01"):
        later = site.browser()
        log_in(later)
        asked = later.get("/").text
        later.post("/checkup/decline")
        declined = later.get("/").text

    assert "Can you get back in?" not in fresh
    assert "Can you get back in?" in asked
    assert "Can you get back in?" not in declined


@deep
def test_a_code_of_the_app_is_taken_and_recovery_codes_in_its_place_are_not(site: Site, susan: Browser) -> None:
    app = set_up_app(susan)

    wrong = susan.post("/checkup/app", data={"code": app.codes[1]})
    right = susan.post("/checkup/app", data={"code": app.code()})

    assert wrong.status_code == 422
    assert "Your authenticator app works" in right.text


@deep
def test_an_app_without_codes_is_the_weakest_point(site: Site, susan: Browser) -> None:
    set_up_app(susan)
    execute(site, "DELETE FROM recovery_code")

    assert weakest(susan).startswith("If you lose the phone with your authenticator app")
