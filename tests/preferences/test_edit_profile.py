"""The profile: a username that nobody else has, a line about the person, and who can read it."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from httpx2 import Response

from tests.depth import deep
from tests.mailbox import Mailbox
from tests.sites import Browser, Site
from tests.stories import PASSWORD, is_logged_in, log_in, register
from tests.watching import execute

LINE = "I like long walks & \u201cshort\u201d <posts>."


@pytest.fixture
def susan(site: Site, mailbox: Mailbox) -> Browser:
    return logged_in(site, mailbox)


def logged_in(site: Site, mailbox: Mailbox, name: str = "susan") -> Browser:
    browser = site.browser()
    register(browser, mailbox, name)
    log_in(browser, name)
    return browser


def save(browser: Browser, username: str = "susan", about_me: str = "", **more: str) -> Response:
    fields = {"username": username, "about_me": about_me, "current_password": PASSWORD, **more}
    return browser.post("/edit_profile", data=fields)


def profile(site: Site) -> tuple[str, str, str, bool]:
    query = "SELECT username, username_key, about_me, is_public FROM user_account WHERE id = 1"
    [(username, key, about_me, is_public)] = execute(site, query)
    return username, key, about_me, bool(is_public)


def errors(answer: Response) -> list[str]:
    return re.findall(r'id="(\w+)-error"', answer.text)


@pytest.mark.alike
def test_a_profile_is_saved_and_shown_again(any_site: Site, mailbox: Mailbox) -> None:
    browser = logged_in(any_site, mailbox)

    answer = save(browser, "Sue", LINE)

    page = browser.get("/edit_profile").text
    assert "Profile saved." in answer.text
    assert profile(any_site) == ("Sue", "sue", LINE, False)
    assert 'value="Sue"' in page
    assert ">I like long walks &amp; \u201cshort\u201d &lt;posts&gt;.</textarea>" in page
    assert 'name="is_public" type="checkbox" value="1">' in page


def test_a_profile_is_public_until_its_owner_says_otherwise(site: Site, susan: Browser) -> None:
    shown = 'name="is_public" type="checkbox" value="1" checked' in susan.get("/edit_profile").text

    save(susan, is_public="1")

    assert shown
    assert profile(site)[3]


def test_only_the_password_shows_a_private_profile_to_everybody(site: Site, susan: Browser) -> None:
    """C34: whoever has the session can read it, and no more than that."""
    save(susan, is_public="")

    refused = save(susan, about_me=LINE, is_public="1", current_password="")
    kept = profile(site)
    wrong = save(susan, about_me=LINE, is_public="1", current_password="not the right password")

    assert [(answer.status_code, errors(answer)) for answer in (refused, wrong)] == [(422, ["current_password"])] * 2
    assert 'name="is_public" type="checkbox" value="1" checked' in refused.text, "nothing is lost"
    assert "&lt;posts&gt;.</textarea>" in refused.text
    assert profile(site) == kept == ("susan", "susan", "", False)
    assert save(susan, is_public="1").url.path == "/settings"
    assert profile(site)[3]


def test_the_owner_hears_that_a_private_profile_was_shown_to_everybody(site: Site, susan: Browser) -> None:
    """A thief of the password may have done it; a reset hides nothing again."""
    told = "SELECT (SELECT count(*) FROM outbox_email WHERE kind = 'profile_shown'), count(*) FROM security_event"
    told += " WHERE kind = 'profile_shown'"
    save(susan, is_public="")
    save(susan, is_public="1", current_password="")
    before = execute(site, told)

    save(susan, is_public="1")
    save(susan, about_me=LINE, is_public="1")

    assert (before, execute(site, told)) == ([(0, 0)], [(1, 1)])


@deep
def test_a_profile_is_shown_as_seldom_as_all_that_its_owner_is_told_of(site: Site, susan: Browser) -> None:
    """Each time leaves a line in the account's history, and a thief could push the log-in out of it."""
    answers = [save(susan, is_public=wanted) for wanted in ("", "1") * 6]

    assert [answer.status_code for answer in answers] == [200] * 11 + [429]
    assert not profile(site)[3]


@deep
def test_a_line_needs_no_password_and_nor_does_hiding_a_profile(site: Site, susan: Browser) -> None:
    save(susan, about_me="Shown.", is_public="1", current_password="")
    save(susan, about_me="Hidden.", current_password="")
    save(susan, about_me="Still hidden.", current_password="")

    assert profile(site) == ("susan", "susan", "Still hidden.", False)


@deep
def test_a_new_name_is_a_security_event_and_a_new_line_is_none(site: Site, susan: Browser) -> None:
    for name in ("susan", "SUSAN", "sue"):
        save(susan, name, LINE)

    events = execute(site, "SELECT details FROM security_event WHERE kind = 'renamed' ORDER BY id")
    assert [re.findall(r"[a-zA-Z]+", details) for (details,) in events] == [
        ["before", "susan", "after", "SUSAN"],
        ["before", "SUSAN", "after", "sue"],
    ]


@deep
def test_a_renamed_person_logs_in_with_the_new_name_and_stays_logged_in(site: Site, susan: Browser) -> None:
    save(susan, "sue")

    old, new = site.browser(), site.browser()
    log_in(old)
    log_in(new, "sue")
    assert [is_logged_in(browser) for browser in (susan, old, new)] == [True, False, True]


@deep
@pytest.mark.parametrize("name", ["david", " DAVID "])
@pytest.mark.alike
def test_a_name_that_somebody_has_is_taken(any_site: Site, mailbox: Mailbox, name: str) -> None:
    register(any_site.browser(), mailbox, "david")
    browser = logged_in(any_site, mailbox)

    answer = save(browser, name, LINE)

    assert answer.status_code == 422
    assert "That username is taken." in answer.text
    assert errors(answer) == ["username"]
    assert execute(any_site, "SELECT username, about_me FROM user_account ORDER BY id") == [
        ("david", ""),
        ("susan", ""),
    ]


@deep
def test_of_two_people_who_want_a_name_at_once_one_gets_it(any_site: Site, mailbox: Mailbox) -> None:
    """The database decides: no look-up before it could."""
    browsers = [logged_in(any_site, mailbox, name) for name in ("susan", "david")]

    with ThreadPoolExecutor(2) as pool:
        statuses = list(pool.map(lambda browser: save(browser, "sue").status_code, browsers))

    assert sorted(statuses) == [200, 422]
    assert execute(any_site, "SELECT count(*) FROM user_account WHERE username_key = 'sue'") == [(1,)]


@pytest.mark.parametrize(
    ("name", "about_me", "field"),
    [
        ("", "", "username"),
        ("su", "", "username"),
        ("two words", "", "username"),
        ("s\u00fcsan", "", "username"),
        ("\u017fusan", "", "username"),
        ("x" * 31, "", "username"),
        ("susan", "x" * 141, "about_me"),
        ("susan", "a\x00b", "about_me"),
        ("susan\x00", "", "username"),
    ],
)
def test_a_mistake_is_said_beside_its_field(
    standing: Site, visitor: Browser, name: str, about_me: str, field: str
) -> None:
    """C46"""
    answer = save(visitor, name, about_me)

    assert answer.status_code == 422
    assert errors(answer) == [field]
    assert profile(standing) == ("susan", "susan", "", True)


def test_a_line_that_is_too_long_is_told_how_long_it_may_be(visitor: Browser) -> None:
    answer = save(visitor, about_me="x" * 141)

    assert "That&#39;s too long. Use 140 characters or fewer." in answer.text


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("\u044f\U0001f600" * 70, "\u044f\U0001f600" * 70),
        ("  one\r\n two\t three\r\n\r\n\r\n\r\nfour\r\n" + " " * 500, "one\ntwo three\n\nfour"),
    ],
)
@deep
def test_a_line_has_140_characters_however_they_are_written(
    any_site: Site, mailbox: Mailbox, typed: str, kept: str
) -> None:
    save(logged_in(any_site, mailbox), about_me=typed)

    assert profile(any_site)[2] == kept


def test_a_profile_shows_the_lines_as_they_were_written(susan: Browser) -> None:
    save(susan, about_me="I watch herons.\r\nAsk me about tea.", is_public="1")

    page = susan.get("/user/susan").text
    assert '<p class="profile-about" dir="auto">I watch herons.<br>Ask me about tea.</p>' in page
    assert '<meta name="description" content="I watch herons. Ask me about tea.">' in page
    assert ">I watch herons.\nAsk me about tea.</textarea>" in susan.get("/edit_profile").text


@deep
def test_a_person_takes_another_picture_which_all_pages_show_at_once(susan: Browser) -> None:
    susan.post("/", data={"body": "Look at me."})
    pages = (
        "/",
        "/explore",
        "/user/susan",
        "/user/susan/1",
        "/user/susan/followers",
        "/edit_profile",
        "/search?q=susan",
    )
    pictures = r'class="avatar avatar-\d+ ([^"]+)"'
    [before] = {look for page in pages for look in re.findall(pictures, susan.get(page).text)}

    answer = susan.post("/edit_profile/picture")

    after = {page: set(re.findall(pictures, susan.get(page).text)) for page in pages}
    assert "Here&#39;s your new picture." in answer.text
    assert len(set.union(*after.values())) == 1
    assert all(looks and before not in looks for looks in after.values())


@deep
def test_no_other_field_is_changed(site: Site, mailbox: Mailbox, susan: Browser) -> None:
    """C36: what the form does not have, and whose profile it is."""
    register(site.browser(), mailbox, "david")
    query = "SELECT id, email, epoch, password_hash, disabled_at, language FROM user_account ORDER BY id"
    before = execute(site, query)

    answer = save(susan, "sue", id="2", user_id="2", email="x@example.com", epoch="9", disabled_at="", language="ru")

    assert answer.status_code == 200
    assert execute(site, query) == before
    assert execute(site, "SELECT username FROM user_account ORDER BY id") == [("sue",), ("david",)]
