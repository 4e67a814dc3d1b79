"""Behind a reset link: it works once, for its account, for a while, and ends everything older than itself."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest
import time_machine

from tests.depth import deep, one_in
from tests.mailbox import Mailbox, paths_in
from tests.moments import START
from tests.sites import Browser, Site
from tests.stories import NEW_PASSWORD, PASSWORD, ask_for_reset, forget_and_find_link, is_logged_in, log_in, register
from tests.watching import disable, dump, execute, table, wait_until_posted
from webapp.recovery.reset import LOCKING_UP
from webapp.settings import Settings

HTMX = {"hx-request": "true", "hx-request-type": "partial"}


@pytest.fixture
def susan(request: pytest.FixtureRequest, mailbox: Mailbox) -> Browser:
    """The browser of susan, who has an account on the test's site and is logged in."""
    site: Site = request.getfixturevalue("any_site" if "any_site" in request.fixturenames else "site")
    browser = site.browser()
    register(browser, mailbox)
    log_in(browser)
    return browser


@pytest.fixture
def link(susan: Browser, mailbox: Mailbox) -> str:
    """The path behind a fresh reset link of susan's."""
    return forget_and_find_link(susan, mailbox)


def test_a_used_link_is_refused_and_offers_a_fresh_one(site: Site, link: str) -> None:
    """C16"""
    site.browser().post(link, data={"password": NEW_PASSWORD})

    page = site.browser().get(link)
    answer = site.browser().post(link, data={"password": "yet another good password"})

    assert (page.status_code, answer.status_code) == (410, 410)
    assert "This link has been used" in page.text
    assert "Email me a fresh link" in page.text
    assert log_in(site.browser(), password=NEW_PASSWORD).url.path == "/"


TAILS = ["/", "?x=1", "#x", "%20", "%0a", "=", "==", ".", "%2e", "%3d", "%00", ";x", "%E2%80%8B"]


def spellings(link: str) -> list[str]:
    """A link as mail programs, proxies and people may mistreat it."""
    token = link.rpartition("/")[2]
    head, payload, signature = token.split(".")
    return [
        *(link + tail for tail in TAILS),
        link.replace("/reset_password/", "/reset_password//"),
        link.replace("/reset_password/", "//reset_password/"),
        link.replace("/reset_password/", "/./reset_password/"),
        link.replace("/reset_password/", "/RESET_PASSWORD/"),
        link.replace(".", "%2e"),
        link.upper(),
        link.lower(),
        "/reset_password/" + "".join(f"%{ord(email):02x}" for email in token),
        f"/reset_password/{head}=.{payload}=.{signature}=",
        f"/reset_password/{head}.{payload}.{signature[:-1]}{chr(ord(signature[-1]) + 1)}",  # the same bits of base64
        f"/reset_password/{payload}.{signature}",
    ]


@deep
def test_a_used_link_is_refused_in_every_spelling(any_site: Site, link: str) -> None:
    """C16: no spelling of a used link sets a password again."""
    any_site.browser().post(link, data={"password": NEW_PASSWORD})
    before = table(any_site, "user_account")

    statuses = {any_site.browser().post(path, data={"password": PASSWORD}).status_code for path in spellings(link)}

    assert statuses <= {400, 404, 405, 410}
    assert table(any_site, "user_account") == before


def post_at_once(site: Site, links: list[str]) -> list[int]:
    """Posts to all links at once, each from a browser of its own; returns what each was answered."""
    browsers = [site.browser(follow_redirects=False) for _link in links]

    def use(number: int) -> tuple[int, str]:
        data = {"password": f"password of the winner, number {number}"}
        answer = browsers[number].post(links[number], data=data)
        return answer.status_code, answer.headers.get("location", "")

    with ThreadPoolExecutor(len(links)) as crowd:
        answers = list(crowd.map(use, range(len(links))))
    # One that lost the race is sent back to the link, which says that it was used.
    return [410 if location.startswith("/reset_password/") else status for status, location in answers]


@deep
@pytest.mark.races
def test_of_fifty_resets_at_once_one_wins(any_site: Site, link: str) -> None:
    """C17"""
    epoch_before = execute(any_site, "SELECT epoch FROM user_account")

    answers = post_at_once(any_site, [link] * 50)

    assert sorted(answers) == [303] + [410] * 49
    winner = answers.index(303)
    assert log_in(any_site.browser(), password=f"password of the winner, number {winner}").url.path == "/"
    assert execute(any_site, "SELECT epoch FROM user_account") == [(epoch_before[0][0] + 1,)]
    assert len(execute(any_site, "SELECT id FROM outbox_email WHERE kind = 'password_changed'")) == 1


@deep
@pytest.mark.alike
def test_of_two_live_links_the_use_of_one_ends_both(any_site: Site, mailbox: Mailbox, link: str) -> None:
    """C18"""
    with time_machine.travel(time.time() + 61):
        newer = forget_and_find_link(any_site.browser(), mailbox)

    answers = post_at_once(any_site, [link, newer] * 5)

    assert sorted(answers) == [303] + [410] * 9


@deep
def test_a_second_request_leaves_the_first_link_alive(site: Site, mailbox: Mailbox, link: str) -> None:
    with time_machine.travel(time.time() + 61):
        newer = forget_and_find_link(site.browser(), mailbox)

        assert newer != link
        assert site.browser().get(link).status_code == 200
        assert site.browser().get(newer).status_code == 200


def test_a_mail_scanner_does_not_spend_the_link(site: Site, link: str) -> None:
    """C20, C31: twenty rounds of looking, from many places, and the link still works."""
    before = dump(site)

    for _round in range(20):
        for method in ("GET", "HEAD", "OPTIONS"):
            site.browser().request(method, link)

    assert dump(site) == before
    assert site.browser().post(link, data={"password": NEW_PASSWORD}).url.path == "/login"
    assert log_in(site.browser(), password=NEW_PASSWORD).url.path == "/"


@pytest.mark.parametrize(("second", "status"), [(599, 200), (600, 410)])
def test_a_link_works_for_ten_minutes_and_not_a_second_longer(
    site: Site, mailbox: Mailbox, second: int, status: int
) -> None:
    """C15"""
    register(site.browser(), mailbox)
    with time_machine.travel(START, tick=False):
        link = forget_and_find_link(site.browser(), mailbox)

    with time_machine.travel(START + second, tick=False):
        page = site.browser().get(link)
        answer = site.browser(follow_redirects=False).post(link, data={"password": NEW_PASSWORD})

    assert page.status_code == status
    assert answer.status_code == {200: 303, 410: 410}[status]


@deep
@pytest.mark.parametrize(
    ("late", "words"),
    [
        (0, "It expired less than a minute ago."),
        (60, "It expired 1 minute ago."),
        (3600, "It expired 60 minutes ago."),
        (3 * 3600, "It expired 3 hours ago."),
        (3 * 86400, "It expired 3 days ago."),
    ],
)
@one_in(2)
def test_an_expired_link_says_since_when(site: Site, mailbox: Mailbox, late: int, words: str) -> None:
    register(site.browser(), mailbox)
    with time_machine.travel(START, tick=False):
        link = forget_and_find_link(site.browser(), mailbox)

    with time_machine.travel(START + 600 + late, tick=False):
        page = site.browser().get(link)

    assert page.status_code == 410
    assert words in page.text
    assert "susan" not in page.text, "whoever holds an old link is not told whose it was"


@deep
def test_a_link_is_worth_as_many_minutes_as_the_settings_say(
    make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[[Settings], Site]
) -> None:
    """C15"""
    site = start_site(make_settings(database_url=sqlite_url, reset_token_minutes=60))
    assert site.mailbox
    register(site.browser(), site.mailbox)
    with time_machine.travel(START, tick=False):
        link = forget_and_find_link(site.browser(), site.mailbox)

    statuses = []
    for second in (3599, 3600):
        with time_machine.travel(START + second, tick=False):
            statuses.append(site.browser().get(link).status_code)

    assert statuses == [200, 410]
    assert "60 minutes" in site.mailbox.last().text


@pytest.mark.alike
def test_a_reset_ends_every_session_and_opens_none(any_site: Site, mailbox: Mailbox, susan: Browser, link: str) -> None:
    """C23: three browsers are logged out, the new password is needed, and the person is told."""
    browsers = [susan, any_site.browser(), any_site.browser()]
    for browser in browsers[1:]:
        log_in(browser, remember_me="1")
    resetting = any_site.browser()

    answer = resetting.post(link, data={"password": NEW_PASSWORD})

    assert "3 devices were logged out." in answer.text
    assert [is_logged_in(browser) for browser in [*browsers, resetting]] == [False] * 4
    assert "session" not in str(answer.headers.get("set-cookie"))
    assert log_in(any_site.browser(), password=PASSWORD).status_code == 422
    assert log_in(any_site.browser(), password=NEW_PASSWORD).url.path == "/"
    assert mailbox.last("susan@example.com", subject="Your password on Microblog was changed")


@deep
@one_in(3)
@pytest.mark.parametrize(
    ("hours", "before", "after"),
    [
        (1, "You'll be logged out on 2 devices.", "password is changed. 2 devices were logged out."),
        (25, "You'll be logged out on 1 device.", "password is changed. 1 device was logged out."),
        (15 * 24, "For <strong>susan</strong>.</p>", "password is changed. Log in"),
    ],
)
def test_the_form_says_how_many_sessions_will_end_and_the_next_page_how_many_did(
    site: Site, mailbox: Mailbox, susan: Browser, hours: int, before: str, after: str
) -> None:
    """Only those that are alive: one here until the browser closes, or for a day, and one that is remembered."""
    log_in(site.browser(), remember_me="1")

    with time_machine.travel(time.time() + hours * 3600):
        link = forget_and_find_link(site.browser(), mailbox)
        page = site.browser().get(link)
        answer = site.browser().post(link, data={"password": NEW_PASSWORD})

    assert before in page.text
    assert after in answer.text


@pytest.mark.alike
def test_the_notice_is_posted_in_the_transaction_of_the_change(
    any_site: Site, link: str, start_site: Callable[[Settings], Site], make_settings: Callable[..., Settings]
) -> None:
    """C23: seen from a process that sends no emails, both are there together."""
    silent = start_site(make_settings(database_url=any_site.settings.database_url, mailer="process"))
    any_site.__exit__(None, None, None)
    epoch = execute(silent, "SELECT epoch FROM user_account")

    silent.browser().post(link, data={"password": NEW_PASSWORD})

    posted = execute(silent, "SELECT state FROM outbox_email WHERE kind = 'password_changed'")
    any_site.__enter__()
    assert posted == [("ready",)]
    assert execute(silent, "SELECT epoch FROM user_account") == [(epoch[0][0] + 1,)]


def test_a_failed_change_posts_no_notice(site: Site, link: str) -> None:
    """C23"""
    before = table(site, "user_account")

    site.browser().post(link, data={"password": "short"})
    wait_until_posted(site)

    assert table(site, "user_account") == before
    assert execute(site, "SELECT id FROM outbox_email WHERE kind = 'password_changed'") == []


@deep
def test_a_log_in_that_began_with_the_old_password_opens_nothing_after_a_reset(any_site: Site, link: str) -> None:
    """C33: the log-in stands in the check of the old password while the reset commits."""
    late = any_site.browser()
    is_first = [True]

    def reset(run: str) -> None:
        if run == "verify" and is_first and is_first.pop():
            any_site.browser().post(link, data={"password": NEW_PASSWORD})

    any_site.argon2.meanwhile = reset
    answer = log_in(late, password=PASSWORD)

    assert is_first == []
    assert log_in(any_site.browser(), password=NEW_PASSWORD).url.path == "/", "the reset did commit"
    assert answer.url.path == "/login"
    assert not is_logged_in(late)


@deep
def test_a_person_who_is_logged_in_resets_the_account_of_the_link(site: Site, mailbox: Mailbox, link: str) -> None:
    other = site.browser()
    register(other, mailbox, "david")
    log_in(other, "david")

    page = other.get(link)
    answer = other.post(link, data={"password": NEW_PASSWORD})

    assert page.status_code == 200
    assert "You're logged in as david. This changes the password of <strong>susan</strong>." in page.text
    assert "You&#39;re still logged in as david." in answer.text
    assert 'value="susan"' in page.text
    assert is_logged_in(other), "david's own session has nothing to do with it"
    assert log_in(site.browser(), "susan", NEW_PASSWORD).url.path == "/"
    assert log_in(site.browser(), "david", PASSWORD).url.path == "/"


def test_a_link_works_without_cookies(site: Site, link: str) -> None:
    def cookieless() -> Browser:
        browser = site.browser(follow_redirects=False)
        browser.cookies.clear()
        return browser

    page = cookieless().get(link)
    answer = cookieless().post(link, data={"password": NEW_PASSWORD})

    assert page.status_code == 200
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?username=susan")
    assert log_in(site.browser(), password=NEW_PASSWORD).url.path == "/"


def test_under_htmx_a_reset_ends_in_a_real_navigation(site: Site, link: str) -> None:
    answer = site.browser().post(link, data={"password": NEW_PASSWORD}, headers=HTMX)

    assert (answer.status_code, answer.headers["hx-redirect"], answer.content) == (204, "/login?username=susan", b"")


def test_under_htmx_a_used_link_leads_to_the_page_that_says_so(site: Site, link: str) -> None:
    site.browser().post(link, data={"password": NEW_PASSWORD})

    answer = site.browser().post(link, data={"password": NEW_PASSWORD}, headers=HTMX)

    assert answer.headers["hx-redirect"] == link


@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("", "Fill this in."),
        ("short", "Too short. Use 12 characters or more"),
        ("aaaaaaaaaaaaaaaa", "it repeats a few characters"),
        ("susan@example.com", "it&#39;s mostly your username, your email"),
        ("x" * 100 + "y" * 200, "That&#39;s too long. Use 256 characters"),
    ],
)
@one_in(3)
def test_a_bad_password_is_refused_beside_its_field_and_the_link_lives_on(
    site: Site, link: str, password: str, words: str
) -> None:
    """C47, C48"""
    answer = site.browser().post(link, data={"password": password}, headers=HTMX)

    assert answer.status_code == 422
    assert words in answer.text
    assert 'aria-describedby="password-hint password-error"' in answer.text
    assert not password or f'value="{password}"' not in answer.text, "a password is never echoed"
    assert site.browser().post(link, data={"password": NEW_PASSWORD}).url.path == "/login"


def test_two_different_passwords_are_refused(site: Site, link: str) -> None:
    answer = site.browser().post(link, data={"password": NEW_PASSWORD, "password2": NEW_PASSWORD + "!"})

    assert answer.status_code == 422
    assert "The two passwords aren&#39;t the same." in answer.text


@deep
@pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])
def test_a_used_link_is_renewed_with_one_button(
    site: Site, mailbox: Mailbox, link: str, headers: dict[str, str]
) -> None:
    site.browser().post(link, data={"password": NEW_PASSWORD})
    mailbox.last("susan@example.com", count=3)

    answer = site.browser().post(f"{link}/renew", headers=headers)

    assert answer.status_code == 200
    assert "We've just sent a new link" in answer.text
    assert "susan" not in answer.text, "the address is not shown"
    fresh = mailbox.link("susan@example.com", count=4)
    assert site.browser().post(fresh, data={"password": PASSWORD + "!"}).url.path == "/login"


def test_an_expired_link_is_renewed_with_one_button(site: Site, mailbox: Mailbox) -> None:
    register(site.browser(), mailbox)
    link = forget_and_find_link(site.browser(), mailbox)

    with time_machine.travel(time.time() + 3600):
        answer = site.browser().post(f"{link}/renew")
        fresh = mailbox.link("susan@example.com", count=3)
        page = site.browser().get(fresh)

    assert "We've just sent a new link" in answer.text
    assert (page.status_code, "For <strong>susan</strong>." in page.text) == (200, True)


STATES: dict[str, Callable[[Site, str], object]] = {
    "open": lambda site, _link: execute(site, "UPDATE user_account SET epoch = epoch + 1"),
    "paused": lambda site, link: site.browser().post(not_me_beside(site, link)),
    "disabled": lambda site, _link: disable(site, "susan"),
    "being deleted": lambda site, _link: delete(site),
}


@deep
@pytest.mark.parametrize("state", STATES)
def test_a_fresh_link_is_said_to_be_on_its_way_only_if_one_comes(site: Site, mailbox: Mailbox, state: str) -> None:
    """Whoever is told so in vain thinks that our emails don't arrive."""
    register(site.browser(), mailbox)
    link = forget_and_find_link(site.browser(), mailbox)
    STATES[state](site, link)
    wait_until_posted(site)
    before = len(mailbox.all())

    answer = site.browser().post(f"{link}/renew")
    wait_until_posted(site)

    assert (len(mailbox.all()) > before) is ("We've just sent" in answer.text)
    assert (len(mailbox.all()) > before) is (state in {"open", "being deleted"}), answer.text


def not_me_beside(site: Site, link: str) -> str:
    assert site.mailbox
    [email] = [email for email in site.mailbox.all() if link in email.text]
    return next(path for path in paths_in(email.text) if path.startswith("/not_me/"))


def delete(site: Site) -> None:
    browser = site.browser()
    log_in(browser)
    answer = browser.post("/delete_account", data={"username": "susan", "current_password": PASSWORD})
    assert answer.url.path == "/account_deleted"


def test_renewing_is_limited_like_asking(site: Site, mailbox: Mailbox) -> None:
    """C10: one a minute and three an hour for an account, from wherever."""
    register(site.browser(), mailbox)
    link = forget_and_find_link(site.browser(), mailbox)
    statuses, waits = [], []

    for second in (3600, 3601, 3661, 3722, 3783):
        with time_machine.travel(START + second, tick=False):
            answer = site.browser(follow_redirects=False).post(f"{link}/renew")
        statuses.append(answer.status_code)
        waits.append(answer.headers.get("retry-after"))

    assert statuses == [303, 429, 303, 303, 429]
    assert waits == [None, "59", None, None, "3417"]


def test_renewing_a_link_whose_account_is_gone_says_so(site: Site, mailbox: Mailbox) -> None:
    register(site.browser(), mailbox)
    link = forget_and_find_link(site.browser(), mailbox)
    wait_until_posted(site)
    execute(site, "DELETE FROM user_account")

    answer = site.browser().post(f"{link}/renew", headers=HTMX)
    page = site.browser().get(answer.headers["hx-redirect"])

    assert (page.status_code, page.url.path) == (410, link)
    assert "This link leads nowhere any more" in page.text


def test_a_good_link_is_not_renewed_but_opened(site: Site, mailbox: Mailbox) -> None:
    register(site.browser(), mailbox)
    link = forget_and_find_link(site.browser(), mailbox)

    answer = site.browser(follow_redirects=False).post(f"{link}/renew")
    wait_until_posted(site)

    assert (answer.status_code, answer.headers["location"]) == (303, link)
    assert len(mailbox.all()) == 2


@pytest.mark.parametrize("path", ["{link}", "{link}/renew"])
def test_a_mangled_link_says_so_and_leads_on(site: Site, mailbox: Mailbox, path: str) -> None:
    register(site.browser(), mailbox)
    link = forget_and_find_link(site.browser(), mailbox)[:-5]

    answer = site.browser().post(path.format(link=link), data={"password": NEW_PASSWORD})

    assert answer.status_code == 404
    assert "This link is incomplete" in answer.text
    assert 'href="/reset_password_request"' in answer.text
    assert "token" not in answer.text.lower()
    assert log_in(site.browser()).url.path == "/"


@pytest.mark.alike
def test_disabling_an_account_ends_its_links_and_sessions(any_site: Site, susan: Browser, link: str) -> None:
    """C19"""
    disable(any_site, "susan")

    answer = any_site.browser().post(link, data={"password": NEW_PASSWORD})

    assert answer.status_code == 410
    assert "This account is closed" in answer.text
    assert not is_logged_in(susan)
    assert log_in(any_site.browser()).status_code == 422


@pytest.mark.alike
def test_deleting_an_account_ends_its_links_and_sessions(any_site: Site, susan: Browser, link: str) -> None:
    """C19"""
    execute(any_site, "DELETE FROM user_account")

    page = any_site.browser().get(link)

    assert page.status_code == 410
    assert not is_logged_in(susan)
    assert table(any_site, "session") == []


@pytest.mark.alike
def test_another_account_that_gets_a_freed_number_is_not_opened_by_an_old_link(
    any_site: Site, mailbox: Mailbox, link: str
) -> None:
    """C19: SQLite gives a deleted last row's number again."""
    execute(any_site, "DELETE FROM user_account")
    register(any_site.browser(), mailbox, "david")

    answer = any_site.browser().post(link, data={"password": NEW_PASSWORD})

    assert log_in(any_site.browser(), "david", PASSWORD).url.path == "/"
    assert answer.status_code in {404, 410}


def test_the_form_posts_to_its_own_address_and_serves_password_managers(site: Site, link: str) -> None:
    page = site.browser().get(link).text

    assert f'action="{link}"' in page
    assert 'autocomplete="new-password"' in page
    assert 'autocomplete="username" readonly' in page
    assert 'aria-controls="password"' in page
    assert quote(link) not in page.replace(link, ""), "the link stands in the form only"


def test_asking_for_a_name_reaches_the_stored_address(site: Site, mailbox: Mailbox) -> None:
    """C06"""
    register(site.browser(), mailbox, "Susan_42")

    ask_for_reset(site.browser(), "sUSAN_42")

    assert "Reset" in mailbox.last("susan_42@example.com", count=2).subject


@deep
def test_what_a_thief_used_up_the_owner_has_again_after_a_reset(site: Site, link: str) -> None:
    """C33, C65: new codes, the old username, an address of their own: whoever knew the password could keep them from
    these.
    """
    owner, thief = site.browser(), site.browser()
    log_in(thief)
    used = [_changes(thief, PASSWORD, f"mallory{number}") for number in range(6)]

    owner.post(link, data={"password": NEW_PASSWORD})
    log_in(owner, "mallory4", NEW_PASSWORD)

    assert used == [(200, 200, 200)] * 5 + [(429, 429, 429)]
    assert _changes(owner, NEW_PASSWORD, "susan") == (200, 200, 200)


def test_but_an_account_does_not_keep_more_usernames_from_others(site: Site, link: str) -> None:
    for limit in LOCKING_UP:
        assert all(rate.seconds <= 86400 for rate in limit.counted), limit.name


def _changes(browser: Browser, password: str, username: str) -> tuple[int, int, int]:
    proof = {"current_password": password}
    return (
        browser.post("/recovery_codes", data=proof | {"about": username}).status_code,
        browser.post("/edit_profile", data=proof | {"username": username, "about_me": ""}).status_code,
        browser.post("/change_email", data=proof | {"email": f"{username}@example.org"}).status_code,
    )
