"""Confirming a new address: one button, once, and what it ends."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import time_machine

from tests.addresses.steps import NEW, OLD, OTHER, ask, ask_and_find_link, change, links, signed_in
from tests.depth import deep, one_in
from tests.mailbox import Mailbox
from tests.moments import START
from tests.sites import Browser, Site
from tests.stories import NEW_PASSWORD, ask_for_reset, is_logged_in, log_in, register
from tests.watching import disable, dump, execute, table, wait_until_posted

HTMX = {"hx-request": "true", "hx-request-type": "partial"}


@pytest.fixture
def susan(request: pytest.FixtureRequest, mailbox: Mailbox) -> Browser:
    """The browser of susan, who has an account on the test's site and is logged in."""
    site = request.getfixturevalue("any_site" if "any_site" in request.fixturenames else "site")
    return signed_in(site, mailbox)


@pytest.fixture
def link(susan: Browser, mailbox: Mailbox) -> str:
    """The path behind a fresh link that confirms susan's new address."""
    return ask_and_find_link(susan, mailbox)


def address(site: Site, username: str = "susan") -> str:
    found = execute(site, "SELECT email FROM user_account WHERE username = :name", name=username)
    return str(found[0][0])


@pytest.mark.alike
def test_the_button_changes_the_address_and_tells_the_old_one(
    any_site: Site, mailbox: Mailbox, susan: Browser, link: str
) -> None:
    """C34: the person goes on in this browser; the old address can no longer log in."""
    answer = susan.post(link)

    told = mailbox.last(OLD, count=3)
    assert "Your email is now susan@example.net." in answer.text
    assert is_logged_in(susan)
    assert told.subject == "Your email on Microblog was changed"
    assert NEW not in told.text + told.html
    assert log_in(any_site.browser(), NEW).url.path == "/"
    assert log_in(any_site.browser(), OLD).status_code == 422


def test_looking_at_the_link_changes_nothing(site: Site, link: str) -> None:
    """C20, C31: a mail scanner does not press the button."""
    before = dump(site)

    for method in ("GET", "HEAD", "OPTIONS"):
        site.browser().request(method, link)

    assert dump(site) == before
    page = site.browser().get(link)
    assert "Yes, use this email" in page.text
    assert NEW in page.text
    assert OLD not in page.text
    assert f'action="{link}"' in page.text


def test_it_works_in_another_browser_without_cookies(site: Site, susan: Browser, link: str) -> None:
    answer = site.browser(follow_redirects=False).post(link)

    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert "session=" not in str(answer.headers.get("set-cookie"))
    assert address(site) == NEW
    assert not is_logged_in(susan), "the confirming browser has no session of hers, so all are others"


def test_under_htmx_it_ends_in_a_real_navigation(susan: Browser, link: str) -> None:
    answer = susan.post(link, headers=HTMX)

    assert (answer.status_code, answer.headers["hx-redirect"], answer.content) == (204, "/settings", b"")


@deep
def test_a_change_ends_reset_links_and_all_other_sessions(
    site: Site, mailbox: Mailbox, susan: Browser, link: str
) -> None:
    """C19"""
    others = [site.browser() for _number in range(3)]
    for other in others:
        log_in(other)
    execute(site, "UPDATE session SET expires_at = created_at WHERE id = (SELECT max(id) FROM session)")
    ask_for_reset(site.browser())
    reset = links(mailbox, OLD, "/reset_password/")[0]

    answer = susan.post(link)

    assert "and you&#39;re logged out on 2 other devices" in answer.text
    assert [is_logged_in(browser) for browser in [susan, *others]] == [True, False, False, False]
    assert len(table(site, "session")) == 1
    assert site.browser().post(reset, data={"password": NEW_PASSWORD}).status_code == 410
    assert log_in(site.browser()).url.path == "/", "the password is what it was"


def test_the_session_goes_on_under_a_new_id(site: Site, susan: Browser, link: str) -> None:
    """C26"""
    stolen = site.browser()
    stolen.cookies.update(susan.cookies)

    susan.post(link)

    assert is_logged_in(susan)
    assert not is_logged_in(stolen)


@deep
def test_somebody_else_who_confirms_stays_who_they_are(site: Site, mailbox: Mailbox, susan: Browser, link: str) -> None:
    """C36: the link's account changes, and nobody is logged in to it by that."""
    david = signed_in(site, mailbox, "david")

    david.post(link)

    assert (address(site), address(site, "david")) == (NEW, "david@example.com")
    assert is_logged_in(david)
    assert "david" in david.get("/").text
    assert not is_logged_in(susan)


def press_at_once(site: Site, paths: list[str]) -> list[int]:
    """Presses the buttons of all links at once, each in a browser of its own; returns what each was answered."""
    browsers = [site.browser(follow_redirects=False) for _path in paths]

    def press(number: int) -> int:
        answer = browsers[number].post(paths[number])
        # One that lost the race is sent back to the link, which says that it was used.
        return 410 if answer.headers.get("location") == paths[number] else answer.status_code

    with ThreadPoolExecutor(len(paths)) as crowd:
        return list(crowd.map(press, range(len(paths))))


@deep
def test_of_fifty_confirmations_at_once_one_wins(any_site: Site, mailbox: Mailbox, link: str) -> None:
    """C17"""
    before = execute(any_site, "SELECT epoch FROM user_account")[0][0]

    answers = press_at_once(any_site, [link] * 50)

    assert sorted(answers) == [303] + [410] * 49
    assert execute(any_site, "SELECT email, epoch FROM user_account") == [(NEW, before + 1)]
    assert execute(any_site, "SELECT count(*) FROM outbox_email WHERE kind = 'address_changed'") == [(1,)]


@deep
def test_of_two_live_links_the_use_of_one_ends_both(
    any_site: Site, mailbox: Mailbox, susan: Browser, link: str
) -> None:
    """C18: and what is confirmed is the address to which the used link went."""
    other = ask_and_find_link(susan, mailbox, OTHER)

    answers = press_at_once(any_site, [link, other] * 5)

    assert sorted(answers) == [303] + [410] * 9
    assert address(any_site) == (NEW, OTHER)[answers.index(303) % 2]
    assert any_site.browser().get(other).status_code == any_site.browser().get(link).status_code == 410


def test_a_second_request_never_confirms_what_the_first_link_was_not_sent_to(
    site: Site, mailbox: Mailbox, susan: Browser, link: str
) -> None:
    """A victim who presses the button of an older email gets the address of that email."""
    ask_and_find_link(susan, mailbox, OTHER)

    site.browser().post(link)

    assert address(site) == NEW


@deep
def test_of_two_accounts_that_confirm_one_address_at_once_one_gets_it(
    any_site: Site, mailbox: Mailbox, susan: Browser, link: str
) -> None:
    """The database's unique constraint decides."""
    with time_machine.travel(time.time() + 61):
        other = ask_and_find_link(signed_in(any_site, mailbox, "david"), mailbox)

    answers = press_at_once(any_site, [link, other])

    assert sorted(answers) == [303, 422]
    assert sorted([address(any_site), address(any_site, "david")])[1] == NEW


@deep
def test_an_address_that_was_taken_meanwhile_is_refused_with_a_sentence(
    site: Site, mailbox: Mailbox, susan: Browser, link: str
) -> None:
    site.browser().post("/register", data={"email": NEW})
    register_link = links(mailbox, NEW, "/register/")[0]
    site.browser().post(register_link, data={"username": "newcomer", "password": NEW_PASSWORD})

    page, part = susan.post(link), susan.post(link, headers=HTMX)

    assert (page.status_code, part.status_code) == (422, 422)
    assert "Another account uses this email now" in page.text
    assert part.text.strip() in page.text
    assert address(site) == OLD
    assert is_logged_in(susan)


@deep
@pytest.mark.parametrize("event", ["used", "password reset", "disabled", "not me"])
@one_in(2)
def test_a_request_ends_with_the_accounts_other_links(
    site: Site, mailbox: Mailbox, susan: Browser, link: str, event: str
) -> None:
    """C16, C19: whatever ends links ends this one, too."""
    if event == "used":
        site.browser().post(link)
    elif event == "password reset":
        ask_for_reset(site.browser())
        reset = links(mailbox, OLD, "/reset_password/")[0]
        site.browser().post(reset, data={"password": NEW_PASSWORD})
    elif event == "disabled":
        disable(site, "susan")
    else:
        site.browser().post(links(mailbox, OLD, "/not_me/")[0])
    before = address(site)

    page, answer = site.browser().get(link), site.browser().post(link)

    assert (page.status_code, answer.status_code) == (410, 410)
    said = {"used": "This email is confirmed", "disabled": "This account is closed"}
    assert said.get(event, "This link has been used") in page.text
    assert "Ask for a fresh link" not in page.text or event not in said
    assert address(site) == before


@deep
def test_an_email_that_was_overtaken_is_not_sent(site: Site, mailbox: Mailbox, susan: Browser) -> None:
    """No link is minted that would be dead at once."""
    execute(site, "UPDATE mail_status SET paused_at = '2026-01-01 00:00:00' WHERE id = 1") or execute(
        site, "INSERT INTO mail_status (id, paused_at) VALUES (1, '2026-01-01 00:00:00') ON CONFLICT DO NOTHING"
    )
    ask(susan)
    execute(site, "UPDATE user_account SET epoch = epoch + 1")

    execute(site, "UPDATE mail_status SET paused_at = NULL")
    execute(site, "UPDATE outbox_email SET due_at = created_at")
    wait_until_posted(site)

    assert mailbox.all(NEW) == []


@pytest.mark.parametrize(("second", "status"), [(24 * 3600 - 1, 200), (24 * 3600, 410)])
def test_a_link_works_for_a_day_and_not_a_second_longer(site: Site, mailbox: Mailbox, second: int, status: int) -> None:
    """C15"""
    with time_machine.travel(START, tick=False):
        link = ask_and_find_link(signed_in(site, mailbox), mailbox)

    with time_machine.travel(START + second, tick=False):
        page = site.browser().get(link)
        answer = site.browser(follow_redirects=False).post(link)

    assert page.status_code == status
    assert answer.status_code == {200: 303, 410: 410}[status]


@pytest.mark.parametrize("start", ["/confirm_email/", "/undo_email/"])
@deep
def test_a_mangled_confirmation_link_says_so(site: Site, mailbox: Mailbox, susan: Browser, start: str) -> None:
    change(susan, mailbox)
    path = links(mailbox, NEW if "confirm" in start else OLD, start)[0][:-5]

    page, answer = site.browser().get(path), site.browser().post(path)

    assert (page.status_code, answer.status_code) == (404, 404)
    assert "This link is incomplete" in page.text
    assert "token" not in page.text.lower()


def test_the_events_are_noted_without_a_whole_address(site: Site, susan: Browser, link: str) -> None:
    susan.post(link)

    noted = execute(site, "SELECT kind, details FROM security_event WHERE kind LIKE 'address%' ORDER BY id")
    assert [kind for kind, _details in noted] == ["address_change_asked", "address_changed"]
    assert NEW not in repr(noted)
    assert "s\\u2026@example.net" in noted[1][1]


@pytest.mark.alike
def test_registering_waits_while_the_old_address_can_be_undone_to(
    any_site: Site, mailbox: Mailbox, susan: Browser
) -> None:
    """The link to register went out while the address was free, was then used up, and must not come alive again."""
    old_link = links(mailbox, OLD, "/register/")[0]
    change(susan, mailbox)

    answer = any_site.browser().post(old_link, data={"username": "intruder", "password": NEW_PASSWORD})

    assert answer.status_code == 422
    assert execute(any_site, "SELECT username FROM user_account") == [("susan",)]


@deep
def test_an_old_address_is_free_again_after_its_time(site: Site, mailbox: Mailbox, susan: Browser) -> None:
    change(susan, mailbox)
    subjects = []

    for days in (2, 7.9, 8.1):
        with time_machine.travel(time.time() + 86400 * days):
            before = len(mailbox.all(OLD))
            site.browser().post("/register", data={"email": OLD})
            subjects.append(mailbox.last(OLD, count=before + 1).subject)

    assert subjects == ["Your registration on Microblog"] * 2 + ["Your registration on Microblog"]


def test_an_account_that_has_the_address_by_other_means_is_not_registered_twice(site: Site, mailbox: Mailbox) -> None:
    register(site.browser(), mailbox)
    link = links(mailbox, OLD, "/register/")[0]

    assert site.browser().get(link).status_code == 410
