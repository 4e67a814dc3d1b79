"""On every page of the site, whoever is gone or hides isn't seen, nor is a post that was taken back; by members, or by
strangers. A page that is added is looked at, too.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from httpx2 import Response

from tests.blocking.scene import Scene, shows_bob
from tests.depth import deep
from tests.sites import Browser
from tests.watching import execute, standing_site

# What the community's own pages show of bob, who is on them: by his route's name, to a member and to a stranger.
TO_A_STRANGER = {"home", "explore", "search", "profile", "post", "find_post", "explore_feed", "profile_feed"}
DELETION = (
    "INSERT INTO account_deletion (user_id, asked_at, due_at, reason) SELECT id, {0}, '2999-01-01', '' FROM ({1})"
)
BOB = "SELECT * FROM user_account WHERE username = 'bob'"
POSTS = "UPDATE post SET {} = created_at WHERE author_id = (SELECT id FROM user_account WHERE username = 'bob')"
STATES = {
    "hides from strangers": ["UPDATE user_account SET is_public = false WHERE username = 'bob'"],
    "is disabled": ["UPDATE user_account SET disabled_at = created_at WHERE username = 'bob'"],
    "is being deleted": [
        "UPDATE user_account SET disabled_at = created_at WHERE username = 'bob'",
        DELETION.format("created_at", BOB),
    ],
    "has deleted the posts": [POSTS.format("deleted_at")],
    "had the posts removed": [POSTS.format("removed_at")],
}
UNDO = [
    "UPDATE user_account SET disabled_at = NULL, is_public = true",
    "DELETE FROM account_deletion",
    "UPDATE post SET deleted_at = NULL, removed_at = NULL",
    "DELETE FROM limit_window",
]


@pytest.fixture(scope="module")
def scene(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with standing_site(migrated_sqlite, tmp_path_factory.mktemp("states"), member_invites=9) as site:
        yield Scene(site)


@pytest.fixture(autouse=True)
def as_it_was(scene: Scene) -> Iterator[None]:
    yield
    for statement in UNDO:
        execute(scene.site, statement)


def shows_his_words(answer: Response) -> bool:
    """One of his posts; what he says about himself stays."""
    return bool(re.search(r"\bA heron\b|\bAnother heron\b", answer.text))


def where(scene: Scene, reader: Browser, shows: Callable[[Response], bool] = shows_bob) -> set[str]:
    """The pages by their routes' names; one that asks for a log-in only repeats the path."""
    return {name for name, _about, answer in scene.pages(reader) if shows(answer) and not asks_to_log_in(answer)}


def asks_to_log_in(answer: Response) -> bool:
    return answer.headers.get("location", "").startswith("/login?next=")


def let(scene: Scene, state: str) -> None:
    for statement in STATES[state]:
        execute(scene.site, statement)


@deep
def test_the_sweep_sees_whom_nothing_hides(scene: Scene) -> None:
    """The control, which also says what strangers see of people."""
    assert where(scene, scene.site.browser()) == TO_A_STRANGER
    assert where(scene, scene.susan) > TO_A_STRANGER


@pytest.mark.parametrize("state", ["hides from strangers", "is disabled", "is being deleted"])
@deep
def test_strangers_see_nothing_of_a_person_who_is_not_for_them(scene: Scene, state: str) -> None:
    let(scene, state)

    assert where(scene, scene.site.browser()) == set()


@pytest.mark.parametrize("state", ["is disabled", "is being deleted"])
@deep
def test_members_see_nothing_of_a_person_who_is_gone(scene: Scene, state: str) -> None:
    let(scene, state)

    assert where(scene, scene.susan) == set()


@pytest.mark.parametrize("state", ["has deleted the posts", "had the posts removed"])
@pytest.mark.parametrize("reader", ["susan", "a stranger"])
@deep
def test_nobody_sees_a_word_that_was_taken_back(scene: Scene, reader: str, state: str) -> None:
    browser = scene.susan if reader == "susan" else scene.site.browser()
    before = where(scene, browser, shows_his_words)

    let(scene, state)

    assert len(before) > 5
    assert where(scene, browser, shows_his_words) == set()


@deep
def test_a_member_sees_whoever_only_hides_from_strangers(scene: Scene) -> None:
    before = where(scene, scene.susan)

    let(scene, "hides from strangers")

    assert where(scene, scene.susan) == before - {"profile_feed", "explore_feed"}, "feeds are for strangers, too"
