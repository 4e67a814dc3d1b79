"""Reports of posts: who can report, how often, and what the admins hear of it."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import select
from time_machine import Traveller

from tests.depth import deep
from tests.moderation.cases import post
from tests.people.crowd import PART, arrive, import_people
from tests.posts.wall import say
from tests.sites import Browser, Site
from tests.watching import disable, execute, standing_site, statements, table, wait_until_posted
from webapp.mail.outbox import emails
from webapp.mail_preview.inbox import Received
from webapp.moderation import reports
from webapp.settings import Settings

HOSTS = ("The host <host@example.com>", "other@example.com")
REASON = {"reason": "It is an advertisement."}


@pytest.fixture
def hosted(make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[[Settings], Site]) -> Site:
    """A site with two admins, and a post by bob."""
    return begun(start_site(make_settings(database_url=sqlite_url, admins=HOSTS)))


@pytest.fixture
def any_hosted(
    make_settings: Callable[..., Settings], database_url: str, start_site: Callable[[Settings], Site]
) -> Site:
    """The same, on each kind of database."""
    return begun(start_site(make_settings(database_url=database_url, admins=HOSTS)))


@pytest.fixture(scope="module")
def ann(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Ann, on a site where she complains in vain."""
    with standing_site(migrated_sqlite, tmp_path_factory.mktemp("standing"), admins=HOSTS) as site:
        yield arrive(begun(site), "ann")


def begun(site: Site) -> Site:
    import_people(site, "bob")
    assert post(site, "bob") == 1
    return site


@pytest.fixture
def susan(hosted: Site) -> Browser:
    return arrive(hosted)


def emails_to_hosts(site: Site) -> list[Received]:
    """What the first admin was told, once everything due has left."""

    async def ring() -> None:
        site.app.state.database.wake.set()

    assert site.mailbox
    site.run(ring)
    wait_until_posted(site)
    told = [email for email in site.mailbox.all() if "your decision" in email.subject]
    found, others = ([email for email in told if email.to == f"{name}@example.com"] for name in ("host", "other"))
    assert [email.subject for email in found] == [email.subject for email in others], "each host is told"
    return found


@deep
def test_the_form_shows_the_reported_post(susan: Browser) -> None:
    page = susan.get("/posts/1/report").text

    assert "Cheap watches, only today!" in page
    assert "maxlength" not in page, "what is cut off while it is pasted is lost unnoticed"


@deep
def test_somebody_who_reports_is_thanked_in_place_and_on_a_page(hosted: Site, susan: Browser) -> None:
    part = susan.post("/posts/1/report", data=REASON, headers=PART)
    number = post(hosted, "bob", "Another.")
    page = susan.post(f"/posts/{number}/report", data=REASON)

    assert "Thank you" in part.text
    assert "<html" not in part.text
    assert "Thank you" in page.text
    assert page.history[0].status_code == 303
    assert [row[3] for row in table(hosted, "report")] == [REASON["reason"]] * 2


@deep
def test_one_person_reports_a_post_once(any_hosted: Site) -> None:
    """C17: also at once"""
    susan = arrive(any_hosted)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: susan.post("/posts/1/report", data=REASON), range(4)))

    assert {answer.status_code for answer in answers} <= {200, 429}
    assert len(table(any_hosted, "report")) == 1
    assert "Thank you" in susan.get("/posts/1/report").text


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("", "Fill this in."),
        (" \n ", "Fill this in."),
        ("x" * 301, "Use 300 characters or fewer"),
        ("\x00", "can&#39;t be used"),
    ],
)
def test_a_report_without_a_reason_is_refused_beside_the_field(ann: Browser, reason: str, words: str) -> None:
    answer = ann.post("/posts/1/report", data={"reason": reason})

    assert answer.status_code == 422
    assert words in answer.text
    assert "Thank you" not in ann.get("/posts/1/report").text


def test_nobody_reports_themselves(hosted: Site, susan: Browser) -> None:
    number = post(hosted, "susan")

    answer = susan.post(f"/posts/{number}/report", data=REASON)

    assert answer.status_code == 400
    assert "You can delete it." in answer.text


@pytest.mark.parametrize("number", ["0", "2", "-1", "x", str(2**63), "9" * 18, "9" * 5000, "1%00", "%D9%A1"])
def test_a_missing_post_cant_be_reported(ann: Browser, number: str) -> None:
    assert ann.get(f"/posts/{number}/report").status_code == 404
    assert ann.post(f"/posts/{number}/report", data=REASON).status_code == 404


@deep
@pytest.mark.parametrize("gone", ["deleted_at", "removed_at", "author disabled"])
def test_a_post_that_nobody_sees_cant_be_reported(hosted: Site, susan: Browser, gone: str) -> None:
    if gone == "author disabled":
        disable(hosted, "bob")
    else:
        execute(hosted, f"UPDATE post SET {gone} = created_at")

    assert susan.post("/posts/1/report", data=REASON).status_code == 404


def test_somebody_who_reports_everything_is_asked_to_wait(hosted: Site, susan: Browser) -> None:
    numbers = [post(hosted, "bob", f"Post {number}") for number in range(4)]
    for number in (1, *numbers):
        susan.post(f"/posts/{number}/report", data=REASON)
    import_people(hosted, "carl")
    number = post(hosted, "carl")

    answer = susan.post(f"/posts/{number}/report", data=REASON, headers=PART)

    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) in range(1, 61)
    assert REASON["reason"] in answer.text, "what was typed stays"
    assert len(table(hosted, "report")) == 5


@deep
def test_one_person_never_fills_the_admins_page(any_hosted: Site, clock: Traveller) -> None:
    """A few of theirs wait at a time; once one is decided they can send the next."""
    assert 2 * reports.MOST_OPEN < reports.MOST_SHOWN
    susan, posts = arrive(any_hosted), [post(any_hosted, "bob") for _number in range(reports.MOST_OPEN + 1)]

    answers = []
    for number in posts:
        answers.append(susan.post(f"/posts/{number}/report", data=REASON))
        clock.shift(30)
    execute(any_hosted, "UPDATE report SET settled_at = created_at WHERE post_id = :post", post=posts[0])
    after = susan.post(f"/posts/{posts[-1]}/report", data=REASON)

    assert [answer.status_code for answer in answers] == [200] * reports.MOST_OPEN + [422]
    assert f"{reports.MOST_OPEN} of your reports wait for an admin" in answers[-1].text
    assert REASON["reason"] in answers[-1].text, "nothing typed is lost"
    assert "Thank you" in after.text


def test_many_reports_are_one_email_to_each_admin(hosted: Site, clock: Traveller) -> None:
    import_people(hosted, "carl")
    second = post(hosted, "carl")
    for name in ("susan", "ann", "dora"):
        browser = arrive(hosted, name)
        browser.post("/posts/1/report", data=REASON)
        browser.post(f"/posts/{second}/report", data=REASON)
    clock.shift(306)

    [email] = emails_to_hosts(hosted)

    assert email.subject == "2 reported posts on Microblog need your decision"
    assert "A post by bob: 3 reports." in email.text
    assert "A post by carl: 3 reports." in email.text
    assert "https://blog.example/admin/reports" in email.text.splitlines()
    assert "watches" not in email.text, "what others wrote does not come into the host's mail"


def test_the_email_leaves_once_what_it_covers_is_surely_committed(hosted: Site, susan: Browser) -> None:
    """A report of its last moment posts none of its own."""
    susan.post("/posts/1/report", data=REASON)

    [(leaves,), _other] = execute(hosted, select(emails.c.due_at).where(emails.c.kind == "post_reported"))
    [(ends,)] = execute(hosted, "SELECT ends FROM limit_window WHERE key LIKE '%:post_reported:%'")

    assert leaves.timestamp() - ends > 4


def test_more_reports_of_the_same_post_send_no_further_email(hosted: Site, susan: Browser, clock: Traveller) -> None:
    susan.post("/posts/1/report", data=REASON)
    clock.shift(306)
    assert len(emails_to_hosts(hosted)) == 1

    arrive(hosted, "ann").post("/posts/1/report", data=REASON)
    clock.shift(306)

    assert len(emails_to_hosts(hosted)) == 1


@deep
def test_no_email_tells_of_reports_settled_meanwhile(hosted: Site, susan: Browser, clock: Traveller) -> None:
    susan.post("/posts/1/report", data=REASON)
    arrive(hosted, "host").post("/admin/reports/1/keep")

    clock.shift(306)

    assert emails_to_hosts(hosted) == []


@deep
def test_the_admins_page_needs_as_many_statements_for_one_post_as_for_many(hosted: Site, susan: Browser) -> None:
    host = arrive(hosted, "host")
    susan.post("/posts/1/report", data=REASON)
    with statements(hosted) as for_one:
        host.get("/admin/reports")
    for number in range(3):
        susan.post(f"/posts/{post(hosted, 'bob', f'Post {number}')}/report", data=REASON)

    with statements(hosted) as for_many:
        page = host.get("/admin/reports").text

    assert page.count('class="case"') == 4
    of_reports = [[one for one in seen if "report" in one] for seen in (for_one, for_many)]
    assert len(of_reports[0]) == len(of_reports[1]) == 3  # those of accounts that are gone are read, too


@deep
def test_an_edit_after_a_report_hides_nothing_from_the_admin(any_hosted: Site) -> None:
    """And its author, who may edit it as before, learns nothing of the report."""
    susan, bob, host = arrive(any_hosted), arrive(any_hosted, "robert"), arrive(any_hosted, "host")
    number = say(bob, "Buy at <b>my</b> shop!")
    susan.post(f"/posts/{number}/report", data=REASON)
    before = host.get("/admin/reports").text

    edited = bob.post(f"/posts/{number}/edit", data={"body": "A lovely day."})
    page = host.get("/admin/reports").text

    assert edited.url.path == f"/user/robert/{number}"
    assert "it said:" not in before
    assert page.index("A lovely day.") < page.index("it said:") < page.index("Buy at &lt;b&gt;my&lt;/b&gt; shop!")
