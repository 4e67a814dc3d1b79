"""Another username: it takes the password, the person is told, and the old one is kept for them."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import time_machine
from httpx2 import Response

from tests.depth import deep, one_in
from tests.imported import add_accounts
from tests.mailbox import Mailbox, link_in, paths_in
from tests.sites import Browser, Site
from tests.stories import PASSWORD, RESET_SUBJECT, ask_for_reset, log_in, register
from tests.watching import execute, wait_until_posted
from webapp.accounts import tokens
from webapp.names import reserved

DAY = 86400


def logged_in(site: Site, mailbox: Mailbox, name: str = "susan") -> Browser:
    register(site.browser(), mailbox, name)
    browser = site.browser()
    log_in(browser, name)
    return browser


def rename(browser: Browser, username: str, password: str = PASSWORD) -> Response:
    return browser.post("/edit_profile", data={"username": username, "current_password": password})


def invited(site: Site, username: str, address: str = "new@example.com") -> Response:
    link = tokens.register_link(site.settings, address).removeprefix(site.settings.base_url)
    return site.browser().post(link, data={"username": username, "password": PASSWORD})


def names(site: Site) -> list[str]:
    return [name for (name,) in execute(site, "SELECT username FROM user_account ORDER BY id")]


@pytest.fixture
def susan(site: Site, mailbox: Mailbox) -> Browser:
    return logged_in(site, mailbox)


@deep
@pytest.mark.parametrize("password", ["", "not the right password"])
def test_a_stolen_session_changes_no_username(site: Site, susan: Browser, password: str) -> None:
    answer = rename(susan, "sue", password)

    assert answer.status_code == 422
    assert 'id="current_password-error"' in answer.text
    assert names(site) == ["susan"]


@deep
def test_the_rest_of_the_profile_needs_no_password(site: Site, susan: Browser) -> None:
    answer = susan.post("/edit_profile", data={"username": "susan", "about_me": "A line."})

    assert answer.status_code == 200
    assert execute(site, "SELECT about_me FROM user_account") == [("A line.",)]


@deep
def test_the_owner_is_told_with_a_way_to_say_that_it_was_not_them(mailbox: Mailbox, susan: Browser) -> None:
    rename(susan, "sue")

    told = mailbox.last("susan@example.com", subject="Your username")
    assert "from susan to sue" in " ".join(told.text.split())
    assert any(path.startswith("/not_me/") for path in paths_in(told.text))


@pytest.mark.alike
@deep
def test_a_username_that_was_given_up_is_kept_for_thirty_days(any_site: Site, mailbox: Mailbox) -> None:
    susan = logged_in(any_site, mailbox)
    david = logged_in(any_site, mailbox, "david")
    rename(susan, "sue")

    by_registering = invited(any_site, "SuSan")
    by_renaming = rename(david, "susan")

    async def imported() -> list[str]:
        async with any_site.app.state.database.session(is_writing=True) as db:
            return await add_accounts(db, any_site.settings, "username,email\nSUSAN,new@example.com\n")

    assert (by_registering.status_code, by_renaming.status_code) == (422, 422)
    assert "That username is taken." in by_registering.text
    assert "That username is taken." in by_renaming.text
    assert "is taken, or reserved" in str(any_site.run(imported))
    assert names(any_site) == ["sue", "david"]


def test_after_thirty_days_it_is_anybodys(site: Site, susan: Browser) -> None:
    rename(susan, "sue")

    with time_machine.travel(time.time() + 29 * DAY):
        too_early = invited(site, "susan")
    with time_machine.travel(time.time() + 31 * DAY):
        in_time = invited(site, "susan")

    assert too_early.status_code == 422
    assert in_time.url.path == "/"
    assert names(site) == ["sue", "susan"]


def test_the_former_owner_may_go_back(site: Site, susan: Browser) -> None:
    rename(susan, "sue")

    answer = rename(susan, "susan")

    assert answer.status_code == 200
    assert names(site) == ["susan"]
    assert execute(site, "SELECT username_key FROM kept_username") == [("sue",)]


@pytest.mark.races
@deep
def test_nobody_gets_a_username_at_the_moment_it_is_given_up(any_site: Site, mailbox: Mailbox) -> None:
    susan = logged_in(any_site, mailbox)

    def come(number: int) -> int:
        if number == 4:
            return rename(susan, "sue").status_code
        return invited(any_site, "susan", f"new{number}@example.com").status_code

    with ThreadPoolExecutor(9) as people:
        statuses = list(people.map(come, range(9)))

    assert statuses.pop(4) == 200
    assert set(statuses) == {422}
    assert names(any_site) == ["sue"]


def test_a_reset_by_the_old_username_goes_to_its_former_owner(site: Site, mailbox: Mailbox, susan: Browser) -> None:
    rename(susan, "sue")

    ask_for_reset(site.browser(), "susan")

    email = mailbox.last("susan@example.com", subject=RESET_SUBJECT)
    assert "Hello sue," in email.text
    assert site.browser().get(link_in(email.text)).status_code == 200


def test_after_thirty_days_a_reset_by_the_old_username_goes_to_nobody(
    site: Site, mailbox: Mailbox, susan: Browser
) -> None:
    rename(susan, "sue")

    with time_machine.travel(time.time() + 31 * DAY):
        ask_for_reset(site.browser(), "susan")
        wait_until_posted(site)

    assert mailbox.all(subject=RESET_SUBJECT) == []


@deep
def test_five_usernames_an_hour(susan: Browser) -> None:
    statuses = [rename(susan, f"sue_{number}").status_code for number in range(6)]

    assert statuses == [200] * 5 + [429]


RESERVED = ["admin", "ROOT", "Ad_Min", "support", "postmaster", "abuse", "security", "help", "webmaster", "hostmaster"]
RESERVED += ["noreply", "no_reply", "microblog", "Micro_Blog", "explore", "edit_profile", "editprofile", "s_e_a_r_c_h"]


# As somebody writes them who wants to be taken for the site.
RESERVED += [
    "adm1n",
    "p0stmaster",
    "supp0rt",
    "adrnin",
    "vvebmaster",
    "rn0derator",
    "heIp",
    "AdmIn",
    "5ecurity",
    "8illing",
]
RESERVED += [
    "admin_",
    "_admin_",
    "admin1",
    "admin_2026",
    "007admin",
    "the_admin",
    "theadmin",
    "real_admin",
    "admin_team",
]
RESERVED += ["microblog_support", "microblogsupport", "support_microblog", "MICR0BL0G", "rnicroblog", "the_microblog"]
RESERVED += ["micro_b1og", "blogexample", "blog_examp1e", "microblog_admin_team", "mail_admin", "help_from_microblog"]
# A page's word, misspelled; and what the words mean together, also in Russian.
RESERVED += ["l0gin", "logln", "acc0unt", "s1gn_in", "sett1ngs", "reset_passw0rd", "1etters", "n0t_me"]
RESERVED += ["security_alert", "customer_support", "password_reset", "do_not_reply", "helpcenter", "p0dderzhka"]
FREE = [
    "administer",
    "adminton",
    "admin_susan",
    "rootbeer",
    "root_beer",
    "modest",
    "seif",
    "teamster",
    "susan_support_group",
]
FREE += [
    "microblogger",
    "lisa",
    "ian",
    "robotic",
    "bot_fan",
    "news_junkie",
    "its_me",
    "salesman",
    "oofficer",
    "the_real_susan",
    "info_susan",
    "pressed",
    "helper",
    "mariner",
    "savvy",
]


def test_a_username_that_only_contains_a_reserved_word_is_allowed(standing: Site) -> None:
    assert [name for name in FREE if reserved.is_reserved(name, standing.app.state.reserved_usernames)] == []


@pytest.mark.parametrize("name", RESERVED)
@one_in(4)
def test_nobody_can_take_a_username_that_speaks_for_the_site(standing: Site, visitor: Browser, name: str) -> None:
    """Neither by registering nor by renaming."""
    by_registering = invited(standing, name, "speaks@example.com")
    by_renaming = rename(visitor, name)

    for answer in (by_registering, by_renaming):
        assert answer.status_code == 422
        assert "That username is reserved." in answer.text
    assert names(standing) == ["susan"]


def test_every_word_of_every_path_is_reserved(standing: Site) -> None:
    """Whoever adds a page has reserved its name."""
    paths = [getattr(route, "path", "") for route in standing.app.routes]
    words = {word for path in paths for word in path.split("/") if word.replace("_", "").isalnum()}

    free = {word for word in words if word.replace("_", "") not in standing.app.state.reserved_usernames.words}
    assert len(words) > 30
    assert free == set()


def test_the_operator_may_import_them_and_their_owner_keeps_them(site: Site, mailbox: Mailbox) -> None:
    async def imported() -> list[str]:
        async with site.app.state.database.session(is_writing=True) as db:
            problems = await add_accounts(db, site.settings, "username,email\nadmin,susan@example.com\n")
            await db.commit()
            return problems

    assert site.run(imported) == []
    ask_for_reset(site.browser(), "admin")
    site.browser().post(mailbox.link("susan@example.com"), data={"password": PASSWORD})
    admin = site.browser()
    log_in(admin, "admin")

    assert rename(admin, "Admin").status_code == 200
    assert names(site) == ["Admin"]
