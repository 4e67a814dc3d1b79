"""Invitations by members: counted, named, revoked, and worth no more than the account that made them."""

import html
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from urllib.parse import urlsplit

import pytest

from tests.depth import deep, one_in
from tests.people.crowd import arrive
from tests.registration.conftest import Start
from tests.registration.test_modes import asked_link, plain
from tests.sites import Browser, Site
from tests.stories import NEW_PASSWORD, PASSWORD, is_logged_in
from tests.watching import execute, statements, table, wait_until_posted
from webapp.accounts import tokens
from webapp.accounts.tokens import Purpose
from webapp.settings import Settings

FRIEND = "friend@example.com"


@pytest.fixture
def site(start: Start) -> Site:
    return start("invite", member_invites=3)


@pytest.fixture
def any_inviting(
    make_settings: Callable[..., Settings], database_url: str, start_site: Callable[[Settings], Site]
) -> Site:
    return start_site(make_settings(database_url=database_url, registration="invite", member_invites=3))


def invite(member: Browser, places: int = 1, **fields: str) -> str:
    """Makes an invitation; returns the path behind its link."""
    answer = member.post("/invites", data={"name": "a friend", "places": str(places), "days": "7"} | fields)
    return links(answer.text)[0]


def links(page: str) -> list[str]:
    return [urlsplit(html.unescape(link)).path for link in re.findall(r"<code>(\S+/invite/\S+)</code>", page)]


def accept(site: Site, link: str, name: str = "friend") -> str:
    """Asks for the email of an invitation; returns the path behind the link in it."""
    address = f"{name}@example.com"
    answer = site.browser().post(link, data={"email": address})
    assert "Check your email" in answer.text, answer.text
    assert site.mailbox
    return site.mailbox.link(address)


def finish(site: Site, path: str, name: str = "friend") -> tuple[int, str]:
    answer = site.browser().post(path, data={"username": name, "password": PASSWORD})
    return answer.status_code, answer.text


def test_a_member_invites_somebody_who_registers(site: Site) -> None:
    susan = arrive(site)
    link = invite(susan)

    page = site.browser().get(link).text
    came = finish(site, accept(site, link))

    assert "susan invites you" in page
    assert "Welcome, friend!" in came[1]
    listed = susan.get("/invites").text
    assert 'href="/user/friend"' in listed
    assert "1 of 1" in listed
    assert "You can invite 2 more people." in listed
    assert links(listed) == [], "a link that lets nobody in is not shown"
    assert execute(site, "SELECT user_id, invite_id, inviter_id FROM invite_use") == [(2, 1, 1)]


@pytest.mark.parametrize("mode", ["open", "invite", "approval", "domains"])
@deep
def test_an_invitation_opens_in_every_mode_but_one(start: Start, mode: str) -> None:
    site = start(mode, member_invites=1, registration_domains=("example.org",))

    assert "Welcome, friend!" in finish(site, accept(site, invite(arrive(site))))[1]


@deep
def test_of_a_closed_site_no_invitation_opens(
    start: Start, make_settings: Callable[..., Settings], start_site: Callable[[Settings], Site]
) -> None:
    site = start("invite", member_invites=3)
    susan = arrive(site)
    link, asked = invite(susan, 3), ""
    asked = accept(site, link)
    changes = {"registration": "closed", "member_invites": 3, "database_url": site.settings.database_url}
    closed = start_site(make_settings(**changes))

    assert closed.browser().get(link).status_code == 410
    assert finish(closed, asked)[0] == 403
    assert len(table(closed, "user_account")) == 1
    assert closed.browser().get("/invites").url.path == "/login"


def test_the_answer_is_the_same_whoever_has_the_address(site: Site) -> None:
    link = invite(arrive(site), 3)
    arrive(site, "david")
    answers = [site.browser().post(link, data={"email": f"{name}@example.com"}) for name in ("david", "nobdy")]

    texts = [plain(answer.text, name) for answer, name in zip(answers, ("david", "nobdy"), strict=True)]

    assert texts[0] == texts[1]
    assert answers[0].status_code == answers[1].status_code == 200


@pytest.mark.parametrize("trap", ["", "x"])
@deep
def test_a_robot_gets_no_email_by_an_invitation_either(site: Site, trap: str) -> None:
    link = invite(arrive(site))

    answer = site.browser().post(link, data={"email": FRIEND, "homepage": trap})
    wait_until_posted(site)

    assert "Check your email" in answer.text
    assert site.mailbox
    assert len(site.mailbox.all(FRIEND)) == (not trap)


@deep
def test_the_last_place_is_taken_once(any_inviting: Site) -> None:
    """However many follow the link at once."""
    link = invite(arrive(any_inviting), 2)
    paths = [accept(any_inviting, link, f"friend{number}") for number in range(6)]

    with ThreadPoolExecutor(6) as crowd:
        answers = list(crowd.map(lambda number: finish(any_inviting, paths[number], f"friend{number}"), range(6)))

    assert sorted(status for status, _text in answers) == [200, 200, 410, 410, 410, 410]
    assert len(table(any_inviting, "user_account")) == 3
    assert execute(any_inviting, "SELECT taken FROM invite") == [(2,)]
    assert len(table(any_inviting, "invite_use")) == 2
    assert sum("This invitation has ended" in text for _status, text in answers) == 4


@pytest.mark.parametrize(("mode", "way_on"), [("open", "/register"), ("invite", "/")])
@deep
def test_an_invitation_that_is_over_leads_to_where_one_can_register(start: Start, mode: str, way_on: str) -> None:
    site = start(mode, member_invites=3)
    susan = arrive(site)
    link = invite(susan)
    susan.post("/invites/1/revoke")

    answer = site.browser().get(link)

    assert answer.status_code == 410
    assert "This invitation has ended" in answer.text
    assert ("You can also register without one." in answer.text) == (mode == "open")
    assert f'class="button" href="{way_on}"' in answer.text


def test_an_invitation_that_was_cut_off_need_not_have_come_by_email(site: Site) -> None:
    answer = site.browser().get(invite(arrive(site))[:-5])

    assert answer.status_code == 404
    assert "Copy the whole link from the message" in answer.text


@deep
def test_nobody_makes_more_places_than_there_are(any_inviting: Site) -> None:
    """Also in several tabs at once."""
    susans = [arrive(any_inviting) for _tab in range(4)]

    with ThreadPoolExecutor(4) as crowd:
        form = {"name": "", "places": "2", "days": "7"}
        answers = list(crowd.map(lambda susan: susan.post("/invites", data=form).status_code, susans))

    assert sorted(answers) == [200, 422, 422, 422]
    assert execute(any_inviting, "SELECT sum(places) FROM invite") == [(2,)]


def test_a_revoked_invitation_lets_nobody_in_and_gives_its_places_back(site: Site) -> None:
    susan = arrive(site)
    link = invite(susan, 3)
    asked = accept(site, link)

    page = susan.post("/invites/1/revoke").text

    assert "You can invite 3 more people." in page
    assert site.browser().get(link).status_code == 410
    assert finish(site, asked)[0] == 410
    assert len(table(site, "user_account")) == 1


def test_nobody_revokes_somebody_elses_invitation(site: Site) -> None:
    """C36"""
    link = invite(arrive(site))

    answer = arrive(site, "mallory").post("/invites/1/revoke")

    assert answer.status_code == 404
    assert site.browser().get(link).status_code == 200


@pytest.mark.parametrize(
    "what",
    [
        "UPDATE user_account SET disabled_at = created_at WHERE id = 1",
        "UPDATE user_account SET epoch = epoch + 1 WHERE id = 1",
        "UPDATE invite SET expires_at = '2026-01-01 00:00:00.000000'",
        "DELETE FROM invite",
    ],
    ids=["disabled", "another epoch", "expired", "gone"],
)
@one_in(2)
def test_what_ends_an_account_ends_its_invitations(site: Site, what: str) -> None:
    """C19: also the email that was asked for meanwhile."""
    link = invite(arrive(site), 3)
    asked = accept(site, link)

    execute(site, what)

    assert site.browser().get(link).status_code == 410
    assert site.browser().post(link, data={"email": "other@example.com"}).status_code == 410
    assert site.browser().get(asked).status_code == 410
    assert finish(site, asked)[0] == 410
    assert len(table(site, "user_account")) == 1


@deep
def test_a_new_password_ends_what_a_thief_has_made(site: Site) -> None:
    """C68"""
    susan, thief = arrive(site), arrive(site)
    link = invite(thief, 3)

    susan.post("/change_password", data={"current_password": PASSWORD, "password": NEW_PASSWORD})
    page = susan.get("/invites").text

    assert site.browser().get(link).status_code == 410
    assert "Ended when your password or email changed" in page
    assert "You can invite 3 more people." in page


def test_somebody_who_asks_on_their_own_takes_nobodys_place(site: Site) -> None:
    invite(arrive(site))

    status, text = finish(site, asked_link(site, FRIEND))

    assert status == 403
    assert "You need an invitation" in text
    assert execute(site, "SELECT taken FROM invite") == [(0,)]


@deep
def test_the_code_of_the_email_is_worth_its_invitation(site: Site) -> None:
    link = invite(arrive(site))
    browser = site.browser()
    page = browser.post(link, data={"email": FRIEND}).url.path
    assert site.mailbox
    code = re.search(r"^(\d{4} \d{4})$", site.mailbox.last(FRIEND).text, re.MULTILINE)
    assert code

    form = browser.post(f"{page}/code", data={"code": code[1]})
    browser.post(form.url.path, data={"username": "friend", "password": PASSWORD})

    assert is_logged_in(browser)
    assert execute(site, "SELECT taken FROM invite") == [(1,)]


@deep
def test_an_email_that_is_asked_for_again_keeps_the_invitation(site: Site) -> None:
    browser = site.browser()
    page = browser.post(invite(arrive(site)), data={"email": FRIEND}).url.path
    execute(site, "DELETE FROM limit_window")

    browser.post(page)

    assert site.mailbox
    assert "Welcome" in finish(site, site.mailbox.link(FRIEND, 2))[1]
    assert execute(site, "SELECT taken FROM invite") == [(1,)]


@deep
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"places": "4"}, "You can invite 3 more people."),
        ({"places": "0"}, "Type a number from 1 to 100."),
        ({"places": "-1"}, "Type a number from 1 to 100."),
        ({"places": "\u0663"}, "Type a number from 1 to 100."),
        ({"places": "many"}, "Type a number from 1 to 100."),
        ({"places": "9" * 30}, "Type a number from 1 to 100."),
        ({"places": ""}, "Type a number from 1 to 100."),
        ({"days": "31"}, "Type a number from 1 to 30."),
        ({"name": "x" * 61}, "That&#39;s too long."),
    ],
    ids=str,
)
@one_in(3)
def test_a_mistake_is_told_and_nothing_is_lost(site: Site, fields: dict[str, str], words: str) -> None:
    form = {"name": "for Ann", "places": "1", "days": "7"} | fields

    answer = arrive(site).post("/invites", data=form)

    assert answer.status_code == 422
    assert words in answer.text
    assert all(f'value="{value}"' in answer.text for value in form.values() if value)
    assert table(site, "invite") == []


def test_where_members_invite_nobody_there_is_no_page(start: Start) -> None:
    site = start("open")
    susan = arrive(site)

    assert susan.get("/invites").status_code == 404
    assert 'href="/invites"' not in susan.get("/settings").text
    assert site.browser().get(tokens_path(site)).status_code == 410


def tokens_path(site: Site) -> str:
    return f"/invite/{tokens.issue(site.settings, Purpose.INVITE, 1, timedelta(hours=1))}"


@deep
def test_the_page_takes_as_many_statements_for_many_as_for_one(start: Start) -> None:
    site = start("invite", member_invites=20)
    susan = arrive(site)
    counts = []
    for number in range(3):
        finish(site, accept(site, invite(susan), f"friend{number}"), f"friend{number}")
        with statements(site) as seen:
            susan.get("/invites")
        counts.append(len(seen))

    assert len(set(counts)) == 1


def test_what_is_made_and_revoked_is_in_the_log(site: Site) -> None:
    susan = arrive(site)
    invite(susan)
    susan.post("/invites/1/revoke")

    events = execute(site, "SELECT kind FROM security_event WHERE kind LIKE 'invite%' ORDER BY id")

    assert events == [("invite_made",), ("invite_revoked",)]
