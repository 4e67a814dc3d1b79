"""An admin without the page of reports: the same decisions on the command line."""

import contextlib
from collections.abc import Callable

import pytest

from tests.depth import deep
from tests.moderation.cases import post
from tests.people.crowd import arrive, import_people
from tests.sites import SECRET_KEY, Site
from tests.watching import execute, wait_until_posted
from webapp.cli import main

WHY = "Advertising is not wanted here."


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, site: Site, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command on the site's database; returns what it printed."""
    variables = {"BASE_URL": "https://blog.example", "SECRET_KEY": SECRET_KEY, "MAILER": "off"}
    for name, value in (variables | {"DATABASE_URL": site.settings.database_url}).items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> str:
        with contextlib.suppress(SystemExit):
            main.main([*arguments])
        return "".join(capsys.readouterr())

    return run


def email_to_bob(site: Site) -> str:
    async def ring() -> None:
        site.app.state.database.wake.set()

    assert site.mailbox
    site.run(ring)
    wait_until_posted(site)
    [email] = site.mailbox.all("bob@example.com")
    return email.subject + email.text


@deep
def test_a_post_is_removed_and_its_author_is_told_why(site: Site, run: Callable[..., str]) -> None:
    import_people(site, "bob")
    number = post(site, "bob")

    said = run("posts", "remove", str(number), "--reason", WHY)

    assert f"Post {number} is removed." in said
    assert arrive(site).get(f"/user/bob/{number}").status_code in {404, 410}
    told = email_to_bob(site)
    assert "was removed" in told
    assert WHY in told


def test_an_imported_post_is_removed_by_the_number_in_its_address(site: Site, run: Callable[..., str]) -> None:
    import_people(site, "bob")
    execute(site, f"UPDATE post SET id = -5 WHERE id = {post(site, 'bob')}")

    assert "Post -5 is removed." in run("posts", "remove", "-5", "--reason", WHY)


def test_a_post_is_removed_once(site: Site, run: Callable[..., str]) -> None:
    import_people(site, "bob")
    number = post(site, "bob")
    run("posts", "remove", str(number), "--reason", WHY)

    said = run("posts", "remove", str(number), "--reason", "Another.")

    assert "was removed before" in said
    assert WHY in email_to_bob(site), "the first reason stands, and is told once"


def test_a_person_is_disabled_and_told_why(site: Site, run: Callable[..., str]) -> None:
    import_people(site, "bob")

    run("users", "disable", "bob", "--reason", WHY)

    told = email_to_bob(site)
    assert "was disabled" in told
    assert WHY in told


@pytest.mark.parametrize("number", ["2", "0", "-1", "9" * 18])
def test_what_is_not_there_is_not_removed(site: Site, run: Callable[..., str], number: str) -> None:
    assert "There is no post" in run("posts", "remove", "--reason", WHY, "--", number)


@deep
@pytest.mark.parametrize("reason", ["", " ", "x" * 301])
def test_nothing_is_removed_without_a_reason(site: Site, run: Callable[..., str], reason: str) -> None:
    import_people(site, "bob")
    number = post(site, "bob")

    said = run("posts", "remove", str(number), "--reason", reason)

    assert "1 to 300 characters" in said
    assert execute(site, "SELECT removed_at FROM post") == [(None,)]
