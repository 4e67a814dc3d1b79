"""Who may come in, and that no mode tells who is here already."""

import re
import time
from collections.abc import Callable

import pytest
import time_machine

from tests.depth import deep, one_in
from tests.moments import START
from tests.registration.conftest import Start
from tests.sites import Site
from tests.stories import PASSWORD, without_token
from tests.watching import execute, statements, table, wait_until_posted
from webapp.accounts import tokens
from webapp.settings import Settings

NEW = "new@example.com"
PART = {"hx-request": "true", "hx-request-type": "partial"}
MODES = ["open", "invite", "approval", "domains", "closed"]
DOMAINS = {"registration_domains": ("example.org", "xn--bcher-kva.example")}


def ask(site: Site, address: str = NEW, **headers: str) -> tuple[int, str]:
    answer = site.browser().post("/register", data={"email": address}, headers=headers)
    return answer.status_code, answer.text


def invited(site: Site, name: str = "susan", address: str = "") -> None:
    """The admin invites somebody by command."""
    link = tokens.register_link(site.settings, address or f"{name}@example.com")
    answer = site.browser().post(link, data={"username": name, "password": PASSWORD})
    assert answer.url.path == "/", answer.text


def asked_link(site: Site, address: str) -> str:
    """The link of an email that somebody asked for, perhaps in another mode."""
    return tokens.register_link(site.settings, address, tokens.ASKED)


def plain(text: str, name: str) -> str:
    seen = re.compile(r'(?<=name="seen" value=")[^"]*')
    return seen.sub("", without_token(text)).replace(name, "{name}")


@deep
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("headers", [{}, pytest.param(PART, marks=deep)], ids=["plain", "part"])
@pytest.mark.parametrize("domain", ["example.com", "example.org"])
@one_in(8)
def test_no_mode_tells_who_is_here(start: Start, mode: str, headers: dict[str, str], domain: str) -> None:
    """C12: known, unknown, disabled, waiting and refused addresses, all of one length."""
    site = start(mode, **DOMAINS)
    for name in ("susan", "dizzy"):
        invited(site, name, f"{name}@{domain}")
    execute(site, "UPDATE user_account SET disabled_at = created_at WHERE username = 'dizzy'")
    for name, refused_at in (("waits", None), ("nono1", "2026-01-01 00:00:00.000000")):
        columns = "(email, username, password_hash, why, language, created_at, expires_at, refused_at, reason)"
        row = f"INSERT INTO registration_request {columns}"
        values = "(:email, '', '', '', 'en', '2026-01-01', '2999-01-01 00:00:00.000000', :refused_at, '')"
        execute(site, f"{row} VALUES {values}", email=f"{name}@{domain}", refused_at=refused_at)

    answers = {}
    for name in ("susan", "nobdy", "dizzy", "waits", "nono1"):
        with time_machine.travel(START, tick=False):
            status, text = ask(site, f"{name}@{domain}", **headers)
        answers[name] = status, plain(text, name)

    assert len(set(answers.values())) == 1
    may_ask = mode in {"open", "approval"} or (mode == "domains" and domain == "example.org")
    assert answers["susan"][0] == (200 if may_ask else 422 if mode == "domains" else 403)


@pytest.mark.parametrize("mode", ["approval", "domains"])
@deep
def test_the_work_is_the_same_in_each_mode_whoever_is_here(start: Start, mode: str) -> None:
    """C02"""
    site = start(mode, registration_domains=("example.com",), mailer="process")
    invited(site)
    execute(site, "DELETE FROM limit_window")
    work = {}

    for name in ("warms", "susan", "nobdy"):
        with statements(site) as work[name]:
            ask(site, f"{name}@example.com")

    assert work["susan"] == work["nobdy"]
    assert not any("user_account" in statement for statement in work["susan"])


@pytest.mark.parametrize("mode", MODES)
@deep
def test_somebody_the_admin_invites_comes_in_whatever_the_mode(start: Start, mode: str) -> None:
    site = start(mode, registration_domains=("example.org",))

    invited(site)

    assert execute(site, "SELECT username FROM user_account") == [("susan",)]


@pytest.mark.parametrize(
    ("mode", "address", "status"),
    [
        ("open", NEW, 200),
        ("approval", NEW, 200),
        ("invite", NEW, 403),
        ("closed", NEW, 403),
        ("domains", NEW, 403),
        ("domains", "new@sub.example.org", 403),
        ("domains", "new@evilexample.org", 403),
        ("domains", "new@example.org", 200),
    ],
)
@one_in(3)
def test_a_link_opens_what_todays_mode_allows(start: Start, mode: str, address: str, status: int) -> None:
    """It was mailed when the site was open; the admin has changed their mind since."""
    site = start(mode, **DOMAINS)
    link = asked_link(site, address)

    looked = site.browser().get(link)
    sent = site.browser().post(link, data={"username": "susan", "password": PASSWORD, "why": "Why not?"})

    assert (looked.status_code, sent.status_code) == (status, status)
    assert len(table(site, "user_account")) == (status == 200 and mode != "approval")


@pytest.mark.parametrize("mode", ["invite", "closed"])
def test_where_nobody_can_ask_no_email_goes_out(start: Start, mode: str) -> None:
    site = start(mode)

    page, asked = site.browser().get("/register"), ask(site)

    assert 'name="email"' not in page.text
    assert asked[0] == 403
    assert table(site, "outbox_email") == []


@deep
@pytest.mark.parametrize(
    ("address", "is_in"),
    [
        ("new@example.org", True),
        ("New@EXAMPLE.ORG", True),
        ("new@b\u00fccher.example", True),
        ("new@example.com", False),
        ("new@mail.example.org", False),
        ("new@notexample.org", False),
        ("new@example.org.evil.example", False),
    ],
)
def test_of_some_domains_only_their_addresses_get_the_email(start: Start, address: str, is_in: bool) -> None:
    site = start("domains", **DOMAINS)

    status, text = ask(site, address)

    assert status == (200 if is_in else 422)
    assert ("Only addresses at example.org" in text) is not is_in
    assert len(table(site, "outbox_email")) == is_in


def test_the_page_names_the_domains(start: Start) -> None:
    assert "Only addresses at example.org" in start("domains", **DOMAINS).browser().get("/register").text


@pytest.mark.parametrize(
    ("typed", "mode", "domains"),
    [
        ("", "open", ()),
        ("Approval", "approval", ()),
        ("closed", "closed", ()),
        ("domains:example.org", "domains", ("example.org",)),
        (" Domains: Example.ORG, @b\u00fccher.example ,", "domains", ("example.org", "xn--bcher-kva.example")),
    ],
)
def test_the_setting_is_read(typed: str, mode: str, domains: tuple[str, ...]) -> None:
    settings = Settings.for_development(8000, {"REGISTRATION": typed, "DATABASE_URL": "sqlite:////x.db"})

    assert (settings.registration, settings.registration_domains) == (mode, domains)


@deep
def test_a_code_leads_to_what_the_mode_allows(start: Start, make_settings: Callable[..., Settings]) -> None:
    """The code of an email is worth what its link is worth, not an invitation."""
    site = start("approval")
    browser = site.browser()
    page = browser.post("/register", data={"email": NEW})
    assert site.mailbox
    code = re.search(r"^(\d{4} \d{4})$", site.mailbox.last(NEW).text, re.MULTILINE)
    assert code

    form = browser.post(f"{page.url.path.removesuffix('/')}/code", data={"code": code[1]})

    assert 'name="why"' in form.text, form.url


# Robots.


def fill(site: Site, seconds: float, **fields: str) -> tuple[int, str]:
    """Opens the page, waits, and sends the form as a browser does."""
    begun = int(time.time()) + 1000.0
    browser = site.browser()
    with time_machine.travel(begun, tick=False) as clock:
        seen = re.search(r'name="seen" value="([^"]+)"', browser.get("/register").text)
        assert seen
        clock.shift(seconds)
        answer = browser.post("/register", data={"email": NEW, "homepage": "", "seen": seen[1]} | fields)
        wait_until_posted(site)
    return answer.status_code, plain(answer.text, "new")


@pytest.mark.parametrize(
    ("seconds", "fields", "emails"),
    [
        (2.5, {}, 1),
        (3600, {}, 1),
        (0.5, {}, 0),
        (10, {"homepage": "https://spam.example"}, 0),
        (10, {"homepage": " "}, 0),
        (10, {"seen": "forged"}, 0),
        (10, {"seen": ".aaaa.bbbb"}, 0),
    ],
    ids=["a person", "a slow one", "haste", "the trap", "a space in it", "no stamp of ours", "a forged one"],
)
@one_in(3)
def test_a_robot_is_answered_like_everybody_and_gets_no_email(
    start: Start, seconds: float, fields: dict[str, str], emails: int
) -> None:
    site = start("open", registration_least_seconds=2)
    assert site.mailbox

    answer = fill(site, seconds, **fields)

    assert answer[0] == 200
    assert "Check your email" in answer[1]
    assert len(site.mailbox.all(NEW)) == emails


def test_the_work_for_a_robot_is_the_same(start: Start) -> None:
    site = start("open", mailer="process")
    work = {}

    for name, trap in (("warms", ""), ("human", ""), ("robot", "x")):
        with statements(site) as work[name]:
            site.browser().post("/register", data={"email": f"{name}@example.com", "homepage": trap})

    assert work["human"] == work["robot"]


def test_a_robot_that_asks_once_more_gets_no_email_either(start: Start) -> None:
    """ "Send it again" on the page that says "Check your email" knows it."""
    site = start("open")
    browser = site.browser()
    page = browser.post("/register", data={"email": NEW, "homepage": "x"}).url.path
    execute(site, "DELETE FROM limit_window")

    again = browser.post(page)
    wait_until_posted(site)

    assert again.status_code == 200
    assert site.mailbox
    assert site.mailbox.all() == []


def test_a_page_that_was_open_for_days_is_sent_once_more(start: Start) -> None:
    site = start("open", registration_least_seconds=2)

    status, text = fill(site, 3 * 86400)

    assert status == 422
    assert "Please send it once more" in text
    assert 'value="new@example.com"' in text.replace("{name}", "new")


def test_people_and_screen_readers_do_not_meet_the_trap(start: Start) -> None:
    page = start("open").browser().get("/register").text

    trap = re.search(r'<div class="field-trap" aria-hidden="true">.*?</div>', page, re.DOTALL)
    assert trap
    assert 'tabindex="-1"' in trap[0]
    assert 'autocomplete="off"' in trap[0]
