"""What an owner does against a thief, who has used up every limit that they can touch (C65, C68)."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.depth import deep
from tests.security.test_at_once import AS_BEFORE, LEFT_BEHIND, reset_link, signed
from tests.security.test_proof import PROVED
from tests.security.test_stolen_cookie import WORSE
from tests.sites import Browser, Site
from tests.stories import NEW_PASSWORD, log_in, standing_village
from tests.test_limit_sweep import DEFENCES, EXCEPTIONS, PROOF, SENT, STRANGERS, form_of, path_of
from tests.watching import execute, execute_each
from webapp.accounts import tokens
from webapp.accounts.tokens import Purpose

OTHER = WORSE | {"change_email": {"email": "own@example.org"}}  # than what the thief has sent
# None of these keeps anybody out, and another username than one's own keeps a third from others.
MAY_WAIT = {"export", "import_posts", "download_export", "delete_account", "edit_profile"}

# Other ways to give power back: each by a link from an email, and with no limit at all.
LINKS: dict[str, Callable[[Site], str]] = {
    "report_not_me": lambda site: tokens.not_me_link(site.settings, 1, "new_sign_in", "susan@example.com"),
    "undo_email": lambda site: signed(site, Purpose.UNDO_EMAIL, 1),
    "undo_deletion": lambda site: signed(site, Purpose.UNDO_DELETION, 1),
    "keep_factors": lambda site: signed(site, Purpose.KEEP_FACTORS, 1, epoch_of(site)),
}
A_CHANGE = """
    INSERT INTO address_change (id, user_id, epoch, old_email, new_email, created_at, confirmed_at)
    SELECT 1, 1, 0, 'before@example.com', email, now.at, now.at FROM user_account,
    (SELECT strftime('%Y-%m-%d %H:%M:%f000', 'now') AS at) AS now WHERE id = 1
"""
A_DELETION = """
    INSERT INTO account_deletion (id, user_id, asked_at, due_at, reason)
    VALUES (1, 1, '2026-01-01 00:00:00.000000', '2999-01-01 00:00:00.000000', '')
"""
Row = tuple[Any, ...]


def epoch_of(site: Site) -> int:
    """In which a link that ends with the epoch was sent."""
    epoch: int = execute(site, "SELECT epoch FROM user_account WHERE id = 1")[0][0]
    return epoch


@pytest.fixture(scope="module")
def standing(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with standing_village(migrated_sqlite, tmp_path_factory.mktemp("defences")) as village:
        yield village


@pytest.fixture(scope="module")
def before(standing: Site) -> Row:
    return execute(standing, "SELECT username, email, password_hash FROM user_account WHERE id = 1")[0]


@pytest.fixture
def site(standing: Site, before: Row) -> Site:
    restore(standing, before)
    return standing


def restore(site: Site, before: Row) -> None:
    """Susan's account as it was, whatever somebody has done to it."""
    name, email, password_hash = before
    execute(site, AS_BEFORE, id=1, name=name, email=email, password_hash=password_hash)
    execute_each(site, [f"DELETE FROM {each}" for each in LEFT_BEHIND.split()])


@pytest.fixture(scope="module")
def used_up(standing: Site, before: Row) -> list[str]:
    """What counts all that somebody can do who has the password, a session and the mailbox."""
    keys: set[str] = set()
    for name in (*SENT, *STRANGERS, "email_reset_link", "lost_second_step"):
        restore(standing, before)
        thief = standing.browser("192.0.2.66", follow_redirects=False)
        log_in(thief)
        path = path_of(standing, thief, name)
        form = WORSE.get(name) or (form_of(thief, name) if name in SENT else STRANGERS.get(name, {}))
        thief.post(path, data=PROOF | form)
        keys |= {key for (key,) in execute(standing, "SELECT key FROM limit_window")}
    return sorted(keys)


def use_up(site: Site, keys: list[str]) -> None:
    rows = ", ".join(f"('{key}', 1000000, {time.time() + 3600})" for key in keys)
    execute_each(site, ["DELETE FROM limit_window", f"INSERT INTO limit_window (key, count, ends) VALUES {rows}"])


def owner_of(site: Site) -> Browser:
    log_in(owner := site.browser(follow_redirects=False))
    return owner


@deep
def test_everything_that_gives_power_back_is_tried(used_up: list[str]) -> None:
    without = {name for name, why in EXCEPTIONS.items() if "gives power back" in why or "gives an account back" in why}

    assert without == LINKS.keys()
    assert len(used_up) > 40


@pytest.mark.parametrize("name", DEFENCES)
@deep
def test_a_thief_uses_up_nothing_that_an_owner_needs_against_them(site: Site, used_up: list[str], name: str) -> None:
    owner = owner_of(site)
    path, form = path_of(site, owner, name), form_of(owner, name)
    use_up(site, used_up)

    answer = owner.post(path, data=form)

    assert answer.status_code in {200, 303}


@pytest.mark.parametrize("name", LINKS)
@deep
def test_nor_any_link_that_gives_power_back(site: Site, used_up: list[str], name: str) -> None:
    execute(site, A_CHANGE)
    if name == "undo_deletion":
        execute(site, A_DELETION)
        execute(site, "UPDATE user_account SET disabled_at = created_at WHERE id = 1")
    use_up(site, used_up)

    assert site.browser().post(LINKS[name](site)).status_code == 200


@pytest.mark.parametrize("name", [name for name in PROVED if name not in MAY_WAIT])
@deep
def test_and_after_a_reset_the_owner_may_change_everything_at_once(site: Site, used_up: list[str], name: str) -> None:
    use_up(site, used_up)
    owner = site.browser()

    owner.post(reset_link(site, 1), data={"password": NEW_PASSWORD})
    log_in(owner, password=NEW_PASSWORD)
    path, form = path_of(site, owner, name), OTHER.get(name) or form_of(owner, name)
    answer = owner.post(path, data=form | {"current_password": NEW_PASSWORD})

    assert answer.status_code in {200, 303}


@deep
def test_nobody_uses_up_an_owners_way_back_to_their_username(site: Site, used_up: list[str]) -> None:
    """However often somebody has changed it: the account keeps no more usernames from others by taking back one."""
    thief, owner = owner_of(site), site.browser()
    assert thief.post("/edit_profile", data=PROOF | WORSE["edit_profile"]).status_code == 303
    use_up(site, used_up)

    owner.post(reset_link(site, 1), data={"password": NEW_PASSWORD})
    log_in(owner, "mallory", NEW_PASSWORD)
    proof = {"current_password": NEW_PASSWORD}
    another = owner.post("/edit_profile", data=proof | {"username": "suzan", "about_me": ""})
    answer = owner.post("/edit_profile", data=proof | {"username": "susan", "about_me": ""})

    assert (another.status_code, answer.status_code) == (429, 200)
    assert answer.url.path == "/settings"


@deep
def test_each_session_can_log_the_others_out_so_often(site: Site) -> None:
    thief = owner_of(site)

    pressed = [thief.post("/sessions/end_others").status_code for _time in range(31)]
    owner = owner_of(site)

    assert pressed == [303] * 30 + [429]
    assert owner.post("/sessions/end_others").status_code == 303
