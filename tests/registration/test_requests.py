"""REGISTRATION=approval: the mailbox first, then a request, which an admin decides once."""

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest
import time_machine

from tests.depth import deep
from tests.people.crowd import PART, arrive
from tests.registration.conftest import Start
from tests.registration.test_modes import NEW, ask, asked_link, invited
from tests.sites import Browser, Site
from tests.stories import PASSWORD, is_logged_in, log_in
from tests.watching import execute, statements, table, wait_until_posted
from webapp.settings import Settings

WAITS, NO_MATCH = 'form-notice" role="alert">Your request is still waiting', "password don&#39;t match."
WHY = "I tend a garden <b>in Leeds</b>."


@pytest.fixture
def site(start: Start) -> Site:
    return start("approval")


@pytest.fixture
def any_approving(
    make_settings: Callable[..., Settings], database_url: str, start_site: Callable[[Settings], Site]
) -> Site:
    values = {"database_url": database_url, "admins": ("host@example.com",), "registration": "approval"}
    return start_site(make_settings(**values))


def request(site: Site, name: str = "susan", **more: str) -> tuple[int, str]:
    """Somebody who has proved their mailbox asks for an account."""
    fields = {"username": name, "password": PASSWORD, "why": WHY} | more
    answer = site.browser().post(asked_link(site, f"{name.lower()}@example.com"), data=fields)
    return answer.status_code, answer.text


def decide(admin: Browser, what: str, number: int = 1, **fields: str) -> tuple[int, str]:
    answer = admin.post(f"/admin/requests/{number}/{what}", data=fields)
    return answer.status_code, answer.text


def subjects(site: Site, name: str) -> list[str]:
    wait_until_posted(site)
    assert site.mailbox
    return [email.subject for email in site.mailbox.all(f"{name}@example.com")]


def test_an_admin_approves_a_request_and_the_person_gets_in(site: Site) -> None:
    admin = arrive(site, "host")
    ask(site, "susan@example.com")
    assert site.mailbox
    visitor = site.browser()
    link = site.mailbox.link("susan@example.com")
    form = visitor.get(link)

    waits = visitor.post(link, data={"username": "Susan", "password": PASSWORD, "why": WHY})
    too_early = log_in(site.browser())
    page = admin.get("/admin/people").text
    approved = decide(admin, "approve")
    new = [admin.get(path).text for path in ("/admin/people", "/admin/people/Susan", "/user/Susan")]

    assert 'name="why"' in form.text
    assert "Your request is waiting" in waits.text
    assert not is_logged_in(visitor)
    assert too_early.status_code == 422
    assert "I tend a garden &lt;b&gt;in Leeds" in page
    assert "Susan can log in now." in approved[1]
    assert [("<dd>never</dd>" in text, "Last seen" in text) for text in new] == [
        (True, True),
        (True, True),
        (False, False),
    ]
    assert is_logged_in(logged_in(site, "susan"))
    assert "<dd>never</dd>" not in admin.get("/admin/people").text
    assert "Last seen" in admin.get("/user/Susan").text
    assert subjects(site, "susan") == [
        "Welcome to Microblog",
        "Your request to join Microblog is waiting",
        "Your registration on Microblog",
    ]
    assert table(site, "registration_request") == []
    events = "SELECT user_agent FROM security_event WHERE kind = 'registered' AND user_id = 2"
    assert execute(site, events) == [("the admin's page: host",)]


def logged_in(site: Site, name: str) -> Browser:
    browser = site.browser()
    log_in(browser, name)
    return browser


@deep
def test_a_person_who_waits_hears_so_when_they_log_in(any_approving: Site) -> None:
    admin = arrive(any_approving, "host")
    request(any_approving)

    def say(typed: str, password: str = PASSWORD) -> str:
        answer = log_in(any_approving.browser(), typed, password)
        assert answer.status_code == 422
        return "waits" if WAITS in answer.text else "no match" if NO_MATCH in answer.text else answer.text

    told = [say("Susan"), say(" susan@example.com"), say("susan", PASSWORD + "!"), say("nobody")]
    decide(admin, "refuse")

    assert told == ["waits", "waits", "no match", "no match"]
    assert say("susan@example.com") == "no match", "the password is forgotten"
    request(any_approving, "bob")
    execute(any_approving, "UPDATE registration_request SET expires_at = '2026-01-01 00:00:00+00:00'")
    assert say("bob") == "no match", "nobody answered in time"


@pytest.mark.alike
def test_without_the_password_a_waiting_person_is_like_nobody(any_approving: Site) -> None:
    """C12, C01, C02: the same bytes and the same work."""
    request(any_approving)
    seen = {}

    for name in ("warms", "susan", "nobdy", "susan@example.com", "nobdy@example.com"):
        any_approving.argon2.runs.clear()
        with statements(any_approving) as work:
            answer = log_in(any_approving.browser(), name, "not the right password")
        typed = quote(name)
        told = answer.text.replace(name, "{typed}").replace(typed, "{typed}")
        seen[name] = (told, [one for one in work if not one.startswith("BEGIN")], list(any_approving.argon2.runs))

    assert seen["susan"] == seen["nobdy"]
    assert seen["susan@example.com"] == seen["nobdy@example.com"]
    assert seen["susan"][2] == ["verify"]


def test_a_refusal_tells_why_and_keeps_no_password(site: Site) -> None:
    admin = arrive(site, "host")
    request(site)

    refused = decide(admin, "refuse", reason="Only people  from Bristol.")

    assert "The request is refused." in refused[1]
    assert site.mailbox
    wait_until_posted(site)
    email = site.mailbox.last("susan@example.com", subject="Your request to join Microblog")
    assert "Why: Only people from Bristol." in email.text
    assert execute(site, "SELECT username, username_key, password_hash FROM registration_request") == [("", None, "")]
    assert len(table(site, "user_account")) == 1
    assert request(site, "bob", username="susan")[0] == 200, "the username is anybody's again"


def test_a_refusal_without_a_reason_says_none(site: Site) -> None:
    admin = arrive(site, "host")
    request(site)

    decide(admin, "refuse")

    assert site.mailbox
    wait_until_posted(site)
    assert "decided against it" in " ".join(site.mailbox.last("susan@example.com").text.split())
    assert "Why:" not in site.mailbox.last("susan@example.com").text


@deep
def test_a_refused_person_can_ask_again_after_a_while(site: Site) -> None:
    admin = arrive(site, "host")
    request(site)
    decide(admin, "refuse")
    again = request(site)
    ask(site, "susan@example.com")
    wait_until_posted(site)
    assert site.mailbox
    told = site.mailbox.last("susan@example.com")

    execute(site, "UPDATE registration_request SET expires_at = '2026-01-01 00:00:00.000000'")
    later = request(site)

    assert "Your request is waiting" in again[1], "the same page as for everybody"
    assert told.subject == "Your request to join Microblog"
    assert "/register/" not in told.text
    assert later[0] == 200
    assert execute(site, "SELECT username, refused_at FROM registration_request") == [("susan", None)]


def test_somebody_who_is_waiting_asks_again_in_vain(site: Site) -> None:
    """The first request stands: a second one changes neither its password nor its words."""
    request(site)
    before = table(site, "registration_request")

    again = request(site, password="another password, quite long", why="Let me in!", username="susan2")
    ask(site, "susan@example.com")

    assert "Your request is waiting" in again[1]
    assert table(site, "registration_request") == before
    assert subjects(site, "susan") == ["Your request to join Microblog is waiting"] * 2


@deep
@pytest.mark.parametrize("name", ["susan", "SUSAN"])
def test_the_username_of_a_waiting_person_is_taken(site: Site, name: str) -> None:
    request(site)

    answer = site.browser().post(
        asked_link(site, "other@example.com"), data={"username": name, "password": PASSWORD, "why": WHY}
    )
    admin = arrive(site, "host")
    renamed = admin.post("/edit_profile", data={"username": name})

    assert answer.status_code == 422
    assert "That username is taken." in answer.text
    assert "That username is taken." in renamed.text


@pytest.mark.parametrize("why", ["", "   ", "x" * 501])
def test_a_request_says_why(site: Site, why: str) -> None:
    status, text = request(site, why=why)

    assert status == 422
    assert 'id="why-error"' in text
    assert 'value="susan"' in text
    assert table(site, "registration_request") == []


@deep
def test_at_most_a_backlog_waits(start: Start) -> None:
    site = start("approval", registration_backlog=2)
    names = [f"person{number}" for number in range(6)]

    with ThreadPoolExecutor(6) as crowd:
        answers = list(crowd.map(lambda name: request(site, name), names))
    page, asked = site.browser().get("/register"), ask(site)

    assert sorted(status for status, _text in answers) == [200, 200, 422, 422, 422, 422]
    assert len(table(site, "registration_request")) == 2
    assert "nobody else can ask right now" in page.text
    assert asked[0] == 422
    decide(arrive(site, "host"), "approve", execute(site, "SELECT min(id) FROM registration_request")[0][0])
    assert 'name="email"' in site.browser().get("/register").text


@deep
def test_at_most_a_backlog_waits_on_postgresql_too(
    any_approving: Site, start_site: Callable[[Settings], Site], make_settings: Callable[..., Settings]
) -> None:
    """Two processes at once."""
    values = {"database_url": any_approving.settings.database_url, "registration": "approval"}
    sites = [start_site(make_settings(**values, registration_backlog=2)) for _process in range(2)]

    with ThreadPoolExecutor(6) as crowd:
        answers = list(crowd.map(lambda number: request(sites[number % 2], f"person{number}"), range(6)))

    assert sorted(status for status, _text in answers) == [200, 200, 422, 422, 422, 422]
    assert len(table(sites[0], "registration_request")) == 2


@deep
def test_approved_and_refused_at_once_one_of_them_wins(any_approving: Site) -> None:
    hosts = [arrive(any_approving, "host") for _tab in range(6)]
    request(any_approving)
    ways = ["approve", "refuse"] * 3

    with ThreadPoolExecutor(6) as crowd:
        answers = list(crowd.map(decide, hosts, ways))

    won = [way for way, (status, _text) in zip(ways, answers, strict=True) if status == 200]
    assert sorted(status for status, _text in answers) == [200] + [422] * 5
    assert len(table(any_approving, "user_account")) == (2 if won == ["approve"] else 1)
    assert subjects(any_approving, "susan").count("Welcome to Microblog") == (won == ["approve"])


@deep
def test_a_request_that_has_expired_is_not_approved(site: Site) -> None:
    admin = arrive(site, "host")
    request(site)
    execute(site, "UPDATE registration_request SET expires_at = '2026-01-01 00:00:00.000000'")

    page = admin.get("/admin/people").text
    status, text = decide(admin, "approve")

    assert "susan@example.com" not in page
    assert (status, "has expired" in text) == (422, True)
    assert len(table(site, "user_account")) == 1


@deep
def test_whoever_came_by_invitation_meanwhile_needs_no_answer(site: Site) -> None:
    admin = arrive(site, "host")
    request(site)

    invited(site, "susan2", "susan@example.com")

    assert table(site, "registration_request") == []
    assert decide(admin, "approve")[0] == 422


@deep
def test_an_address_that_was_taken_meanwhile_is_only_refused(site: Site) -> None:
    admin = arrive(site, "host")
    request(site)
    execute(site, "UPDATE user_account SET email = 'susan@example.com' WHERE username = 'host'")
    other = arrive(site, "host2")
    execute(site, "UPDATE user_account SET email = 'host@example.com' WHERE username = 'host2'")

    status, text = decide(other, "approve")

    assert admin
    assert status == 422
    assert "That email already has an account. You can only refuse the request now." in text
    assert len(table(site, "registration_request")) == 1
    assert decide(other, "refuse")[0] == 200


@deep
def test_admins_get_one_email_for_many_and_another_later(site: Site) -> None:
    for number in range(3):
        request(site, f"person{number}")
    rows = execute(
        site, "SELECT kind, recipient FROM outbox_email WHERE kind = 'registrations_waiting' ORDER BY due_at"
    )
    execute(site, "UPDATE outbox_email SET due_at = created_at WHERE kind = 'registrations_waiting'")
    assert site.mailbox
    email = site.mailbox.last("host@example.com", count=2)

    assert rows == [("registrations_waiting", "host@example.com")] * 2
    assert email.subject == "3 people are waiting to join Microblog"
    assert "person0" in email.text
    assert "Leeds" not in email.text, "what strangers write is read on the page"


@deep
def test_the_admin_is_asked_for_the_password_when_the_proof_is_old(site: Site) -> None:
    admin = arrive(site, "host")
    request(site)
    execute(site, "UPDATE session SET proved_at = '2026-01-01 00:00:00.000000'")

    page = admin.get("/admin/people").text
    refused = admin.post("/admin/requests/1/refuse", data={"reason": "what I typed"})
    done = admin.post("/admin/requests/1/refuse", data={"reason": "what I typed", "current_password": PASSWORD})

    assert 'name="current_password"' in page
    assert refused.status_code == 422
    assert "what I typed" in refused.text
    assert "The request is refused." in done.text


@deep
def test_under_htmx_it_is_decided_in_place(site: Site) -> None:
    admin = arrive(site, "host")
    request(site)

    answer = admin.post("/admin/requests/1/approve", headers=PART)

    assert answer.status_code == 200
    assert "<html" not in answer.text
    assert 'id="requests"' in answer.text
    assert "susan can log in now." in answer.text


@deep
@pytest.mark.parametrize("what", ["approve", "refuse"])
def test_nobody_else_decides(site: Site, what: str) -> None:
    """C36"""
    request(site)

    person = arrive(site, "mallory").post(f"/admin/requests/1/{what}")
    stranger = site.browser(follow_redirects=False).post(f"/admin/requests/1/{what}")

    assert person.status_code == 403
    assert stranger.headers["location"] == "/login"
    assert execute(site, "SELECT refused_at FROM registration_request") == [(None,)]


@deep
def test_the_page_takes_as_many_statements_for_many_as_for_one(site: Site) -> None:
    admin = arrive(site, "host")
    counts = []
    for number in range(5):
        request(site, f"person{number}")
        with statements(site) as seen:
            admin.get("/admin/people")
        counts.append(len(seen))

    assert len(set(counts[1:])) == 1


def test_a_used_link_does_not_show_the_form_again(site: Site) -> None:
    request(site)

    answer = site.browser(follow_redirects=False).get(asked_link(site, "susan@example.com"))

    assert (answer.status_code, answer.headers["location"]) == (303, "/register/waiting")


def test_old_requests_are_cleaned_up(site: Site) -> None:
    from webapp.app import CLEANUP_TASKS
    from webapp.registration.models import RegistrationRequest

    [task] = [task for task in CLEANUP_TASKS if task.model is RegistrationRequest]
    request(site)
    with time_machine.travel(time.time() + 31 * 86400):
        site.run(task.run_batch, site.app.state.database)
        again = request(site, "bob", username="susan")

    assert execute(site, "SELECT username FROM registration_request") == [("susan",)]
    assert again[0] == 200


def test_somebody_who_asks_in_russian_gets_a_russian_email(site: Site) -> None:
    browser = site.browser()
    browser.headers["accept-language"] = "ru"
    browser.post(asked_link(site, NEW), data={"username": "susan", "password": PASSWORD, "why": WHY})
    wait_until_posted(site)

    assert site.mailbox
    assert re.search("[\u0430-\u044f]", site.mailbox.last(NEW).subject)
