"""The community of a site that is only being looked at: believable, the same every time, and never on a real site."""

import argparse
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from tests.depth import deep
from tests.posts.wall import words_in
from tests.sites import SECRET_KEY, Browser, Site
from tests.stories import log_in
from tests.watching import dump, execute
from webapp.cli import Refused, commands, main
from webapp.cli.demo import COMMUNITIES, COMMUNITY
from webapp.passwords import strength
from webapp.posts import text
from webapp.settings import DEVELOPMENT_HOST, Settings

StartSite = Callable[[Settings], Site]
PEOPLE = {person["name"]: person for person in tomllib.loads(COMMUNITY.read_text("utf-8"))["people"]}
WORDS = "open the garden gate"


@pytest.fixture
def make_site(start_site: StartSite, make_settings: Callable[..., Settings]) -> Callable[[str], Site]:
    def make(url: str) -> Site:
        return start_site(make_settings(database_url=url, development=True, admins=(DEVELOPMENT_HOST,)))

    return make


@pytest.fixture
def village(make_site: Callable[[str], Site], sqlite_url: str) -> Site:
    """A site in development, with the demo in it."""
    site = make_site(sqlite_url)
    fill(site)
    return site


def fill(site: Site, language: str = "en") -> str:
    """What `python -m webapp demo` does, and says."""

    async def work() -> str:
        async with site.app.state.database.session(is_writing=True) as db:
            said = commands.fill_with_demo(db, site.settings, argparse.Namespace(language=language))
            return "\n".join([line async for line in said])

    return str(site.run(work))


def enter(site: Site, name: str) -> Browser:
    browser = site.browser()
    assert log_in(browser, name, WORDS).url.path == "/"
    return browser


@deep
def test_a_newcomer_logs_in_with_what_is_printed_and_finds_a_living_site(
    make_site: Callable[[str], Site], database_url: str
) -> None:
    site = make_site(database_url)

    printed = fill(site)
    host = enter(site, "wilma")

    assert f"password: {WORDS}" in printed
    assert [name for name in PEOPLE if name not in printed] == []
    assert len(words_in(host.get("/"))) == site.settings.posts_per_page
    assert "minutes ago" in host.get("/").text
    assert "The hedgehog is innocent" in host.get("/admin/reports").text


@deep
def test_strangers_can_read_everybody_but_the_one_who_does_not_want_it(village: Site) -> None:
    stranger, neighbour = village.browser(), enter(village, "noor")

    closed = [name for name in PEOPLE if not words_in(stranger.get(f"/user/{name}"))]

    assert closed == ["hazel_m"]
    assert [name for name in PEOPLE if not words_in(neighbour.get(f"/user/{name}"))] == []


def test_the_demo_password_keeps_the_rules() -> None:
    assert [name for name in PEOPLE if strength.of(WORDS, 12, name, f"{name}@example.com")] == []


@deep
def test_the_demo_sends_nobody_an_email(village: Site) -> None:
    assert execute(village, "SELECT kind FROM outbox_email") == []


def test_whoever_is_mentioned_or_followed_is_somebody_and_every_word_is_fit_to_post() -> None:
    community: dict[str, Any] = tomllib.loads(COMMUNITY.read_text("utf-8"))
    said = [*community["said"]["posts"], *community["said"]["lately"]]
    named = {name for _when, _name, body in said for name in text.mentioned(body)}

    assert named | {name for person in PEOPLE.values() for name in person["follows"]} <= set(PEOPLE)
    assert {name for _when, name, _body in said} == set(PEOPLE)
    assert [body for _when, _name, body in said if text.clean(body) != body] == []
    assert [name for name, person in PEOPLE.items() if text.count(person["about"]) > 140] == []


@pytest.mark.parametrize("clock", ["00:01", "12:00", "23:59"])
@deep
def test_at_any_hour_it_ends_now_and_nobody_spoke_before_joining(
    make_site: Callable[[str], Site], sqlite_url: str, clock: str
) -> None:
    moment = datetime.fromisoformat(f"2026-03-01T{clock}:00+00:00")
    with time_machine.travel(moment, tick=False):
        site = make_site(sqlite_url)
        fill(site)
    rows = execute(
        site,
        "SELECT p.created_at, u.created_at, last_seen_at FROM post p"
        " JOIN user_account u ON u.id = author_id ORDER BY p.id",
    )
    said, joined, seen = (
        [datetime.fromisoformat(row[column]).replace(tzinfo=UTC) for row in rows] for column in range(3)
    )
    [(followed,)] = execute(site, "SELECT max(created_at) FROM follow")

    assert said == sorted(said)
    assert timedelta() < moment - said[-1] < timedelta(minutes=10)
    assert moment - said[0] > timedelta(days=20)
    assert [1 for spoke, came in zip(said, joined, strict=True) if spoke < came] == []
    assert max(*seen, datetime.fromisoformat(followed).replace(tzinfo=UTC)) <= moment


@deep
def test_a_site_with_people_is_left_as_it_is(village: Site) -> None:
    before = dump(village)

    with pytest.raises(Refused, match="already has people"):
        fill(village)

    assert dump(village) == before


def test_a_deployed_site_is_refused(
    monkeypatch: pytest.MonkeyPatch, sqlite_url: str, capsys: pytest.CaptureFixture[str], start_site: StartSite
) -> None:
    variables = {
        "BASE_URL": "https://blog.example",
        "SECRET_KEY": SECRET_KEY,
        "DATABASE_URL": sqlite_url,
        "MAILER": "off",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    code = main.main(["demo"])

    assert code == 1
    assert "This one is deployed" in capsys.readouterr().err
    assert execute(start_site(Settings.from_environment()), "SELECT id FROM user_account") == []


@deep
def test_the_russian_community_speaks_russian(make_site: Callable[[str], Site], sqlite_url: str) -> None:
    """Its people read the site in Russian, log in with a password that the site would take, and find a complaint."""
    site = make_site(sqlite_url)
    said = fill(site, "ru")
    community = tomllib.loads(COMMUNITIES["ru"].read_text("utf-8"))
    first, password = community["people"][0]["name"], community["password"]

    admin = site.browser()
    home = log_in(admin, first, password).text

    assert f"Log in as {first} (the admin)" in said
    assert '<html lang="ru" ' in home
    assert "чайник" in home
    assert community["complaint"]["reason"] in admin.get("/admin/reports").text
    assert strength.of(password, 12, first) is None
