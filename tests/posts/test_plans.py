"""However many posts, replies and blocks there are, a page reads those it shows: by an index, never all of them."""

import re

import pytest
from sqlalchemy import text

from tests.people.crowd import import_people
from tests.posts.wall import let_post
from tests.sites import Site
from tests.watching import execute
from webapp.posts import statements

PEOPLE = 40
# Many replies under sixty posts, which mention everybody; and everybody has muted and blocked everybody, but for susan.
FILLINGS = [
    "INSERT INTO post (author_id, reply_to_id, body, created_at, removed_because)"
    " WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
    f" SELECT 2 + n.i % {PEOPLE - 1}, 1 + n.i % 60, 'Reply', post.created_at, '' FROM n, post WHERE post.id = 1",
    "INSERT INTO mention (post_id, user_id, is_reply, created_at)"
    f" SELECT id, 1 + id % {PEOPLE}, true, created_at FROM post WHERE id > 60",
    "INSERT INTO mute (muter_id, muted_id, created_at) SELECT one.id, other.id, one.created_at"
    " FROM user_account AS one, user_account AS other WHERE one.id <> other.id AND one.id > 1",
    "INSERT INTO block (blocker_id, blocked_id, created_at) SELECT muter_id, muted_id, created_at FROM mute"
    " WHERE muted_id > 1",
    "ANALYZE",
]
# What a page asks, and an index without which it would read too much.
ASKED = {
    "replies": (statements.replies(21, only_public=False), "ix_post_reply_to_id_id"),
    "replies, for a stranger": (statements.replies(21, only_public=True), "ix_post_reply_to_id_id"),
    "mentions": (statements.about(21), "ix_mention_user_id_post_id"),
    "everybody's posts": (statements.earlier(21, only_public=False), ""),
    "a single post": (statements.one(only_public=False), ""),
}
GIVEN = {"post_id": 1, "after": 0, "before": 2**62, "viewer_id": 1}
READS_ALL = re.compile(r"(?:Seq Scan on|SCAN) (?:post|mention|mute|block)\b(?! USING)")


@pytest.fixture
def crowded(any_site: Site) -> Site:
    import_people(any_site, "susan", *(f"fan{number}" for number in range(1, PEOPLE)))
    let_post(any_site, ("susan", "A post."), count=60)
    for filling in FILLINGS:
        execute(any_site, filling)
    return any_site


def test_no_page_of_posts_reads_a_table_through(crowded: Site) -> None:
    plans = {name: plan(crowded, query) for name, (query, _index) in ASKED.items()}

    assert {name: told for name, told in plans.items() if READS_ALL.search(told)} == {}
    assert {name: plans[name] for name, (_query, index) in ASKED.items() if index not in plans[name]} == {}


def test_the_plan_tells_when_a_table_is_read_through(crowded: Site) -> None:
    """The control."""
    assert READS_ALL.search(plan(crowded, text("SELECT body FROM post WHERE body = 'Reply'")))


def plan(site: Site, query: object) -> str:
    """How the database would find the rows, with these very values."""
    dialect = site.app.state.database.engine.dialect
    wanted = {name: value for name, value in GIVEN.items() if f":{name}" in str(query)}
    bound = query.bindparams(**wanted) if hasattr(query, "bindparams") else query.params(**wanted)  # type: ignore[attr-defined]
    asked = str(bound.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    explain = "EXPLAIN QUERY PLAN" if dialect.name == "sqlite" else "EXPLAIN"
    return "\n".join(str(row[-1]) for row in execute(site, f"{explain} {asked}"))
