"""/metrics: figures for whoever has the key, in the format that Prometheus reads; nothing for anybody else."""

import re
from collections.abc import Callable

import pytest

from tests.depth import deep, one_in
from tests.mailbox import Mailbox
from tests.sites import Browser, Site
from tests.stories import ask_for_reset, log_in, register
from tests.watching import execute, wait_until_posted
from webapp.settings import ROOT, Settings

KEY = "a key for the monitor: 0123456789abcdef"
Figures = dict[str, float]


@pytest.fixture
def site(make_settings: Callable[..., Settings], database_url: str, start_site: Callable[[Settings], Site]) -> Site:
    return start_site(make_settings(database_url=database_url, metrics_key=KEY))


def figures(browser: Browser) -> Figures:
    answer = browser.get("/metrics", headers={"authorization": f"Bearer {KEY}"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    return {without_pid(name): float(value) for name, _space, value in (line.rpartition(" ") for line in lines)}


def without_pid(name: str) -> str:
    return re.sub(r'\{process="\d+"\}|,process="\d+"', "", name)


@pytest.mark.parametrize(
    "given",
    ["", "Bearer ", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", f"Bearer  {KEY}", KEY, f"Basic {KEY}", "Bearer ключ"],
)
@pytest.mark.alike
@one_in(4)
def test_without_the_key_there_is_no_such_page(site: Site, given: str) -> None:
    browser = site.browser()

    answer = browser.get("/metrics", headers=[(b"authorization", given.encode())])

    assert answer.status_code == 404
    assert answer.text == browser.get("/nowhere").text.replace("/nowhere", "/metrics")


def test_a_site_without_a_key_has_no_such_page(
    make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[[Settings], Site]
) -> None:
    site = start_site(make_settings(database_url=sqlite_url))

    for given in ("Bearer ", "Bearer", ""):
        assert site.browser().get("/metrics", headers={"authorization": given}).status_code == 404


@deep
def test_every_line_is_what_prometheus_reads(site: Site, mailbox: Mailbox) -> None:
    register(site.browser(), mailbox)

    lines = site.browser().get("/metrics", headers={"authorization": f"Bearer {KEY}"}).text.splitlines()

    label = r'[a-z]+="(?:[^"\\\n]|\\["\\n])*"'
    sample = re.compile(rf"microblog_[a-z_]+(?:\{{{label}(?:,{label})*\}})? [0-9.e+-]+")
    assert [line for line in lines if not line.startswith("# ") and not sample.fullmatch(line)] == []
    families = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    documented = set(re.findall(r"`(microblog_\w+)", (ROOT / "docs" / "metrics.md").read_text()))
    assert len(families) == len(set(families))
    assert set(families) == documented


@pytest.mark.alike
def test_answers_are_counted_by_route_and_status(site: Site) -> None:
    browser = site.browser()
    for _time in range(3):
        browser.get("/user/nobody")
    log_in(browser, "nobody", "a wrong password")
    browser.request("A-METHOD", "/login")

    seen = figures(browser)

    assert seen['microblog_requests_total{route="/user/{username}",method="GET",status="404"}'] == 3
    assert seen['microblog_requests_total{route="/login",method="POST",status="422"}'] == 1
    assert seen['microblog_requests_total{route="/login",method="other",status="405"}'] == 1
    assert seen["microblog_request_seconds_total"] > 0
    assert seen["microblog_database_connections_total"] > 3
    assert seen["microblog_hashes_in_hand"] == 0


@pytest.mark.alike
def test_a_visitors_words_make_no_new_figure(site: Site) -> None:
    browser = site.browser()
    browser.get("/nowhere")
    browser.request("FIRST", "/nowhere")
    before = set(figures(browser))
    figures(browser)
    before |= set(figures(browser))

    for number in range(30):
        browser.get(f"/nowhere/{number}?{number}", headers={"x": str(number)})
        browser.request(f"METHOD-{number}", "/nowhere")

    assert set(figures(browser)) == before


@deep
@pytest.mark.alike
def test_one_persons_email_changes_no_figure(site: Site, mailbox: Mailbox) -> None:
    """Whoever reads the figures must not learn from them that somebody has an account."""
    register(site.browser(), mailbox)
    before = of_the_mail(site.browser())

    ask_for_reset(site.browser())

    assert of_the_mail(site.browser()) == before
    wait_until_posted(site)
    assert of_the_mail(site.browser()) == before


def of_the_mail(browser: Browser) -> Figures:
    return {name: value for name, value in figures(browser).items() if name.startswith("microblog_emails")}


@deep
def test_a_queue_is_shown_in_tens_with_its_age_in_minutes(site: Site, mailbox: Mailbox) -> None:
    register(site.browser(), mailbox)
    columns = "kind, recipient, language, state, priority, message_id, parameters, created_at, due_at, expires_at"
    values = "kind, 'x', language, 'ready', priority, message_id, '{}', created_at, expires_at, expires_at"
    rows = " UNION ALL ".join(["SELECT 1"] * 17)
    execute(
        site,
        f"INSERT INTO outbox_email ({columns}, attempts, crashes, fence)"
        f" SELECT {values}, 0, 0, 0 FROM (SELECT * FROM outbox_email LIMIT 1) AS one, ({rows}) AS many",
    )

    seen = figures(site.browser())

    assert seen["microblog_emails_waiting"] == 10
    assert seen["microblog_emails_oldest_seconds"] % 60 == 0
