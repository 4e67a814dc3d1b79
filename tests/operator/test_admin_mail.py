"""The operator's page: what it says, what it does, and to whom it opens."""

import re
import time
from collections.abc import Callable

import pytest

from tests.depth import deep, one_in
from tests.mailbox import PATIENCE
from tests.mailserver import MailServer
from tests.sites import Browser, Site
from tests.stories import PASSWORD, ask_for_reset, log_in, register
from tests.watching import execute
from webapp.mail import refusals
from webapp.operator.mail_status import PausedMail
from webapp.settings import Settings

PAGES = ["/admin/mail", "/admin/mail/pause", "/admin/mail/resume", "/admin/mail/send_again", "/admin/mail/works_again"]


def sentence(page: str) -> str:
    found = re.search(r'class="mail-sentence[^>]*>([^<]*)<', page)
    assert found, page
    return found[1]


def eventually(browser: Browser, words: str, patience: float = 30.0) -> str:
    """The operator's page, once its sentence has the words."""
    deadline = time.monotonic() + patience
    while words not in sentence(page := browser.get("/admin/mail").text):
        assert time.monotonic() < deadline, sentence(page)
        time.sleep(0.1)
    return page


@pytest.fixture
def hosted(make_settings: Callable[..., Settings], database_url: str, start_site: Callable[[Settings], Site]) -> Site:
    """A site with an admin."""
    return start_site(make_settings(database_url=database_url, admins=("Host <HOST@example.com>",)))


@pytest.fixture
def admin(hosted: Site) -> Browser:
    """The admin's browser, logged in."""
    assert hosted.mailbox
    browser = hosted.browser()
    register(browser, hosted.mailbox, "host")
    log_in(browser, "host")
    return browser


@pytest.mark.alike
def test_it_says_that_emails_leave(admin: Browser) -> None:
    page = admin.get("/admin/mail").text

    assert "Delivering normally" in sentence(page)


@deep
@pytest.mark.parametrize(("every", "lines"), [(3600.0, 1), (0.0, 3)])
@pytest.mark.alike
def test_the_log_says_now_and_then_that_the_mail_is_still_paused(
    hosted: Site, admin: Browser, caplog: pytest.LogCaptureFixture, every: float, lines: int
) -> None:
    """No email can."""
    reminding, database = PausedMail(every), hosted.app.state.database

    hosted.run(reminding.run_batch, database)
    admin.post("/admin/mail/pause")
    ask_for_reset(admin, "host")
    for _minute in range(3):
        hosted.run(reminding.run_batch, database)
    admin.post("/admin/mail/resume")
    hosted.run(reminding.run_batch, database)

    said = [record.__dict__["fields"]["waiting"] for record in caplog.records if record.msg == "mail_still_paused"]
    assert said == [1] * lines


@deep
@pytest.mark.alike
@pytest.mark.usefixtures("cleanup_at_once")
def test_a_running_site_says_it_by_itself(hosted: Site, admin: Browser, caplog: pytest.LogCaptureFixture) -> None:
    admin.post("/admin/mail/pause")

    deadline = time.monotonic() + PATIENCE
    while "mail_still_paused" not in caplog.messages:
        assert time.monotonic() < deadline, "nothing was said"
        time.sleep(0.05)


@deep
@pytest.mark.alike
def test_emails_wait_while_the_mail_is_paused(hosted: Site, admin: Browser) -> None:
    assert hosted.mailbox
    admin.post("/admin/mail/pause")

    answer = ask_for_reset(hosted.browser(), "host@example.com")

    assert "Our email is running late at the moment" in answer.text
    assert "Paused since" in sentence(admin.get("/admin/mail").text)
    time.sleep(1.5)
    assert len(hosted.mailbox.all()) == 1, "only the registration's"
    admin.post("/admin/mail/resume")
    assert "Reset" in hosted.mailbox.last(count=2).subject


def test_every_page_tells_admins_alone_that_the_mail_is_paused(hosted: Site, admin: Browser) -> None:
    assert hosted.mailbox
    member, words = hosted.browser(), "Email is paused. Nobody gets any until you resume it."
    register(member, hosted.mailbox, "susan")
    log_in(member)
    assert words not in admin.get("/").text
    admin.post("/admin/mail/pause")

    assert [words in admin.get(path).text for path in ("/", "/explore", "/admin/reports")] == [True] * 3
    assert words not in admin.get("/admin/mail").text, "its own sentence says so"
    assert words not in member.get("/").text + hosted.browser().get("/explore").text
    admin.post("/admin/mail/resume")
    assert words not in admin.get("/").text


@pytest.mark.parametrize("path", PAGES)
@deep
def test_the_mails_page_opens_to_admins_only(hosted: Site, admin: Browser, path: str) -> None:
    assert hosted.mailbox
    stranger, person = hosted.browser(follow_redirects=False), hosted.browser(follow_redirects=False)
    register(hosted.browser(), hosted.mailbox, "susan")
    log_in(person)
    method = "GET" if path == "/admin/mail" else "POST"

    assert stranger.request(method, path).headers["location"].startswith("/login")
    assert person.request(method, path).status_code == 403
    assert admin.request(method, path).status_code == 200


@pytest.mark.alike
def test_it_gives_htmx_the_part_that_changes(admin: Browser) -> None:
    part = admin.get("/admin/mail", headers={"HX-Request": "true", "HX-Request-Type": "partial"}).text

    assert part.lstrip().startswith('<div class="mail-state"')


@pytest.fixture
def refusing(
    make_settings: Callable[..., Settings],
    sqlite_url: str,
    mail_server: MailServer,
    start_site: Callable[..., Site],
) -> tuple[Site, Browser, MailServer]:
    """A site with an account `host`, made through a mail server that works so far."""
    settings = make_settings(database_url=sqlite_url, admins=("host@example.com",), **mail_server.settings)
    site = start_site(settings, pauses=(0.2,))
    browser = site.browser()
    browser.post("/register", data={"email": "host@example.com"})
    link = re.search(r"https://blog.example(/register/\S+)", mail_server.wait_for(1)[0].text)
    assert link
    browser.post(link[1], data={"username": "host", "password": PASSWORD})
    log_in(browser, "host")
    return site, browser, mail_server


@deep
def test_a_wrong_smtp_password_is_told_to_the_admin_in_words_and_to_visitors_in_a_calm_sentence(
    refusing: tuple[Site, Browser, MailServer],
) -> None:
    site, admin, server = refusing
    server.answers["AUTH"] = "refuse"
    site.app.state.mailer.settings = site.settings
    ask_for_reset(site.browser(), "nobody@example.com")
    # an open connection keeps its log-in: end it, as the server's restart would
    site.browser().post("/register", data={"email": "new@example.com"})
    server.hang_up()
    site.browser().post("/register", data={"email": "newer@example.com"})

    page = eventually(admin, "refuses our log-in")

    assert "535" in sentence(page)
    assert "wait" in sentence(page)
    visitor = site.browser().post("/register", data={"email": "newest@example.com"}).text
    assert "Our email is running late at the moment" in visitor
    assert "535" not in visitor
    del server.answers["AUTH"]
    eventually(admin, "Delivering normally")
    assert any("newest@example.com" in email.recipients for email in server.wait_for(4))


@deep
def test_a_refused_address_is_shown_masked_with_the_reason_and_tried_again_at_a_click(
    refusing: tuple[Site, Browser, MailServer],
) -> None:
    site, admin, server = refusing
    server.answers["RCPT"] = "550 5.1.1 no such mailbox"
    site.browser().post("/register", data={"email": "typo@example.com"})
    page = wait_for_given_up(admin, 1)
    assert "t…@example.com" in page
    assert "typo@example.com" not in page
    assert "550 5.1.1 no such mailbox" in page

    del server.answers["RCPT"]
    site.browser().post("/register", data={"email": "typo@example.com"})  # a minute has not passed: refused
    before = len(server.emails)
    number = re.search(r'name="letter" value="(\d+)"', page)
    assert number
    admin.post("/admin/mail/send_again", data={"letter": number[1]})

    assert server.wait_for(before + 1)[-1].recipients == ("typo@example.com",)


@deep
def test_a_person_whose_address_was_refused_gets_what_they_ask_for_once_it_takes_emails_again(
    refusing: tuple[Site, Browser, MailServer],
) -> None:
    site, admin, server = refusing
    server.answers["RCPT"] = "550 5.1.1 no such mailbox"
    ask_for_reset(site.browser(), "host@example.com")
    wait_for_given_up(admin, 1)

    del server.answers["RCPT"]
    ask_for_reset(site.browser(), "host")

    assert "Reset" in server.wait_for(2)[-1].message["Subject"]


def wait_for_given_up(admin: Browser, count: int) -> str:
    deadline = time.monotonic() + PATIENCE
    while (page := admin.get("/admin/mail").text).count('name="letter"') < count:
        assert time.monotonic() < deadline, page
        time.sleep(0.1)
    return page


@deep
@pytest.mark.parametrize("email", ["x", "0", "-1", "9" * 30, "1\x00"])
@pytest.mark.alike
@one_in(3)
def test_an_unknown_email_is_refused_in_words(admin: Browser, email: str) -> None:
    answer = admin.post("/admin/mail/send_again", data={"letter": email})

    assert answer.status_code == 200
    assert "no such email." in answer.text


def let_bounce(
    site: Site, address: str, source: str = "bounce", reason: str = "550 nobody@example.com is unknown"
) -> None:
    async def work() -> None:
        async with site.app.state.database.session(is_writing=True) as db:
            await refusals.mark(db, address, source, reason)
            await db.commit()

    site.run(work)


def mark(page: str) -> str:
    found = re.search(r'name="mark" value="([0-9a-f]{32})"', page)
    assert found, page
    return found[1]


@deep
def test_addresses_that_bounce_are_listed_masked_and_work_again_at_a_press(hosted: Site, admin: Browser) -> None:
    assert hosted.mailbox
    susan = hosted.browser()
    register(susan, hosted.mailbox)
    log_in(susan)
    let_bounce(hosted, "susan@example.com")
    let_bounce(hosted, "gone@example.com", "complaint", "")

    page = admin.get("/admin/mail").text
    assert "s…@example.com" in page
    assert "An email came back. (550 n…@example.com is unknown)" in page
    assert "marked an email as spam" in page
    assert "susan@example.com" not in page
    assert "are refused by its mail server" in susan.get("/settings").text

    for _address in range(2):
        answer = admin.post("/admin/mail/works_again", data={"mark": mark(admin.get("/admin/mail").text)})
        assert "@example.com again." in answer.text
    assert "are refused by its mail server" not in susan.get("/settings").text
    assert "Works again" not in admin.get("/admin/mail").text
    events = execute(hosted, "SELECT details FROM security_event WHERE kind = 'address_works'")
    assert "admin" in str(events)
    assert len(events) == 1, "nobody has the other one"


@deep
@pytest.mark.parametrize("mark", ["", "x", "0" * 32, "ж" * 32, "gone@example.com"])
@pytest.mark.alike
@one_in(3)
def test_a_mark_that_stands_for_nothing_is_refused(hosted: Site, admin: Browser, mark: str) -> None:
    let_bounce(hosted, "gone@example.com")

    answer = admin.post("/admin/mail/works_again", data={"mark": mark})

    assert "There&#39;s no such address" in answer.text
    assert len(execute(hosted, "SELECT * FROM refused_address")) == 1


@pytest.mark.alike
def test_a_person_says_that_their_own_address_works_again(hosted: Site) -> None:
    assert hosted.mailbox
    susan = hosted.browser()
    register(susan, hosted.mailbox)
    log_in(susan)
    let_bounce(hosted, "susan@example.com")
    let_bounce(hosted, "peter@example.com")
    assert 'action="/email_works"' in susan.get("/").text

    answer = susan.post("/email_works")

    assert answer.url.path == "/settings"
    assert "Emails go to susan@example.com again." in answer.text
    assert "are refused by its mail server" not in answer.text
    assert execute(hosted, "SELECT address FROM refused_address") == [("peter@example.com",)]
    assert "owner" in str(execute(hosted, "SELECT details FROM security_event WHERE kind = 'address_works'"))
