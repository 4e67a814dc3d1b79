"""The admin's page of people: who is here, and what an admin does to an account, with the person told."""

import html
import re
from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine

from tests.depth import deep, one_in
from tests.factors.steps import set_up_app
from tests.people.crowd import import_people
from tests.sites import Browser, Site
from tests.stories import NEW_PASSWORD, PASSWORD, is_logged_in, log_in
from tests.watching import execute, wait_until_posted
from webapp.database import now
from webapp.mail.kinds import KINDS
from webapp.notifications import history
from webapp.settings import Settings


@pytest.fixture
def site(make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[[Settings], Site]) -> Site:
    site = start_site(make_settings(database_url=sqlite_url, admins=("host@example.com",)))
    import_people(site, "host", "susan", "peter")
    return site


@pytest.fixture
def admin(site: Site) -> Browser:
    return arrive(site, "host")


@pytest.fixture
def susan(site: Site) -> Browser:
    return arrive(site, "susan")


def arrive(site: Site, name: str) -> Browser:
    browser = site.browser()
    log_in(browser, name)
    return browser


def act(admin: Browser, action: str, name: str = "susan", **fields: str) -> str:
    return admin.post(f"/admin/people/{name}/{action}", data=fields).text


def newest(site: Site, name: str = "susan") -> tuple[str, str]:
    wait_until_posted(site)
    assert site.mailbox
    email = site.mailbox.last(f"{name}@example.com")
    return email.subject, " ".join(email.text.split())


def listed(admin: Browser, query: str) -> list[str]:
    return re.findall(r'href="/admin/people/(\w+)"', admin.get(f"/admin/people?{query}").text)


def test_a_disabled_person_is_out_at_once_and_reads_why(site: Site, admin: Browser, susan: Browser) -> None:
    act(admin, "disable", reason="Cheap watches.")

    assert not is_logged_in(susan)
    assert admin.get("/user/susan").status_code == 404
    assert "Cheap watches." in newest(site)[1]
    assert listed(admin, "state=disabled") == ["susan"]


def test_without_a_reason_nobody_is_disabled_or_deleted(admin: Browser, susan: Browser) -> None:
    for action in ("disable", "delete"):
        assert "Say why, in a sentence." in act(admin, action)

    assert is_logged_in(susan)


def test_a_person_who_is_enabled_again_can_log_in_and_is_told(site: Site, admin: Browser, susan: Browser) -> None:
    act(admin, "disable", reason="A mistake.")
    act(admin, "enable")

    assert newest(site)[0] == "Your account on Microblog is open again"
    log_in(susan)
    assert is_logged_in(susan)


def test_a_reset_link_goes_to_the_person_and_to_nobody_else(site: Site, admin: Browser) -> None:
    page = act(admin, "send_reset_link")

    assert "/reset_password/" not in page
    assert site.mailbox
    link = site.mailbox.link("susan@example.com")
    site.browser().post(link, data={"password": NEW_PASSWORD})
    susan = site.browser()
    log_in(susan, password=NEW_PASSWORD)
    assert is_logged_in(susan)


def test_an_admin_reads_of_somebody_elses_emails_as_somebody_elses(site: Site, admin: Browser) -> None:
    act(admin, "send_reset_link")
    wait_until_posted(site)

    page = admin.get("/admin/people/susan").text.partition("Latest emails")[2]

    assert "A link to choose a new password" in page
    assert "Delivered to their mail provider" in page
    names = "".join(history.named(kind) for kind in KINDS)
    assert not re.search(r"\byou", names + page.partition("</ol>")[0], re.IGNORECASE)


@deep
def test_a_person_who_lost_the_second_step_logs_in_once_it_is_removed(
    site: Site, admin: Browser, susan: Browser
) -> None:
    set_up_app(susan)
    act(admin, "remove_factors")

    assert "second step" in newest(site)[0]
    again = arrive(site, "susan")
    assert is_logged_in(again)


@deep
def test_a_deleted_account_is_hidden_and_can_be_enabled_until_it_is_gone(
    site: Site, admin: Browser, susan: Browser
) -> None:
    act(admin, "delete", reason="Asked by letter.")

    assert not is_logged_in(susan)
    assert listed(admin, "state=deleted") == ["susan"]
    act(admin, "enable")
    assert listed(admin, "state=deleted") == []
    log_in(susan)
    assert is_logged_in(susan)


@pytest.mark.parametrize("action", ["disable", "enable", "send_reset_link", "remove_factors", "delete"])
@one_in(3)
def test_each_action_asks_for_the_password_when_the_last_proof_is_old(site: Site, admin: Browser, action: str) -> None:
    before = execute(site, "SELECT disabled_at, epoch FROM user_account ORDER BY id")
    wait_until_posted(site)
    emails = execute(site, "SELECT count(*) FROM outbox_email")

    with time_machine.travel(now() + timedelta(minutes=16)):
        assert "Current password" in act(admin, action, reason="Because.")

    assert execute(site, "SELECT disabled_at, epoch FROM user_account ORDER BY id") == before
    assert execute(site, "SELECT count(*) FROM outbox_email") == emails


@pytest.mark.parametrize("action", ["disable", "remove_factors", "delete"])
def test_no_admin_disables_another_admin(admin: Browser, action: str) -> None:
    assert "only the command line can do that" in act(admin, action, "host", reason="Because.").lower()
    assert is_logged_in(admin)


@pytest.mark.parametrize("action", ["disable", "delete", "disable_user"])
@deep
def test_of_two_admins_who_decide_at_once_one_does_and_the_other_is_told_to_look_again(
    site: Site, admin: Browser, susan: Browser, action: str
) -> None:
    """The other decides while the first one's password is checked, after the account was read."""
    susan.post("/", data={"body": "Cheap watches."})
    path = "/admin/reports/1/disable" if action == "disable_user" else f"/admin/people/susan/{action}"
    form = {"reason": "Watches.", "current_password": PASSWORD}
    arrive(site, "peter").post("/posts/1/report", data={"reason": "Watches."})

    with time_machine.travel(now() + timedelta(minutes=16)):
        other, said = arrive(site, "host"), []

        def decide(_run: str) -> None:
            site.argon2.meanwhile = lambda _run: None
            said.append(act(other, "disable", reason="Faster."))

        site.argon2.meanwhile = decide
        late = admin.post(path, data=form)

    assert "account is disabled." in said[0]
    assert "account has just changed. Look at it again" in html.unescape(late.text)
    assert late.status_code == 422
    wait_until_posted(site)
    assert execute(
        site, "SELECT count(*) FROM outbox_email WHERE kind IN ('account_disabled', 'account_deletion')"
    ) == [(1,)]
    assert execute(site, "SELECT kind FROM security_event WHERE kind IN ('disabled', 'deletion_asked')") == [
        ("disabled",)
    ]


def test_people_are_found_by_a_part_of_the_name_or_the_whole_address(admin: Browser) -> None:
    assert listed(admin, "q=USA") == ["susan"]
    assert listed(admin, "q=susan@example.com") == ["susan"]
    assert listed(admin, "q=susan@") == []
    assert listed(admin, "q=%25") == []
    assert listed(admin, "") == ["peter", "susan", "host"]


def test_addresses_are_masked(admin: Browser) -> None:
    assert "susan@example.com" not in admin.get("/admin/people").text + admin.get("/admin/people/susan").text


@deep
@pytest.mark.parametrize("path", ["/admin/people", "/admin/people/peter", "/admin/people/peter/disable"])
def test_members_see_none_of_the_admins_pages(susan: Browser, path: str) -> None:
    assert susan.get(path).status_code == 403


def test_a_member_can_do_nothing_to_anybody(site: Site, susan: Browser) -> None:
    fields = {"reason": "Because.", "current_password": PASSWORD}

    assert susan.post("/admin/people/peter/disable", data=fields).status_code == 403
    assert is_logged_in(arrive(site, "peter"))
