"""The admins' page: keep a post, remove it, disable its author; and what people are told."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import anyio
import pytest
from httpx2 import Response
from sqlalchemy import text

from tests.depth import deep
from tests.mailbox import PATIENCE
from tests.moderation.cases import post
from tests.people.crowd import PART, arrive, import_people, let_follow, names_in
from tests.security.test_at_once import SOMEBODY_WAITS
from tests.sites import Browser, Site
from tests.stories import is_logged_in, log_in
from tests.watching import execute, standing_site, table, wait_until_posted
from webapp.audit import events
from webapp.database import execute as execute_in
from webapp.moderation import decisions
from webapp.settings import Settings

WHY = {"reason": "Advertising is not wanted here."}
PAGES = {
    "/admin/reports": ["GET"],
    "/admin/reports/1/keep": ["POST"],
    "/admin/reports/1/remove": ["GET", "POST"],
    "/admin/reports/1/disable": ["GET", "POST"],
}


@pytest.fixture
def hosted(make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[[Settings], Site]) -> Site:
    """A site with an admin, where susan reports bob's post."""
    return begun(start_site(make_settings(database_url=sqlite_url, admins=("Host <HOST@example.com>",))))


@pytest.fixture
def any_hosted(
    make_settings: Callable[..., Settings], database_url: str, start_site: Callable[[Settings], Site]
) -> Site:
    """The same, on each kind of database."""
    return begun(start_site(make_settings(database_url=database_url, admins=("host@example.com",))))


@pytest.fixture(scope="module")
def standing(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The same, for tests that decide nothing."""
    with standing_site(migrated_sqlite, tmp_path_factory.mktemp("standing"), admins=("host@example.com",)) as site:
        begun(site).app.state.host = arrive(site, "host")
        yield site


def begun(site: Site) -> Site:
    site.app.state.bob = arrive(site, "bob")
    assert post(site, "bob") == 1
    arrive(site).post("/posts/1/report", data={"reason": "It is an advertisement."})
    return site


@pytest.fixture
def admin(hosted: Site) -> Browser:
    return arrive(hosted, "host")


def emails_to(site: Site, name: str) -> list[str]:
    """The subjects of the emails to a person, their registration's left out."""
    assert site.mailbox
    execute(site, "DELETE FROM outbox_email WHERE kind = 'post_reported'")  # that waits for minutes
    wait_until_posted(site)
    subjects = [email.subject for email in site.mailbox.all(f"{name}@example.com")]
    return [subject for subject in subjects if "registration" not in subject]


def outcomes(site: Site) -> list[str]:
    return [row[0] for row in execute(site, "SELECT outcome FROM report ORDER BY id")]


@deep
def test_the_page_shows_the_post_who_complains_and_why(standing: Site) -> None:
    page = standing.app.state.host.get("/admin/reports").text

    assert "Cheap watches, only today!" in page
    assert "It is an advertisement." in page
    assert "Reported by 1 person" in page
    assert names_in(page) == ["bob"]


@pytest.mark.parametrize(("path", "method"), [(path, method) for path in PAGES for method in PAGES[path]])
def test_the_page_of_reports_opens_to_admins_only(standing: Site, path: str, method: str) -> None:
    """C36"""
    person = standing.browser(follow_redirects=False)
    log_in(person)

    answer = person.request(method, path, data=WHY if method == "POST" else None)

    assert answer.status_code == 403
    assert outcomes(standing) == [""]
    assert standing.browser(follow_redirects=False).request(method, path).headers["location"].startswith("/login")


def test_only_admins_are_shown_the_way_to_the_reports(standing: Site) -> None:
    link = 'href="/admin/reports"'

    assert link in standing.app.state.host.get("/settings").text
    assert link in standing.app.state.host.get("/admin/mail").text
    assert 'href="/admin/mail"' in standing.app.state.host.get("/admin/reports").text
    assert link not in standing.app.state.bob.get("/settings").text
    assert link not in standing.browser().get("/login").text


@deep
def test_a_post_that_is_kept_is_no_longer_a_case(hosted: Site, admin: Browser) -> None:
    answer = admin.post("/admin/reports/1/keep")

    assert "bob&#39;s post stays." in answer.text
    assert "No reports." in answer.text
    assert outcomes(hosted) == ["kept"]
    assert emails_to(hosted, "bob") == []


@deep
def test_somebody_else_can_report_a_kept_post_again(hosted: Site, admin: Browser) -> None:
    admin.post("/admin/reports/1/keep")

    arrive(hosted, "ann").post("/posts/1/report", data={"reason": "Still one."})

    page = admin.get("/admin/reports").text
    assert "Still one." in page
    assert "It is an advertisement." not in page, "that was decided"


@pytest.mark.alike
def test_a_removed_post_is_gone_at_once_and_its_author_is_told_why(any_hosted: Site) -> None:
    admin = arrive(any_hosted, "host")

    answer = admin.post("/admin/reports/1/remove", data=WHY)

    assert "bob&#39;s post is removed." in answer.text
    assert admin.get("/posts/1/report").status_code == 404
    assert outcomes(any_hosted) == ["removed"]
    assert emails_to(any_hosted, "bob") == ["A post of yours on Microblog was removed"]
    assert any_hosted.mailbox
    text = any_hosted.mailbox.last("bob@example.com").text
    assert "Advertising is not wanted here." in text
    assert "Cheap watches" in text
    assert is_logged_in(any_hosted.app.state.bob)


@deep
def test_the_email_about_a_removed_post_leads_nowhere(hosted: Site, admin: Browser) -> None:
    """The post may be a thief's, and the email is in the site's own name."""
    hosted.app.state.bob.post("/", data={"body": "See https://evil.example/login or evil.example."})

    admin.post("/admin/reports/2/remove", data=WHY)

    assert emails_to(hosted, "bob") != []
    assert hosted.mailbox
    email = hosted.mailbox.last("bob@example.com", subject="A post of yours")
    assert "See [link] or [link]" in email.text
    assert "evil.example" not in email.text + email.html


@deep
def test_a_disabled_person_is_told_why_though_nobody_sees_them_any_more(any_hosted: Site) -> None:
    second = post(any_hosted, "bob", "More watches")
    arrive(any_hosted, "ann").post(f"/posts/{second}/report", data={"reason": "Again!"})
    let_follow(any_hosted, ("bob", "susan"))
    admin = arrive(any_hosted, "host")

    answer = admin.post("/admin/reports/1/disable", data=WHY)

    assert "bob&#39;s account is disabled." in answer.text
    assert outcomes(any_hosted) == ["disabled", "disabled"]
    assert not is_logged_in(any_hosted.app.state.bob)
    assert admin.get(f"/posts/{second}/report").status_code == 404
    assert names_in(admin.get("/user/susan/followers").text) == []
    assert emails_to(any_hosted, "bob") == ["Your account on Microblog was disabled"]
    assert any_hosted.mailbox
    assert "Advertising is not wanted here." in any_hosted.mailbox.last("bob@example.com").text


@deep
def test_the_audit_log_says_what_the_admin_did_and_who_it_was(hosted: Site, admin: Browser) -> None:
    admin.post("/admin/reports/1/remove", data=WHY)
    second = post(hosted, "bob")
    admin.post(f"/admin/reports/{second}/disable", data=WHY)

    rows = execute(
        hosted, "SELECT kind, client_ip, user_agent FROM security_event WHERE kind IN ('post_removed', 'disabled')"
    )

    assert sorted(rows) == [("disabled", "", "the admin's page: host"), ("post_removed", "", "the admin's page: host")]


@pytest.mark.parametrize("action", ["remove", "disable"])
@pytest.mark.parametrize("reason", ["", "  ", "x" * 301])
def test_nobody_loses_anything_without_a_reason(standing: Site, action: str, reason: str) -> None:
    answer = standing.app.state.host.post(f"/admin/reports/1/{action}", data={"reason": reason}, headers=PART)

    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.text
    assert "<html" not in answer.text
    assert outcomes(standing) == [""]


@pytest.mark.parametrize("action", ["keep", "remove", "disable"])
@deep
def test_what_was_decided_is_not_decided_twice(hosted: Site, admin: Browser, action: str) -> None:
    admin.post("/admin/reports/1/remove", data=WHY)
    before = len(table(hosted, "outbox_email"))

    answer = admin.post(f"/admin/reports/1/{action}", data=WHY)

    assert answer.status_code == 404
    assert outcomes(hosted) == ["removed"]
    assert len(table(hosted, "outbox_email")) == before


@pytest.mark.postgresql
@pytest.mark.parametrize("action", ["keep", "remove"])
@deep
def test_who_decides_while_another_admin_removes_the_post_is_not_told_otherwise(
    make_settings: Callable[..., Settings],
    postgres_url: str,
    start_site: Callable[[Settings], Site],
    action: str,
) -> None:
    """On PostgreSQL the later one waits; SQLite has one writer, so there it finds the post gone."""
    site = begun(start_site(make_settings(database_url=postgres_url, admins=("host@example.com",))))
    admin = arrive(site, "host")

    async def remove_first(pool: ThreadPoolExecutor) -> Future[Response]:
        async with site.app.state.database.session(is_writing=True) as db:
            assert await decisions.remove(db, site.settings, 1, "Advertising.", events.BY_OPERATOR)
            later = pool.submit(lambda: admin.post(f"/admin/reports/1/{action}", data=WHY))
            with anyio.fail_after(PATIENCE):
                while not (await execute_in(db, text(SOMEBODY_WAITS))).all():
                    assert not later.done()
                    await anyio.sleep(0.01)
            await db.commit()
        return later

    with ThreadPoolExecutor(1) as pool:
        later: Future[Response] = site.run(remove_first, pool)  # type: ignore[assignment]
        answer = later.result(PATIENCE)

    assert answer.status_code == 404
    assert outcomes(site) == ["removed"]
    assert execute(site, "SELECT removed_because FROM post WHERE id = 1") == [("Advertising.",)]
    assert execute(site, "SELECT count(*) FROM security_event WHERE kind = 'post_kept'") == [(0,)]


def test_admins_do_not_lock_each_other_out_by_a_click(standing: Site) -> None:
    own = post(standing, "host", "Welcome!")

    answer = standing.app.state.host.post(f"/admin/reports/{own}/disable", data=WHY)

    assert answer.status_code == 422
    assert "an admin, too" in answer.text
    assert is_logged_in(standing.app.state.host)


def test_hostile_words_are_shown_as_words(standing: Site) -> None:
    """C38"""
    import_people(standing, "mallory")
    number = post(standing, "mallory", "<script>alert(1)</script> https://evil.example/")
    arrive(standing, "ann").post(f"/posts/{number}/report", data={"reason": "<b>bold</b>"})

    page = standing.app.state.host.get("/admin/reports").text

    assert "&lt;script&gt;alert(1)" in page
    assert "&lt;b&gt;bold" in page
    assert not re.search(r'href="https?://evil', page), "a host does not follow it by mistake"
