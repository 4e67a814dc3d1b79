"""A mute and a block are about the person: they stay, whatever becomes of either account."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import update

from tests.archives.test_export import ask, wait_until_ready
from tests.deletion.test_delete_account import SUBJECT, delete, erase, make_due
from tests.depth import deep
from tests.mailbox import Mailbox, link_in
from tests.people.crowd import arrive, import_people
from tests.posts.wall import say, words_in
from tests.sites import Browser, Site
from tests.stories import PASSWORD, log_in
from tests.watching import execute
from webapp.accounts import endings, users
from webapp.database import now, table
from webapp.imports import import_archive
from webapp.names.usernames import KeptUsername, RetiredUsername


@pytest.fixture
def susan(site: Site) -> Browser:
    """She has blocked bob and muted ann. All three have a post."""
    import_people(site, "bob", "ann")
    susan = arrive(site)
    for name in ("bob", "ann"):
        say(logged_in(site, name), f"A heron of {name}'s.")
    say(susan, "An owl.")
    susan.post("/block/bob")
    susan.post("/mute/ann")
    return susan


def logged_in(site: Site, name: str) -> Browser:
    browser = site.browser()
    log_in(browser, name)
    return browser


def rename(site: Site, name: str, new: str) -> None:
    form = {"username": new, "about_me": "", "is_public": "1", "current_password": PASSWORD}
    assert logged_in(site, name).post("/edit_profile", data=form).url.path == "/settings"


def turn(site: Site, name: str, *, is_disabled: bool) -> None:
    async def work() -> None:
        async with site.app.state.database.session(is_writing=True) as db:
            user = await users.named(db, name)
            assert user
            await endings.set_disabled(db, user, is_disabled)
            await db.commit()

    site.run(work)


def bring_back(site: Site, name: str) -> None:
    assert site.mailbox
    delete(logged_in(site, name), username=name)
    link = link_in(site.mailbox.last(f"{name}@example.com", subject=SUBJECT).text)
    assert "is back" in site.browser().post(link).text


def sees(viewer: Browser, name: str) -> tuple[int, bool]:
    """What the person's page answers, and whether their post is brought up."""
    return viewer.get(f"/user/{name}").status_code, f"A heron of {name[:3]}'s." in words_in(viewer.get("/explore"))


@pytest.mark.parametrize("how", ["renamed", "disabled and enabled", "deleted and brought back"])
@pytest.mark.parametrize("whose", ["susan", "the others"])
@deep
def test_a_block_and_a_mute_outlast_a_change_of_either_account(
    site: Site, susan: Browser, how: str, whose: str
) -> None:
    names = {"susan": "susan", "bob": "bob", "ann": "ann"}
    for name in ["susan"] if whose == "susan" else ["bob", "ann"]:
        if how == "renamed":
            names[name] += "_x"
            rename(site, name, names[name])
        elif how == "deleted and brought back":
            bring_back(site, name)
        else:
            turn(site, name, is_disabled=True)
            turn(site, name, is_disabled=False)

    she, bob, ann = (logged_in(site, names[name]) for name in ("susan", "bob", "ann"))

    assert sees(she, names["ann"]) == (200, False)
    assert "blocked" in she.get(f"/user/{names['bob']}").text
    assert sees(she, names["bob"])[1] is False
    assert bob.get(f"/user/{names['susan']}").status_code == 404
    assert ann.get(f"/user/{names['susan']}").status_code == 200
    listed = she.get("/muted_and_blocked").text
    assert all(f'href="/user/{names[name]}"' in listed for name in ("bob", "ann"))


@deep
def test_while_a_blocked_person_is_away_nobody_is_told_of_them_and_the_block_stays(site: Site, susan: Browser) -> None:
    turn(site, "bob", is_disabled=True)

    assert "bob" not in susan.get("/muted_and_blocked").text
    assert susan.post("/unblock/bob").status_code == 404
    assert execute(site, "SELECT count(*) FROM block") == [(1,)]


@deep
def test_whoever_takes_the_name_of_somebody_who_was_deleted_is_another_person(site: Site, susan: Browser) -> None:
    delete(logged_in(site, "bob"), username="bob")
    make_due(site)
    erase(site)
    execute(site, update(RetiredUsername).values(kept_until=now() - timedelta(seconds=1)))

    anew = arrive(site, "bob")
    say(anew, "A heron of bob's.")

    assert execute(site, "SELECT * FROM block") == []
    assert sees(susan, "bob") == (200, True)
    assert anew.get("/user/susan").status_code == 200


@pytest.mark.parametrize("is_kept", [True, False])
@deep
def test_who_comes_back_with_an_archive_blocks_whom_they_blocked_also_under_another_name(
    site: Site, susan: Browser, mailbox: Mailbox, tmp_path: Path, is_kept: bool
) -> None:
    file = exported(site, susan, tmp_path)
    rename(site, "bob", "bob_x")
    if not is_kept:
        execute(site, update(table(KeptUsername)).values(kept_until=now() - timedelta(seconds=1)))
    anew = arrive(site, "anew")

    import_archive.run(site.settings, "anew", file)

    assert sees(anew, "ann") == (200, False)
    assert ("blocked" in anew.get("/user/bob_x").text) is is_kept


def exported(site: Site, browser: Browser, folder: Path) -> Path:
    ask(browser)
    wait_until_ready(site)
    file = folder / "archive.zip"
    answer: Any = browser.post("/export/download", data={"current_password": PASSWORD})
    file.write_bytes(answer.content)
    return file
