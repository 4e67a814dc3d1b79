"""On every page of the site, whoever is muted or blocked is hidden; a page that is added is looked at, too."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

from tests.blocking.scene import HERON, SPARROW, Scene, shows_bob, without_names
from tests.depth import deep
from tests.people.crowd import PART, let_part
from tests.registration.test_invites import invite
from tests.test_sweeps import ROUTES
from tests.watching import dump, execute, standing_site, wait_until_posted

# Pages to which one goes for a person or a post; the others bring them up.
GONE_TO = {"profile", "post", "find_post", "reply", "report", "followers", "following", "profile_feed", "block"}
# What only its owner is sent, or only shows what whoever opens it did: the rest is passed on to others.
OWN_LINKS = {"factor_removal", "keep_factors", "finish_registration", "check_email", "email_code", "reset_password"}
OWN_LINKS |= {"renew_reset_link", "email_removal_link", "report_not_me", "email_reset_link", "authenticator_app"}
OWN_LINKS |= {"checkup_email", "confirm_email", "undo_email", "undo_deletion", "unsubscribe", "subscribe_again"}
ABOUT = [route for route in ROUTES if {"username", "post_id"} & set(route.param_convertors)]
FORM = {"body": "Hello?", "reason": "Because", "next": "/settings"}


@pytest.fixture(scope="module")
def scene(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with standing_site(migrated_sqlite, tmp_path_factory.mktemp("apart"), member_invites=9) as site:
        scene = Scene(site)
        wait_until_posted(site)
        execute(site, "DELETE FROM outbox_email")  # of mentions, which wait a minute, and would leave in between
        yield scene


@pytest.fixture(autouse=True)
def as_it_was(scene: Scene) -> Iterator[None]:
    yield
    for name in ("mute", "block", "limit_window"):
        execute(scene.site, f"DELETE FROM {name}")


def where_susan_sees_bob(scene: Scene) -> dict[str, set[str]]:
    """The pages by their routes' names, and for whom or for what she went to each: bob, ann, or her own."""
    found: dict[str, set[str]] = {}
    for name, about, answer in scene.pages(scene.susan):
        if shows_bob(answer):
            found.setdefault(name, set()).add(about)
    return found


@deep
def test_the_sweep_sees_a_person_whom_nobody_hides(scene: Scene) -> None:
    """The control: these are the pages that show people and posts."""
    seen = where_susan_sees_bob(scene)

    assert seen.keys() == GONE_TO | {"home", "explore", "search", "explore_feed", "mentions", "invites"}
    assert all("ann" in seen[name] for name in ("profile", "post", "followers", "following"))


@deep
def test_a_muted_person_is_seen_only_where_people_go_on_purpose(scene: Scene) -> None:
    scene.susan.post("/mute/bob")

    seen = where_susan_sees_bob(scene)

    assert seen.pop("muted_and_blocked") == {""}
    assert seen.pop("invites") == {""}, "who came by whose link is what one goes there for"
    assert seen == {name: {"bob"} for name in GONE_TO}


@deep
def test_a_blocked_person_is_seen_only_where_that_can_be_undone(scene: Scene) -> None:
    let_part(scene.site, "block", "susan", "bob")

    seen = where_susan_sees_bob(scene)

    assert seen == {"profile": {"bob"}, "block": {"bob"}, "muted_and_blocked": {""}}
    assert "heron" not in scene.susan.get("/user/bob").text


@deep
def test_a_blocked_person_never_sees_the_other(scene: Scene) -> None:
    let_part(scene.site, "block", "bob", "susan")

    assert where_susan_sees_bob(scene) == {}


@deep
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_to_a_blocked_person_the_other_seems_not_to_exist(scene: Scene, method: str) -> None:
    """Whatever is asked or sent about the one who blocked, the answer is that for nobody, and nothing changes."""
    let_part(scene.site, "block", "bob", "susan")
    wait_until_posted(scene.site)
    before, told = kept(scene), []

    for route in [route for route in ABOUT if method in (route.methods or ())]:
        for headers in ({}, PART):
            to_bob, to_nobody = [
                without_names(scene.susan.request(method, path, **sent(method), headers=headers))
                for path in (path_of(route, "bob", HERON), path_of(route, "nobody", 999))
            ]
            told += [(route.name, headers)] if to_bob != to_nobody else []
            scene.susan.get("/")  # says what the two have left to be said

    assert told == []
    assert kept(scene) == before


def test_requests_about_a_visible_person_do_change_something(scene: Scene) -> None:
    """The control: the same requests about ann."""
    before = kept(scene)

    for route in [route for route in ABOUT if "POST" in (route.methods or ())]:
        scene.susan.post(path_of(route, "ann", SPARROW), data=FORM)

    changed = {name for name, rows in kept(scene).items() if rows != before[name]}
    assert changed >= {"post", "mention", "report", "follow"}


@pytest.mark.parametrize("pair", [("bob", "susan"), ("susan", "bob")])
def test_an_invitation_passed_on_to_whom_a_block_hides_its_maker_from_is_over(
    scene: Scene, pair: tuple[str, str]
) -> None:
    passed_on = {route.name for route in ROUTES if "token" in route.param_convertors} - OWN_LINKS
    link = invite(scene.bob)
    before = [scene.susan.get(link), scene.ann.get(link), scene.site.browser().get(link)]

    let_part(scene.site, "block", *pair)
    after = [scene.susan.get(link), scene.ann.get(link), scene.site.browser().get(link)]
    asked = scene.susan.post(link, data={"email": "other@example.com"})

    assert passed_on == {"invitation"}
    assert [answer.status_code for answer in before] == [200, 200, 200]
    assert [answer.status_code for answer in [*after, asked]] == [410, 200, 200, 410]
    assert "This invitation has ended" in after[0].text
    assert not shows_bob(after[0])
    assert not shows_bob(asked)


def path_of(route: Route, username: str, post_id: int) -> str:
    values = {"username": username, "post_id": post_id, "action": "disable"}
    return route.url_path_for(route.name, **{key: values[key] for key in route.param_convertors})


def sent(method: str) -> dict[str, Any]:
    return {"data": FORM if method == "POST" else None, "follow_redirects": False}


def kept(scene: Scene) -> dict[str, list[tuple[Any, ...]]]:
    """All that is stored, but for what counts visits."""
    apart = {"limit_window", "form_answer", "session", "user_account"}
    return {name: rows for name, rows in dump(scene.site).items() if name not in apart}
