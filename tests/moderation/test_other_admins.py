"""What one admin does is told to the others, and nobody judges their own posts."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from time_machine import Traveller

from tests.depth import deep, one_in
from tests.factors.steps import set_up_app
from tests.moderation.cases import post
from tests.people.crowd import arrive, import_people
from tests.security.test_roles import ADMIN
from tests.sites import Browser, Site
from tests.test_limit_sweep import SENT, path_of
from tests.watching import execute, standing_site, wait_until_posted
from webapp.mail_preview.inbox import Received
from webapp.settings import Settings

ADMINS = ("susan@example.com", "Carol <carol@example.com>")
WHY = {"reason": "Dull."}
TOLD = {"disable_user", "disable", "delete", "remove_factors"}
UNTOLD = {
    "keep_post": "changes nothing; one's own, nobody keeps",
    "remove_post": "daily work, and its author is told",
    "enable": "takes nothing from anybody",
    "send_reset_link": "goes to the account's own mailbox",
    "approve_request": "what admins are asked for, and the person is told",
    "refuse_request": "what admins are asked for, and the person is told",
    "pause_mail": "the page of the mail says so, and no email would leave",
    "resume_mail": "the page of the mail says so",
    "send_mail_again": "takes nothing from anybody",
    "address_works_again": "takes nothing from anybody",
}


@pytest.fixture
def site(migrated_sqlite: Path, tmp_path: Path) -> Iterator[Site]:
    """Susan and carol look after it; david has posted."""
    with standing_site(migrated_sqlite, tmp_path, admins=ADMINS) as site:
        import_people(site, "susan", "david", "carol", "bob")
        for _number in range(5):
            post(site, "david")
        yield site


@pytest.fixture
def susan(site: Site) -> Browser:
    return arrive(site, "susan")


@pytest.fixture
def any_site(make_settings: Callable[..., Settings], database_url: str, start_site: Callable[[Settings], Site]) -> Site:
    site = start_site(make_settings(database_url=database_url, admins=ADMINS))
    import_people(site, "susan", "david", "carol", "bob")
    return site


def waiting_for(site: Site) -> list[str]:
    return [to for (to,) in execute(site, "SELECT recipient FROM outbox_email WHERE kind = 'admin_acted' ORDER BY id")]


def told(site: Site, clock: Traveller, name: str) -> list[Received]:
    """What an admin has heard of the others once everything due has left, the newest first."""
    clock.shift(306)

    async def ring() -> None:
        site.app.state.database.wake.set()

    assert site.mailbox
    site.run(ring)
    wait_until_posted(site)
    return [email for email in site.mailbox.all(f"{name}@example.com") if "changed by" in email.subject]


def lines(email: Received) -> list[str]:
    """Who did what to whom, without the time."""
    return re.findall(r"UTC: (.+)", email.text)


@deep
def test_every_decision_is_told_or_there_is_a_reason(site: Site, susan: Browser) -> None:
    set_up_app(arrive(site, "bob"))
    shown = susan.get("/admin/people/bob").text
    susan.post("/admin/people/david/disable", data=WHY)
    shown += susan.get("/admin/people/david").text

    actions = set(re.findall(r'href="/admin/people/\w+/(\w+)"', shown))

    assert TOLD | set(UNTOLD) == (ADMIN & set(SENT)) - {"act_on_person"} | actions


@deep
@one_in(10)
@pytest.mark.parametrize("name", sorted(TOLD | set(UNTOLD)))
def test_what_an_owner_cant_put_right_is_told_to_the_other_admins(site: Site, susan: Browser, name: str) -> None:
    set_up_app(arrive(site, "bob"))
    path, form = (path_of(site, susan, name), SENT[name]) if name in SENT else (f"/admin/people/bob/{name}", WHY)
    if name == "enable":
        execute(site, "UPDATE user_account SET disabled_at = '2026-01-01' WHERE username = 'bob'")
    execute(site, "DELETE FROM limit_window")

    answer = susan.post(path, data=form)

    assert answer.history[-1].status_code == 303, answer.text
    assert waiting_for(site) == (["carol@example.com"] if name in TOLD else [])


@deep
def test_one_email_covers_a_few_minutes(any_site: Site, clock: Traveller) -> None:
    susan = arrive(any_site, "susan")
    set_up_app(arrive(any_site, "bob"))
    susan.post("/admin/people/bob/remove_factors")
    susan.post("/admin/people/bob/disable", data=WHY)
    clock.shift(290)
    susan.post("/admin/people/david/delete", data=WHY)

    [email] = told(any_site, clock, "carol")

    assert email.subject == "2 accounts on Microblog were changed by other admins"
    assert lines(email) == [
        "susan removed bob's second step.",
        "susan disabled bob's account.",
        "susan is deleting david's account.",
    ]
    assert "https://blog.example/admin/people" in email.text.splitlines()
    assert "Dull" not in email.text, "a thief's words don't come in the site's name"
    assert told(any_site, clock, "susan") == []


@deep
def test_two_admins_at_once_hear_of_each_other(site: Site, susan: Browser, clock: Traveller) -> None:
    susan.post("/admin/people/bob/disable", data=WHY)
    arrive(site, "carol").post("/admin/people/david/disable", data=WHY)

    emails = {name: told(site, clock, name) for name in ("susan", "carol")}

    assert {name: [lines(email) for email in sent] for name, sent in emails.items()} == {
        "carol": [["susan disabled bob's account."]],
        "susan": [["carol disabled david's account."]],
    }


@deep
def test_what_happens_later_is_told_in_another_email(site: Site, susan: Browser, clock: Traveller) -> None:
    susan.post("/admin/people/bob/disable", data=WHY)
    [first] = told(site, clock, "carol")
    susan.post("/admin/people/david/disable", data=WHY)

    assert [lines(email) for email in told(site, clock, "carol")] == [
        ["susan disabled david's account."],
        ["susan disabled bob's account."],
    ]
    assert "david" not in first.text


@deep
def test_nobody_passes_for_an_admin_by_what_their_browser_is_called(
    site: Site, susan: Browser, clock: Traveller
) -> None:
    david = site.browser()
    david.headers["user-agent"] = "the admin's page: susan"
    david.post("/login", data={"username": "david", "password": "correct horse battery"})
    app = set_up_app(david)
    susan.post("/admin/people/bob/disable", data=WHY)
    david.post("/sign-in_methods/app/remove", data={"code": app.codes[0]})
    assert execute(site, "SELECT count(*) FROM security_event WHERE kind = 'factor_removed'") == [(1,)]

    [email] = told(site, clock, "carol")

    assert lines(email) == ["susan disabled bob's account."]


def test_an_admin_alone_gets_no_email_about_themselves(
    make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[[Settings], Site]
) -> None:
    site = start_site(make_settings(database_url=sqlite_url, admins=ADMINS[:1]))
    import_people(site, "bob")

    arrive(site, "susan").post("/admin/people/bob/disable", data=WHY)

    assert waiting_for(site) == []


def reported(site: Site) -> int:
    """A post of susan's that bob has reported."""
    number = post(site, "susan", "Cheap watches.")
    arrive(site, "bob").post(f"/posts/{number}/report", data={"reason": "Watches."})
    return number


@deep
def test_an_admin_doesnt_settle_what_is_said_about_themselves(any_site: Site) -> None:
    susan, carol = arrive(any_site, "susan"), arrive(any_site, "carol")
    number = reported(any_site)
    keep = f'action="/admin/reports/{number}/keep"'

    refused = susan.post(f"/admin/reports/{number}/keep")

    assert "another admin decides" in refused.text
    assert [keep in admin.get("/admin/reports").text for admin in (susan, carol)] == [False, True]
    assert execute(any_site, "SELECT outcome FROM report") == [("",)]
    assert "post stays" in carol.post(f"/admin/reports/{number}/keep").text
    assert execute(any_site, "SELECT outcome FROM report") == [("kept",)]


@deep
@pytest.mark.parametrize("gone", ["DELETE FROM user_account", "UPDATE user_account SET disabled_at = '2026-01-01'"])
def test_where_there_is_no_other_admin_there_is_nobody_else_to_decide(site: Site, susan: Browser, gone: str) -> None:
    number = reported(site)
    execute(site, f"{gone} WHERE username = 'carol'")

    assert f"/admin/reports/{number}/keep" in susan.get("/admin/reports").text
    assert "post stays" in susan.post(f"/admin/reports/{number}/keep").text


@deep
def test_an_admin_without_the_second_step_that_admins_need_is_no_other_admin(
    make_settings: Callable[..., Settings], database_url: str, start_site: Callable[[Settings], Site]
) -> None:
    site = start_site(make_settings(database_url=database_url, admins=ADMINS, admin_two_factors=True))
    import_people(site, "susan", "carol", "bob")
    number, susan = reported(site), arrive(site, "susan")
    set_up_app(susan)
    alone = susan.get("/admin/reports").text
    set_up_app(arrive(site, "carol"))

    together = susan.get("/admin/reports").text

    keep = f"/admin/reports/{number}/keep"
    assert (keep in alone, keep in together) == (True, False)
    assert "another admin decides" in susan.post(keep).text
