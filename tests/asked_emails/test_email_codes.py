"""The code beside the link: for the browser that asked, five tries, as long as the link, and stored nowhere."""

import re
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import time_machine

from tests.depth import deep, one_in
from tests.mailbox import Mailbox
from tests.moments import START
from tests.recovery.test_reset_request import DISABLED, HTMX, KNOWN, UNKNOWN, with_people, without_typed
from tests.sites import SECRET_KEY, Browser, Site
from tests.stories import NEW_PASSWORD, PASSWORD, RESET_SUBJECT, ask_for_reset, log_in, register
from tests.watching import dump, execute, statements, wait_until_posted
from webapp.accounts.tokens import Purpose
from webapp.asked_emails import asked_emails, email_codes
from webapp.asked_emails.asked_emails import Asked
from webapp.settings import Settings

CODE = re.compile(r"^(\d{4} \d{4})$", re.MULTILINE)
MINUTE = 60


def code_in(text: str) -> str:
    [code] = CODE.findall(text)
    return str(code)


def wrong(code: str) -> str:
    return f"{(int(code.replace(' ', '')) + 50_000_000) % 100_000_000:08}"


def ask(browser: Browser, typed: str = KNOWN) -> str:
    """Asks for a reset; returns the address of the page that waits for the email."""
    answer = ask_for_reset(browser, typed)
    page = answer.headers.get("location") or answer.url.path
    assert page.startswith("/check_email/")
    return page


def type_code(browser: Browser, page: str, code: str, **headers: str):  # type: ignore[no-untyped-def]
    return browser.post(f"{page}/code", data={"code": code}, headers=headers)


@pytest.fixture
def susan(site: Site, mailbox: Mailbox) -> Site:
    register(site.browser(), mailbox)
    return site


def reset_code(mailbox: Mailbox, count: int = 1) -> str:
    return code_in(mailbox.last(KNOWN, count, RESET_SUBJECT).text)


def test_the_code_leads_to_the_form_of_the_link_and_dies_with_it(susan: Site, mailbox: Mailbox) -> None:
    browser = susan.browser()
    page = ask(browser)
    assert 'autocomplete="one-time-code"' in browser.get(page).text
    code = reset_code(mailbox)

    form = type_code(browser, page, code)
    done = browser.post(form.url.path, data={"password": NEW_PASSWORD})

    assert form.url.path.startswith("/reset_password/")
    assert (form.status_code, done.url.path) == (200, "/login")
    assert log_in(susan.browser(), password=NEW_PASSWORD).url.path == "/"
    assert "That code isn&#39;t right." in type_code(browser, page, code).text, "used up with the link"


@deep
@pytest.mark.parametrize(
    "spelled", ["{0}{1}", " {0}  {1} ", "{0}-{1}", "{0}\u00a0{1}", "Your code: {0} {1}.", "{0}\t{1}"]
)
@one_in(3)
def test_a_pasted_code_works_with_what_comes_along(susan: Site, mailbox: Mailbox, spelled: str) -> None:
    browser = susan.browser(follow_redirects=False)
    page = ask(browser)
    code = reset_code(mailbox)

    assert type_code(browser, page, spelled.format(*code.split())).status_code == 303


def test_digits_of_any_script_are_digits(susan: Site, mailbox: Mailbox) -> None:
    browser = susan.browser(follow_redirects=False)
    page = ask(browser)
    code = reset_code(mailbox)

    assert type_code(browser, page, code.translate({ord("0") + n: 0x0660 + n for n in range(10)})).status_code == 303


def test_under_htmx_the_code_leads_on_in_a_real_navigation(susan: Site, mailbox: Mailbox) -> None:
    browser = susan.browser()
    panel = browser.post("/reset_password_request", data={"email": KNOWN}, headers=HTMX)
    page = panel.headers["hx-push-url"]

    answer = type_code(browser, page, reset_code(mailbox), **HTMX)

    assert 'autocomplete="one-time-code"' in panel.text
    assert answer.headers["hx-redirect"].startswith("/reset_password/")


@deep
def test_registration_and_a_new_address_take_a_code_too(site: Site, mailbox: Mailbox) -> None:
    browser = site.browser()
    page = browser.post("/register", data={"email": KNOWN}).url.path
    form = type_code(browser, page, code_in(mailbox.last(KNOWN).text))
    browser.post(form.url.path, data={"username": "susan", "password": PASSWORD})

    page = browser.post("/change_email", data={"current_password": PASSWORD, "email": "new@example.net"}).url.path
    confirm = type_code(browser, page, code_in(mailbox.last("new@example.net").text))
    browser.post(confirm.url.path)

    assert form.url.path.startswith("/register/")
    assert confirm.url.path.startswith("/confirm_email/")
    assert execute(site, "SELECT email FROM user_account") == [("new@example.net",)]


def test_the_email_has_the_code_twice_and_only_if_a_page_waits_for_it(susan: Site, mailbox: Mailbox) -> None:
    ask(susan.browser())
    email = mailbox.last(KNOWN, subject=RESET_SUBJECT)
    execute(susan, "UPDATE user_account SET password_locked_at = created_at")
    log_in(susan.browser())

    locked = mailbox.last(KNOWN, 2, RESET_SUBJECT)

    assert code_in(email.text) in str(email.html)
    assert CODE.findall(locked.text) == []


@deep
def test_another_browser_gets_nothing_from_the_code_and_its_page_has_no_field(susan: Site, mailbox: Mailbox) -> None:
    asking, other = susan.browser(follow_redirects=False), susan.browser(follow_redirects=False)
    page = ask(asking)
    code = reset_code(mailbox)
    ask(other, UNKNOWN)  # it has a cookie, but of its own

    answers = [type_code(browser, page, code) for browser in (other, susan.browser(follow_redirects=False))]

    assert [answer.status_code for answer in answers] == [422, 422]
    assert "only in the browser where you asked" in answers[0].text
    assert "one-time-code" not in other.get(page).text
    assert type_code(asking, page, code).status_code == 303, "and no try was counted"


@deep
def test_the_code_of_one_request_works_on_no_other_page(susan: Site, mailbox: Mailbox) -> None:
    browser = susan.browser(follow_redirects=False)
    first = ask(browser)
    code = reset_code(mailbox)
    with time_machine.travel(time.time() + 61):
        second = ask(browser)
        reset_code(mailbox, 2)

        assert type_code(browser, second, code).status_code == 422
        assert type_code(browser, first, code).status_code == 303


def test_sent_again_from_its_page_both_codes_work_there(susan: Site, mailbox: Mailbox) -> None:
    browser = susan.browser(follow_redirects=False)
    page = ask(browser)
    first = reset_code(mailbox)
    with time_machine.travel(time.time() + 3 * MINUTE):
        again = browser.post(page).headers["location"]
        second = reset_code(mailbox, 2)

        assert first != second
        assert [type_code(browser, again, code).status_code for code in (first, second)] == [303, 303]


def test_five_tries_and_then_the_right_code_is_refused_and_the_link_works(susan: Site, mailbox: Mailbox) -> None:
    browser = susan.browser(follow_redirects=False)
    page = ask(browser)
    email = mailbox.last(KNOWN, subject=RESET_SUBJECT)
    code = code_in(email.text)

    statuses = [type_code(browser, page, wrong(code)).status_code for _try in range(5)]
    refused = type_code(browser, page, code)

    assert statuses == [422] * 5
    assert refused.status_code == 429
    assert "too many wrong codes" in refused.text
    assert browser.get(mailbox.link(KNOWN, subject=RESET_SUBJECT)).status_code == 200


@deep
def test_of_many_guesses_at_once_five_are_looked_at(any_site: Site, mailbox: Mailbox) -> None:
    """C17: counted before the code is looked at, on both databases."""
    register(any_site.browser(), mailbox)
    asking = any_site.browser(follow_redirects=False)
    page, code = ask(asking), reset_code(mailbox)
    browsers = [any_site.browser(asking.headers["x-forwarded-for"], follow_redirects=False) for _guess in range(20)]
    for browser in browsers:
        browser.cookies.update(asking.cookies)

    with ThreadPoolExecutor(len(browsers)) as guessers:
        statuses = Counter(guessers.map(lambda browser: type_code(browser, page, wrong(code)).status_code, browsers))

    assert statuses == {422: 5, 429: 15}


@deep
def test_over_many_requests_the_guesses_for_one_account_have_a_limit(susan: Site) -> None:
    statuses = []
    for number in range(5):
        browser = susan.browser(follow_redirects=False)
        with time_machine.travel(START + number * 3601, tick=False):
            page = ask(browser)
            statuses += [type_code(browser, page, "1234 5678").status_code for _try in range(5)]

    assert statuses == [422] * 20 + [429] * 5


def test_what_cant_be_a_code_is_said_so_and_costs_no_attempt(susan: Site, mailbox: Mailbox) -> None:
    browser = susan.browser(follow_redirects=False)
    page = ask(browser)

    answers = [type_code(browser, page, typed) for typed in ["", "1234", "1234 56789", "abcdefgh", "²³²³²³²³"] * 2]

    assert {answer.status_code for answer in answers} == {422}
    assert "Type the 8 digits" in answers[1].text
    assert type_code(browser, page, reset_code(mailbox)).status_code == 303


@pytest.mark.parametrize(("seconds", "status"), [(0, 303), (599, 303), (661, 422)])
@deep
def test_the_code_lives_as_long_as_the_link_to_the_minute(
    susan: Site, mailbox: Mailbox, seconds: int, status: int
) -> None:
    browser = susan.browser(follow_redirects=False)
    page = ask(browser)
    code = reset_code(mailbox)

    with time_machine.travel(time.time() + seconds):
        assert type_code(browser, page, code).status_code == status


def test_the_form_behind_a_code_closes_when_its_email_says(susan: Site, mailbox: Mailbox) -> None:
    """C15: the code does not make the link live longer than a minute more."""
    browser = susan.browser(follow_redirects=False)
    page = ask(browser)
    code = reset_code(mailbox)
    with time_machine.travel(time.time() + 590):
        form = type_code(browser, page, code).headers["location"]
    with time_machine.travel(time.time() + 661):
        assert browser.get(form).status_code == 410


@pytest.mark.parametrize("lifetime", [1, 10, 17, 60, 24 * 60])
def test_whenever_it_is_written_the_code_is_known_while_the_link_works(
    make_settings: Callable[..., Settings], lifetime: int
) -> None:
    """A retried email is written at any second: minting and typing must round alike."""
    settings = make_settings(reset_token_minutes=lifetime)
    target = email_codes.to_reset(settings, 1, 0)
    seconds = lifetime * 60

    for written in range(1_800_000_000, 1_800_000_000 + 3 * target.step, max(1, target.step // 60)):
        end = target.last_end(written)
        assert written + seconds <= end < written + seconds + target.step
        for typed in (written - 59, written, written + seconds // 2, written + seconds - 1):
            assert end in target.ends(typed)
        assert end not in target.ends(end)
    assert len(target.ends(1_800_000_000)) <= email_codes.STEPS + 2 + 60 // target.step


@deep
@pytest.mark.parametrize(
    "changed",
    [
        Asked("reset_password", KNOWN, id="another", browser=""),
        "UPDATE user_account SET epoch = epoch + 1",
        "UPDATE user_account SET disabled_at = created_at",
        "UPDATE user_account SET reset_paused_until = '2999-01-01 00:00:00.000000'",
        "UPDATE user_account SET email = 'moved@example.com'",
    ],
)
@one_in(3)
def test_what_ends_the_link_ends_the_code(susan: Site, mailbox: Mailbox, changed: object) -> None:
    """C19"""
    browser = susan.browser(follow_redirects=False)
    page = ask(browser)
    code = reset_code(mailbox)
    if isinstance(changed, str):
        execute(susan, changed)
    else:
        mark = asked_emails.mark(browser.cookies["__Host-asked"])
        other = Asked("reset_password", KNOWN, id="another", browser=mark)
        page = f"/check_email/{asked_emails.seal(susan.settings, other)}"

    assert type_code(browser, page, code).status_code == 422


def test_codes_of_one_kind_never_pass_as_another(make_settings: Callable[..., Settings]) -> None:
    """C14"""
    settings = make_settings()
    targets = [email_codes.to_reset(settings, 1, 0), email_codes.to_confirm(1, 0), email_codes.to_register("1")]
    same = [email_codes.Target(purpose, 1, 0, targets[0].lifetime) for purpose in Purpose]

    assert len({email_codes.mint(settings, "an id", each) for each in [*targets, *same]}) == len([*targets, *same]) - 1


def test_after_a_change_of_the_key_older_codes_work_until_it_is_forgotten(
    start_site: Callable[[Settings], Site], make_settings: Callable[..., Settings], sqlite_url: str
) -> None:
    """C22"""
    first = start_site(make_settings(database_url=sqlite_url))
    assert first.mailbox
    register(first.browser(), first.mailbox)
    browser = first.browser(follow_redirects=False)
    page = ask(browser)
    code = reset_code(first.mailbox)
    new_key = "another key for tests: 0123456789abcdef0123456789abcdef"
    rotated = start_site(make_settings(database_url=sqlite_url, secret_key=new_key, secret_key_fallbacks=(SECRET_KEY,)))
    forgotten = start_site(make_settings(database_url=sqlite_url, secret_key=new_key))

    def typed_at(site: Site) -> int:
        other = site.browser(follow_redirects=False)
        other.cookies.update(browser.cookies)
        return int(type_code(other, page, code).status_code)

    assert [typed_at(rotated), typed_at(forgotten)] == [303, 404]


# Whether anybody is here.


def typed_for(site: Site, typed: str, headers: dict[str, str]) -> list[tuple[int, dict[str, str], str]]:
    browser = site.browser(follow_redirects=False)
    page = ask(browser, typed)
    answers = [type_code(browser, page, "1234 5678", **headers) for _try in range(6)]
    return [without_typed(answer, typed) for answer in answers]


@deep
@pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx part"])
def test_a_wrong_code_is_answered_alike_whoever_was_asked_for(
    site: Site, mailbox: Mailbox, headers: dict[str, str]
) -> None:
    """C01, C04: bytes, status and headers, to the limit and over it."""
    with_people(site, mailbox)
    with time_machine.travel(START, tick=False):
        expected = typed_for(site, KNOWN, headers)
        others = [typed_for(site, typed, headers) for typed in (UNKNOWN, DISABLED, "o.-_+@example.com")]

    assert others == [expected] * 3
    assert [status for status, _headers, _body in expected] == [422] * 5 + [429]
    assert all("isn&#39;t right" in body for _status, _headers, body in expected[:5])


@deep
def test_a_code_costs_the_same_statements_whoever_was_asked_for(
    any_site: Site,
    mailbox: Mailbox,
    start_site: Callable[[Settings], Site],
    make_settings: Callable[..., Settings],
) -> None:
    """C02: a wrong code of who is here and of who is not, however they were asked for."""
    with_people(any_site, mailbox)
    silent = start_site(make_settings(database_url=any_site.settings.database_url, mailer="process"))
    execute(any_site, "UPDATE user_account SET username = 'renamed', username_key = 'renamed' WHERE username = 'dizzy'")
    kept = "INSERT INTO kept_username (username_key, user_id, kept_until) VALUES ('dizzy', 2, '2999-01-01 00:00:00')"
    execute(any_site, kept)

    def work(typed: str) -> list[str]:
        browser = silent.browser(follow_redirects=False)
        page = ask(browser, typed)
        with statements(silent) as seen:
            assert type_code(browser, page, "1234 5678").status_code == 422
        return seen

    work("warms@up.example"), work("warmsup")
    by_email = {typed: work(typed) for typed in (KNOWN, UNKNOWN, DISABLED)}
    by_name = {typed: work(typed) for typed in ("susan", "nobdy", "dizzy", "renamed")}
    by_link = {user: work_by_link(silent, user) for user in (1, 99)}

    for compared in (by_email, by_name, by_link):
        assert len({tuple(each) for each in compared.values()}) == 1
    assert any("user_account" in statement for statement in by_email[UNKNOWN]), "the trace saw the look-up"
    assert silent.argon2.runs == []


def work_by_link(site: Site, user_id: int) -> list[str]:
    browser = site.browser(follow_redirects=False)
    browser.cookies.set("__Host-asked", "a browser")
    mark = asked_emails.mark("a browser")
    asked = Asked("reset_password", f"user {user_id}", user_id=user_id, id=f"an id {user_id}", browser=mark)
    with statements(site) as seen:
        page = f"/check_email/{asked_emails.seal(site.settings, asked)}"
        assert type_code(browser, page, "1234 5678").status_code == 422
    return seen


def test_by_a_former_username_the_code_works_as_the_email_says(susan: Site, mailbox: Mailbox) -> None:
    execute(susan, "UPDATE user_account SET username = 'renamed', username_key = 'renamed'")
    kept = "INSERT INTO kept_username (username_key, user_id, kept_until) VALUES ('susan', 1, '2999-01-01 00:00:00')"
    execute(susan, kept)
    browser = susan.browser(follow_redirects=False)
    page = ask(browser, "susan")

    assert type_code(browser, page, reset_code(mailbox)).status_code == 303


def test_the_code_is_nowhere_in_the_database_or_the_log(
    susan: Site, mailbox: Mailbox, caplog: pytest.LogCaptureFixture
) -> None:
    """C21"""
    browser = susan.browser(follow_redirects=False)
    page = ask(browser)
    code = reset_code(mailbox)
    wait_until_posted(susan)
    type_code(browser, page, code)
    digits = code.replace(" ", "")

    seen = repr(dump(susan)) + " ".join(repr(vars(record)) for record in caplog.records)

    assert browser.cookies["__Host-asked"] not in seen
    assert [form for form in (code, digits, digits.lstrip("0")) if form in seen] == []


def test_without_our_signature_there_is_no_such_page(susan: Site) -> None:
    assert type_code(susan.browser(), "/check_email/made-up", "1234 5678").status_code == 404


def test_a_reload_of_the_answer_leads_back_to_the_page(susan: Site) -> None:
    browser = susan.browser(follow_redirects=False)
    page = ask(browser)

    assert browser.get(f"{page}/code").headers["location"] == page
