"""What a member does not see makes none of their pages dearer, however much of it there is: in SQLite's own steps."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event, insert

from tests.people.crowd import arrive, import_people, let_part
from tests.posts.wall import say
from tests.sites import Site
from tests.watching import execute
from webapp.accounts import sessions
from webapp.accounts.models import User
from webapp.database import now
from webapp.posts import statements

EVERY = 50  # steps between two counts
MOST_MORE = 1.1
# Whatever is asked, the news about whoever asks are counted.
PAGES = (
    *("/", "/explore", "/settings", "/muted_and_blocked", "/user/susan/1"),
    *("/news?of=explore&after=0", "/news?of=home&after=0"),
)
POSTS = """
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)
    INSERT INTO post (author_id, reply_to_id, body, created_at, removed_because)
    SELECT user_account.id, 1, '@susan', '2030-01-01 00:00:00.000000', '' FROM n, user_account WHERE username = 'loud'
"""
MENTIONS = """
    INSERT INTO mention (post_id, user_id, is_reply, created_at)
    SELECT post.id, susan.id, false, post.created_at FROM post, user_account AS susan
    WHERE body = '@susan' AND susan.username = 'susan' ON CONFLICT DO NOTHING
"""
FOLLOWS = """
    INSERT INTO follow (follower_id, followed_id, created_at)
    SELECT gone.id, susan.id, '2030-01-01 00:00:00.000000' FROM user_account AS gone, user_account AS susan
    WHERE gone.disabled_at IS NOT NULL AND susan.username = 'susan' ON CONFLICT DO NOTHING
"""


def test_no_page_does_more_for_what_its_reader_does_not_see(site: Site) -> None:
    """Somebody whom she has muted writes about her on and on, and an admin disables a crowd that follows her."""
    import_people(site, "loud", "bob")
    susan = arrive(site)
    let_part(site, "mute", "susan", "loud")
    assert say(susan) == 1
    seen: list[list[int]] = []

    with steps(site) as taken:
        for _time in range(2):
            fill(site)
            for path in PAGES:
                susan.get(path)  # what is read for the first time is remembered
            seen.append([])
            for path in PAGES:
                before = taken()
                assert susan.get(path).status_code == 200
                seen[-1].append(taken() - before)

    assert 'href="/mentions?before=' in susan.get("/mentions").text
    assert 'href="/user/susan/1?after=' in susan.get("/user/susan/1").text
    dearer = {path: each for path, *each in zip(PAGES, *seen, strict=True) if each[1] > MOST_MORE * each[0] + 1}
    assert dearer == {}
    assert all(some > 10 for some in seen[0]), "the control"


def fill(site: Site) -> None:
    execute(site, POSTS, count=statements.MOST_SCANNED + 100)
    execute(site, MENTIONS)
    last = execute(site, "SELECT max(id) FROM user_account")[0][0]
    names = [f"gone{last + number}" for number in range(sessions.MOST_LOOKED_AT + 100)]
    rows = [
        {"username": name, "username_key": name, "email": name, "password_hash": "", "disabled_at": now()}
        for name in names
    ]
    for start in range(0, len(rows), 100):
        execute(site, insert(User).values(rows[start : start + 100]))
    execute(site, FOLLOWS)


@contextmanager
def steps(site: Site) -> Iterator[Callable[[], int]]:
    """How much SQLite has done for whatever is asked meanwhile, in some of its steps at a time."""
    taken = [0]

    def count() -> None:
        taken[0] += 1

    def watch(connection: Any, *_more: object) -> None:
        connection.driver_connection.opened.set_progress_handler(count, EVERY)

    pool = site.app.state.database.engine.sync_engine.pool
    event.listen(pool, "checkout", watch)
    yield lambda: taken[0]
    event.remove(pool, "checkout", watch)
