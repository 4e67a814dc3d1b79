"""Recovery codes: made with the password, shown once, good for one new password each, and of no use for guessing."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
import time_machine
from httpx2 import Response

from tests.depth import deep
from tests.factors.steps import set_up_app
from tests.mailbox import Mailbox, paths_in
from tests.moments import START
from tests.sites import Browser, Site
from tests.stories import NEW_PASSWORD, PASSWORD, forget_and_find_link, is_logged_in, log_in, register
from tests.watching import disable, execute, standing_site, statements, table
from webapp.accounts import tokens
from webapp.factors import codes
from webapp.settings import Settings

HTMX = {"hx-request": "true", "hx-request-type": "partial"}
SUSAN = "susan@example.com"
NEVER = "2222-2222-2222"  # one in 10^17 that it is right


@pytest.fixture
def paper(susan: Browser) -> list[str]:
    """The ten codes that susan printed."""
    return made(susan)


@pytest.fixture(scope="module")
def standing(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site for all tests that want no more of it than a code of susan's: argon2 is slow. Emails stay in its outbox.

    Dizzy made codes too, and is disabled.
    """
    with standing_site(migrated_sqlite, tmp_path_factory.mktemp("standing"), mailer="process") as site:
        site.app.state.sheets = {}
        for name in ("susan", "dizzy"):
            browser = site.browser()
            invitation = tokens.register_link(site.settings, f"{name}@example.com").partition(".example")[2]
            browser.post(invitation, data={"username": name, "password": PASSWORD})
            log_in(browser, name)
            site.app.state.sheets[name] = made(browser)
        disable(site, "dizzy")
        yield site


@pytest.fixture
def code(standing: Site) -> str:
    """The next code of susan's on the standing site."""
    return str(standing.app.state.sheets["susan"].pop())


def made(browser: Browser, password: str = PASSWORD) -> list[str]:
    return codes_in(browser.post("/recovery_codes", data={"current_password": password}).text)


def codes_in(page: str) -> list[str]:
    return re.findall(r"<code>([0-9a-z-]+)</code>", page)


def recover(browser: Browser, code: str, username: str = "susan", **more: dict[str, str]) -> Response:
    return browser.post("/recover", data={"username": username, "code": code}, **more)  # type: ignore[arg-type]


def test_ten_codes_are_made_for_the_password(site: Site, susan: Browser) -> None:
    before = susan.get("/recovery_codes").text

    answer = susan.post("/recovery_codes", data={"current_password": PASSWORD})

    found = codes_in(answer.text)
    assert "You have no codes." in before
    assert len(set(found)) == 10
    assert all(re.fullmatch(f"([{codes.ALPHABET}]{{4}}-){{2}}[{codes.ALPHABET}]{{4}}", code) for code in found)
    assert "You have 10 codes left." in susan.get("/recovery_codes").text


def test_they_are_shown_once_and_kept_as_hashes(site: Site, susan: Browser, paper: list[str]) -> None:
    page = susan.get("/recovery_codes").text
    stored = repr([table(site, name) for name in ("recovery_code", "outbox_email", "security_event")])

    assert codes_in(page) == []
    assert [code for code in paper if code in stored or code[5:].replace("-", "") in stored] == []
    assert stored.count("$argon2id$") == 10


@deep
@pytest.mark.parametrize(
    ("password", "words"),
    [("not the password", "That&#39;s not your current password."), ("", "type your current password, too.")],
)
def test_without_the_password_none_are_made(site: Site, susan: Browser, password: str, words: str) -> None:
    """C34"""
    answer = susan.post("/recovery_codes", data={"current_password": password}, headers=HTMX)

    assert answer.status_code == 422
    assert words in answer.text
    assert table(site, "recovery_code") == []


def test_attempts_at_the_password_are_limited(site: Site, susan: Browser) -> None:
    """C12"""
    for _try in range(5):
        susan.post("/recovery_codes", data={"current_password": "not the password"})

    answer = susan.post("/recovery_codes", data={"current_password": PASSWORD})

    assert answer.status_code == 429
    assert table(site, "recovery_code") == []


@deep
def test_new_codes_end_the_old_ones(site: Site, susan: Browser, paper: list[str]) -> None:
    newer = made(susan)

    assert set(newer).isdisjoint(paper)
    assert recover(site.browser(), paper[0]).status_code == 422
    assert recover(site.browser(), newer[0]).status_code == 200


@deep
def test_of_codes_made_at_once_only_ten_work(any_site: Site, susan: Browser) -> None:
    """Two requests hash in step, so that they come to the database together."""
    in_step = Barrier(2, timeout=20)

    def hash_in_step(run: str) -> None:
        if run == "hash":
            in_step.wait()

    any_site.argon2.meanwhile = hash_in_step
    with ThreadPoolExecutor(2) as crowd:
        sheets = list(crowd.map(made, [susan] * 2))

    assert [len(sheet) for sheet in sheets] == [10] * 2
    assert execute(any_site, "SELECT count(*) FROM recovery_code") == [(10,)]


@deep
def test_codes_asked_for_before_a_reset_are_not_made_after_it(any_site: Site, susan: Browser, mailbox: Mailbox) -> None:
    """C33: somebody with the old password stands in the hash of the first code while susan resets it."""
    link = forget_and_find_link(any_site.browser(), mailbox)
    is_first = [True]

    def reset(run: str) -> None:
        if run == "hash" and is_first and is_first.pop():
            any_site.browser().post(link, data={"password": NEW_PASSWORD})

    any_site.argon2.meanwhile = reset
    answer = susan.post("/recovery_codes", data={"current_password": PASSWORD})

    assert is_first == []
    assert answer.status_code == 422
    assert "Your account has just changed." in answer.text
    assert table(any_site, "recovery_code") == []
    assert log_in(any_site.browser(), password=NEW_PASSWORD).url.path == "/", "the reset did commit"


@pytest.mark.alike
def test_a_code_leads_to_a_new_password(any_site: Site, susan: Browser, paper: list[str]) -> None:
    locked_out = any_site.browser()

    page = recover(locked_out, paper[3])
    answer = locked_out.post(page.url.path, data={"password": NEW_PASSWORD})

    assert page.url.path.startswith("/reset_password/")
    assert "For <strong>susan</strong>. You'll be logged out on 1 device." in page.text
    assert "susan&#39;s password is changed. 1 device was logged out." in answer.text
    assert not is_logged_in(susan)
    assert log_in(locked_out, password=NEW_PASSWORD).url.path == "/"
    assert "Its recovery codes will stop working, too." in page.text
    assert "Your recovery codes no longer work either." in answer.text
    assert "You have no codes." in locked_out.get("/recovery_codes").text


def test_under_htmx_a_code_leads_there_by_a_real_navigation(standing: Site, code: str) -> None:
    answer = recover(standing.browser(), code, headers=HTMX)

    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["hx-redirect"].startswith("/reset_password/")


@pytest.mark.parametrize(
    ("username", "spelled"),
    [
        ("SuSan", str.upper),
        (SUSAN, lambda code: code.replace("-", "")),
        (" susan@EXAMPLE.com ", lambda code: f" {code[:4]} {code[5:]}\u2013 "),
    ],
)
def test_a_code_is_taken_however_it_is_typed(
    standing: Site, code: str, username: str, spelled: Callable[[str], str]
) -> None:
    assert recover(standing.browser(), spelled(code), username).url.path.startswith("/reset_password/")


def test_a_used_recovery_code_is_refused(standing: Site, code: str) -> None:
    """C16"""
    recover(standing.browser(), code)

    answer = recover(standing.browser(), code)

    assert answer.status_code == 422
    assert "match, or the code has been used" in answer.text


@deep
def test_of_fifty_at_once_with_one_code_one_wins(any_site: Site, paper: list[str]) -> None:
    """C17. One address may have twenty attempts in hand, so most of the others are told to come back."""
    browsers = [any_site.browser(follow_redirects=False) for _number in range(50)]

    with ThreadPoolExecutor(50) as crowd:
        statuses = list(crowd.map(lambda browser: recover(browser, paper[0]).status_code, browsers))

    assert statuses.count(303) == 1
    assert set(statuses) <= {303, 422, 503}
    assert statuses.count(422) >= 19
    assert execute(any_site, "SELECT count(*) FROM recovery_code WHERE used_at IS NOT NULL") == [(1,)]
    assert execute(any_site, "SELECT count(*) FROM outbox_email WHERE kind = 'recovery_code_used'") == [(1,)]


def test_a_code_opens_no_other_account(site: Site, mailbox: Mailbox, paper: list[str]) -> None:
    """C36"""
    register(site.browser(), mailbox, "david")

    assert recover(site.browser(), paper[0], "david").status_code == 422
    assert recover(site.browser(), paper[0], "susan").status_code == 200


@pytest.fixture(scope="module")
def strangers(standing: Site) -> dict[str, tuple[str, str]]:
    """All ways in which a name and a code may be wrong."""
    used_at, unused = standing.app.state.sheets["susan"].pop(), standing.app.state.sheets["susan"][0]
    assert recover(standing.browser(), used_at).url.path.startswith("/reset_password/")
    return {
        "nobody": ("nobdy", NEVER),
        "no such code": ("susan", NEVER),
        "a wrong code with a right label": ("susan", f"{unused[:4]}-2222-2222"),
        "a used code": ("susan", used_at),
        "a disabled account's code": ("dizzy", standing.app.state.sheets["dizzy"][0]),
    }


def refused(site: Site, username: str, code: str, headers: dict[str, str]) -> tuple[int, dict[str, str], str]:
    """The answer, but for what was typed."""
    answer = recover(site.browser(), code, username, headers=headers)
    return answer.status_code, dict(answer.headers), answer.text.replace(username, "{name}").replace(code, "{code}")


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])
def test_the_refusal_is_the_same_whatever_is_wrong(
    standing: Site, strangers: dict[str, tuple[str, str]], headers: dict[str, str]
) -> None:
    """C01, C12: status, headers and bytes."""
    answers = {kind: refused(standing, *typed, headers) for kind, typed in strangers.items()}

    assert answers == dict.fromkeys(answers, answers["nobody"])
    assert answers["nobody"][0] == 422


def test_the_work_is_the_same_whatever_is_wrong(standing: Site, strangers: dict[str, tuple[str, str]]) -> None:
    """C02, C12: the same statements in the same order, and one hash is checked."""
    work = {}

    for kind, (username, code) in strangers.items():
        standing.argon2.runs.clear()
        with statements(standing) as seen:
            assert recover(standing.browser(), code, username).status_code == 422
        work[kind] = (seen, list(standing.argon2.runs))

    assert work == dict.fromkeys(work, work["nobody"])
    assert work["nobody"][1] == ["verify"]
    assert any("recovery_code" in statement for statement in work["nobody"][0])


@pytest.mark.parametrize("username", ["susan", "nobody"])
def test_guesses_are_limited_for_each_name_and_client_ip(standing: Site, code: str, username: str) -> None:
    """C12, C04: counted before the code is looked at, and the owner is not locked out elsewhere."""
    guesser = standing.browser(f"198.51.100.{len(username)}")
    with time_machine.travel(START, tick=False):
        statuses = [recover(guesser, NEVER, username).status_code for _try in range(6)]
        right = recover(guesser, code, username)
        owner = recover(standing.browser(), code)
    with time_machine.travel(START + 301, tick=False):
        later = recover(guesser, NEVER, username).status_code

    assert statuses == [422] * 5 + [429]
    assert (right.status_code, right.headers["retry-after"]) == (429, "300")
    assert owner.url.path.startswith("/reset_password/")
    assert later == 422


@deep
def test_strangers_who_guess_keep_nobody_from_a_browser_that_is_known(standing: Site, code: str) -> None:
    """C12, C36: after fifty failures in a row there is one guess a minute in all others, and strangers can take it."""
    known = standing.browser()
    log_in(known)
    execute(standing, "DELETE FROM limit_window")
    with time_machine.travel(START + 4000, tick=False):
        statuses = [recover(standing.browser(), NEVER).status_code for _try in range(51)]
        owner = recover(known, code)
        tries = [recover(known, NEVER).status_code for _try in range(5)]
        execute(standing, "DELETE FROM limit_window")

    assert statuses == [422] * 50 + [429]
    assert owner.url.path.startswith("/reset_password/")
    assert tries == [422] * 4 + [429]


@deep
def test_a_reset_ends_what_strangers_have_guessed(site: Site, paper: list[str]) -> None:
    """C12: for thirty days after fifty guesses there was one a minute, though the owner had come back."""
    with time_machine.travel(START, tick=False):
        guessed = [recover(site.browser(), NEVER, typed).status_code for typed in ["susan", SUSAN] * 51]
    with time_machine.travel(START + 61, tick=False):
        owner = site.browser()
        link = recover(owner, paper[0]).url.path
        owner.post(link, data={"password": NEW_PASSWORD})
        after = [recover(site.browser(), NEVER, typed).status_code for typed in ["susan", SUSAN] * 2]

    assert guessed == [422] * 100 + [429] * 2
    assert link.startswith("/reset_password/")
    assert after == [422] * 4


def test_guesses_are_limited_for_each_client_ip(standing: Site) -> None:
    """C12"""
    guesser = standing.browser("198.51.100.77")

    with time_machine.travel(START, tick=False):
        statuses = [recover(guesser, NEVER, f"somebody{number}").status_code for number in range(31)]

    assert statuses == [422] * 30 + [429]


@pytest.mark.parametrize("code", ["", "abcd", "abcd-efgh-jkmn-pqrs", "0000-1111-oooo", "abcd-efgh-jkm\u043d"])
def test_what_cant_be_a_code_is_refused_beside_its_field(standing: Site, code: str) -> None:
    answer = recover(standing.browser(), code)

    assert answer.status_code == 422
    assert 'id="code-error"' in answer.text


@deep
def test_the_email_of_new_codes_tells_what_to_do_if_it_was_somebody_else(
    site: Site, mailbox: Mailbox, paper: list[str]
) -> None:
    email = mailbox.last(SUSAN, count=2)

    answer = site.browser().post(paths_in(email.text)[0])

    assert email.subject == "New recovery codes on Microblog"
    assert "Your account is locked" in answer.text
    assert recover(site.browser(), paper[0]).status_code == 422


def test_the_email_of_a_used_code_ends_what_it_opened(site: Site, mailbox: Mailbox, paper: list[str]) -> None:
    thief = site.browser()
    page = recover(thief, paper[0])
    email = mailbox.last(SUSAN, count=3)

    site.browser().post(paths_in(email.text)[0])

    assert email.subject == "A recovery code was used on Microblog"
    assert "You have 9 codes left." in email.text
    assert thief.post(page.url.path, data={"password": NEW_PASSWORD}).status_code == 410
    assert recover(thief, paper[1]).status_code == 422


@deep
def test_the_not_me_of_another_email_ends_the_codes_too(site: Site, mailbox: Mailbox, paper: list[str]) -> None:
    """C68: a thief may have made them."""
    site.browser().post("/reset_password_request", data={"email": SUSAN})
    email = mailbox.last(SUSAN, count=3)

    site.browser().post(next(path for path in paths_in(email.text) if path.startswith("/not_me/")))

    assert recover(site.browser(), paper[0]).status_code == 422


def test_the_email_is_in_the_language_of_its_reader(site: Site, paper: list[str]) -> None:
    execute(site, "UPDATE user_account SET language = 'ru'")

    recover(site.browser(), paper[0])

    assert execute(site, "SELECT language FROM outbox_email WHERE kind = 'recovery_code_used'") == [("ru",)]


def test_recovery_codes_are_in_the_audit_log(standing: Site, code: str) -> None:
    left = len(execute(standing, "SELECT label FROM recovery_code WHERE user_id = 1 AND used_at IS NULL")) - 1

    recover(standing.browser("203.0.113.99"), code)

    told = execute(standing, "SELECT kind, client_ip, details FROM security_event ORDER BY id DESC LIMIT 1")
    assert told == [("recovery_code_used", "203.0.113.99", f'{{"left": {left}}}')]


def test_a_new_password_ends_the_other_codes_and_the_email_says_so(
    site: Site, mailbox: Mailbox, paper: list[str]
) -> None:
    """C68: whoever used the first may have made them all."""
    browser = site.browser()
    page = recover(browser, paper[0])
    browser.post(page.url.path, data={"password": NEW_PASSWORD})

    told = mailbox.last(SUSAN, subject="Your password on Microblog was changed").text
    assert recover(site.browser(), paper[1]).status_code == 422
    assert "Your recovery codes stopped working, too." in " ".join(told.split())
    assert "https://blog.example/recovery_codes\n" in told


@deep
@pytest.mark.parametrize("has_app", [False, True])
def test_the_email_about_a_code_says_what_becomes_of_the_others(
    site: Site, mailbox: Mailbox, susan: Browser, has_app: bool
) -> None:
    """With a second step they survive the reset that the code leads to."""
    paper = set_up_app(susan).codes if has_app else made(susan)
    recover(site.browser(), paper[1])

    told = " ".join(mailbox.last(SUSAN, subject="A recovery code was used").text.split())
    assert "You have 9 codes left." in told
    assert ("once a new password is set" in told) is not has_app


@deep
def test_the_codes_go_with_the_account(any_site: Site, paper: list[str]) -> None:
    """C19"""
    assert len(table(any_site, "recovery_code")) == 10

    execute(any_site, "DELETE FROM user_account")

    assert table(any_site, "recovery_code") == []


def test_a_site_without_mail_names_the_way_by_code(
    make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[[Settings], Site]
) -> None:
    site = start_site(make_settings(database_url=sqlite_url, mailer="off"))

    page = site.browser().get("/reset_password_request").text

    assert "sends no email" in page
    assert 'href="/recover"' in page


def test_somebody_who_has_to_wait_to_log_in_is_told_of_recovery_codes(site: Site) -> None:
    browser = site.browser()
    for _try in range(5):
        log_in(browser)

    answer = log_in(browser)

    assert answer.status_code == 429
    assert 'href="/recover"' in answer.text
    assert 'href="/recover"' not in browser.get("/login").text
