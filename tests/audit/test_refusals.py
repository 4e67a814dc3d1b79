"""What was refused is in the log, with who and from where, and without what was typed."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.depth import deep, one_in
from tests.mailbox import Mailbox
from tests.sites import Site
from tests.stories import NEW_PASSWORD, ask_for_reset, forget_and_find_link, log_in, register
from tests.watching import table
from webapp.audit.events import Event, Refusal
from webapp.logs import JSONLines
from webapp.settings import ROOT

NETWORK = "198.51.100.7"
WRONG = "not the right password"
Said = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Said:
    """The security lines of the log that warn of something, without what the fields of all lines are."""
    caplog.set_level("INFO")

    def read() -> list[dict[str, Any]]:
        records = [record for record in caplog.records if record.name == "webapp.security"]
        return [vars(record)["fields"] for record in records if record.levelname == "WARNING"]

    return read


@deep
@pytest.mark.parametrize(
    ("typed", "user", "masked"),
    [
        ("susan", 1, "s…"),
        ("Susan@Example.com", 1, "S…@Example.com"),
        ("nobody@example.com", None, "n…@example.com"),
        ("my secret, typed into the wrong field", None, "m…"),
    ],
)
@one_in(2)
def test_a_refused_log_in_is_in_the_log(
    site: Site, mailbox: Mailbox, said: Said, typed: str, user: int | None, masked: str
) -> None:
    """C56"""
    register(site.browser(), mailbox)
    before = table(site, "security_event")

    log_in(site.browser(NETWORK), typed, WRONG)

    assert said() == [{"what": "log_in_refused", "user": user, "network": NETWORK, "typed": masked}]
    assert table(site, "security_event") == before, "strangers fill no table"


def test_a_throttled_log_in_is_in_the_log(site: Site, said: Said) -> None:
    """C12"""
    browser = site.browser(NETWORK)
    for _try in range(6):
        log_in(browser, "susan", WRONG)

    *refused, throttled = said()

    assert [line["what"] for line in refused] == ["log_in_refused"] * 5
    assert 0 < throttled.pop("seconds") <= 300
    assert throttled == {"what": "log_in_throttled", "user": None, "network": NETWORK, "typed": "s…"}


def test_a_wrong_recovery_code_is_in_the_log(site: Site, said: Said) -> None:
    answer = site.browser(NETWORK).post("/recover", data={"username": "susan", "code": "ab23-cd45-ef67"})

    assert answer.status_code == 422
    assert said() == [{"what": "code_refused", "user": None, "network": NETWORK, "typed": "s…"}]


def test_throttled_tries_of_recovery_codes_are_in_the_log(site: Site, said: Said) -> None:
    """C12"""
    browser = site.browser(NETWORK)
    for _try in range(6):
        browser.post("/recover", data={"username": "susan", "code": "ab23-cd45-ef67"})

    throttled = said()[-1]

    assert 0 < throttled.pop("seconds") <= 300
    assert throttled == {"what": "code_throttled", "user": None, "network": NETWORK, "typed": "s…"}


@deep
def test_a_bad_link_that_is_used_is_in_the_log_and_one_that_is_looked_at_is_not(
    site: Site, mailbox: Mailbox, said: Said
) -> None:
    """C21: without the link."""
    register(site.browser(), mailbox)
    link = forget_and_find_link(site.browser(), mailbox)
    site.browser().post(link, data={"password": NEW_PASSWORD})
    site.browser().get(link)

    site.browser(NETWORK).post(link, data={"password": NEW_PASSWORD})

    wanted = {"what": "link_refused", "user": None, "network": NETWORK, "link": "reset", "reason": "used"}
    assert said() == [wanted]


def test_a_throttled_email_is_in_the_log(site: Site, said: Said) -> None:
    """C10"""
    browser = site.browser(NETWORK)
    for _time in range(2):
        ask_for_reset(browser, "susan@example.com")

    wanted = {"what": "letter_throttled", "user": None, "network": NETWORK, "typed": "s…@example.com"}
    assert said() == [wanted | {"letter": "reset_password"}]


@deep
def test_a_member_who_opens_an_admins_page_is_in_the_log(site: Site, mailbox: Mailbox, said: Said) -> None:
    register(site.browser(), mailbox)
    browser = site.browser(NETWORK)
    log_in(browser)

    assert browser.get("/admin/mail").status_code == 403
    assert said() == [{"what": "not_allowed", "user": 1, "network": NETWORK, "route": "/admin/mail"}]


@deep
def test_a_log_in_that_works_is_in_the_log_too(site: Site, mailbox: Mailbox, caplog: pytest.LogCaptureFixture) -> None:
    """C56: and the line is JSON with the request's number."""
    caplog.set_level("INFO")
    register(site.browser(), mailbox)
    caplog.clear()

    log_in(site.browser(NETWORK))

    [record] = [record for record in caplog.records if record.name == "webapp.security"]
    assert vars(record)["fields"] == {"what": "logged_in", "user": 1, "network": NETWORK}
    assert '"event": "security"' in JSONLines().format(record)


@pytest.mark.parametrize(("heading", "kinds"), [("What happened to an account", Event), ("What was refused", Refusal)])
def test_the_document_names_every_event_and_no_other(heading: str, kinds: type[Event] | type[Refusal]) -> None:
    text = (ROOT / "docs" / "security-events.md").read_text()
    section = re.split(r"^## ", text.partition(f"## {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]

    assert sorted(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == sorted(kinds)


def test_the_document_names_every_event_of_the_log_and_no_other() -> None:
    """Whoever adds a line to the log says in the document what it means."""
    text = (ROOT / "docs" / "security-events.md").read_text()
    rows = re.findall(r"^\| (`.*?`) \|", text.partition("## Log lines")[2], re.MULTILINE)
    code = "".join(file.read_text() for file in (ROOT / "webapp").rglob("*.py"))

    logged = re.findall(r'\b(?:log\.(?:debug|info|warning|error|exception)\(|_warn_once\(request,)\s*f?"([^"]*)"', code)

    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(set(logged))
