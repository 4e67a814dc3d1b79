"""However many posts, people and emails there are, a page reads those it shows: by an index, never all of them."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import SQLModel

from tests.depth import deep
from tests.people.crowd import import_people
from tests.posts.wall import let_post
from tests.sites import Site
from tests.stories import ask_for_reset, log_in
from tests.test_sweeps import ROUTES, SETTINGS, path_of
from tests.watching import execute
from webapp import logs
from webapp.accounts import tokens
from webapp.accounts.tokens import Purpose
from webapp.database.hot import Direct
from webapp.posts import statements
from webapp.settings import Settings

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
    "INSERT INTO follow (follower_id, followed_id, created_at) SELECT one.id, other.id, one.created_at"
    " FROM user_account AS one, user_account AS other WHERE one.id <> other.id",
    "ANALYZE",
]
# What people look at most, for which the site asks whatever it asks.
PAGES = (
    *("/", "/explore", "/mentions", "/muted_and_blocked", "/search?q=reply", "/search?q=nobody_wrote_it"),
    *("/user/susan", "/user/susan/followers", "/user/susan/following", "/user/susan/1", "/user/susan?before=40"),
)
# What a page asks, and an index without which it would read too much.
ASKED = {
    "replies": (statements.replies(21, only_public=False), "ix_post_reply_to_id_id"),
    "replies, for a stranger": (statements.replies(21, only_public=True), "ix_post_reply_to_id_id"),
    "mentions": (statements.about(21), "ix_mention_user_id_post_id"),
    "everybody's posts": (statements.earlier(21, only_public=False), ""),
    "a single post": (statements.one(only_public=False), ""),
}
FINDING = {"SELECT", "WITH", "UPDATE", "DELETE"}
GIVEN = {"post_id": 1, "after": 0, "before": 2**62, "viewer_id": 1}
# One row, or as many as the settings let wait.
SMALL = {"mail_status", "hash_cost", "registration_request"}
GROWING = "|".join(SQLModel.metadata.tables.keys() - SMALL)
READS_ALL = re.compile(rf"(?:Seq Scan on|SCAN) (?:{GROWING})\b(?! USING)")


@pytest.fixture
def crowded(any_site: Site) -> Site:
    fill(any_site)
    return any_site


def fill(site: Site) -> None:
    import_people(site, "susan", *(f"fan{number}" for number in range(1, PEOPLE)))
    let_post(site, ("susan", "A post."), count=60)
    for filling in FILLINGS:
        execute(site, filling)


@deep
def test_no_page_of_posts_reads_a_table_through(crowded: Site) -> None:
    plans = {name: plan(crowded, query) for name, (query, _index) in ASKED.items()}

    assert {name: told for name, told in plans.items() if READS_ALL.search(told)} == {}
    assert READS_ALL.search(plan(crowded, text("SELECT body FROM post WHERE body = 'Reply'"))), "the control"
    assert {name: plans[name] for name, (_query, index) in ASKED.items() if index not in plans[name]} == {}


def test_no_page_that_people_look_at_reads_a_table_through(crowded: Site) -> None:
    susan = crowded.browser()
    log_in(susan)

    with asked(crowded) as seen:
        answers = {path: susan.get(path).status_code for path in PAGES}

    assert set(answers.values()) == {200}, answers
    assert len(seen) > 12
    plans = {statement: explained(crowded, statement, values) for statement, values in seen.items()}
    assert READS_ALL.search(explained(crowded, "SELECT body FROM post WHERE body = 'Reply'", ())), "the control"
    assert {statement: told for statement, told in plans.items() if READS_ALL.search(told)} == {}


@deep
def test_no_page_at_all_and_no_asking_for_an_email_reads_a_growing_table_through(
    make_settings: Callable[..., Settings], database_url: str, start_site: Callable[[Settings], Site]
) -> None:
    """For an admin, whose pages are about everybody, and for strangers who reset a password or log in."""
    site = start_site(make_settings(database_url=database_url, admins=("susan@example.com",), member_invites=3))
    fill(site)
    admin = site.browser()
    site.app.state.link = (
        f"/reset_password/{tokens.issue(SETTINGS, Purpose.RESET_PASSWORD, 1, timedelta(minutes=9), 0)}"
    )
    pages = [route.name for route in ROUTES if "GET" in (route.methods or ()) and "/mailbox" not in route.path]

    with asked(site) as seen:
        asked_for = [ask_for_reset(site.browser(), name).status_code for name in ("fan1", "fan2@example.com", "nobody")]
        came_in = [log_in(site.browser(), "fan3", "not the password").status_code, log_in(admin).status_code]
        for name in pages:
            assert admin.get(path_of(site, name), follow_redirects=False).status_code < 500, name

    assert (asked_for, came_in) == ([200] * 3, [422, 200])
    plans = {statement: explained(site, statement, values) for statement, values in seen.items()}
    assert len(plans) > 50
    assert {statement: told for statement, told in plans.items() if READS_ALL.search(told)} == {}


@pytest.mark.postgresql
@deep
def test_a_search_reads_the_newest_posts_and_else_those_with_the_word(
    postgres_url: str, make_settings: Callable[..., Settings], start_site: Callable[[Settings], Site]
) -> None:
    """Whichever word it is: to read every post from the newest on, for a word nobody wrote, took seconds."""
    site = start_site(make_settings(database_url=postgres_url))
    fill(site)

    with asked(site) as seen:
        for word in ("reply", "nobody_wrote_it"):
            assert site.browser().get(f"/search?q={word}").status_code == 200

    [search] = [statement for statement in seen if "tsquery" in statement]
    told = explained(site, search, seen[search])
    newest = r"Subquery Scan on found .*?-> +Limit .*?-> +Index Scan Backward using pk_post on post "
    assert re.search(newest, told, re.S)
    looked_up = r"Sort Key: \(\(found_1.id \+ 0\)\).*?-> +Bitmap Index Scan on ix_post_words "
    assert re.search(looked_up, told, re.S)


@contextmanager
def asked(site: Site) -> Iterator[dict[str, Any]]:
    """Every statement that is sent for a request meanwhile and finds rows, with the values that it had."""
    seen: dict[str, Any] = {}

    def noting(run: Callable[..., Any]) -> Callable[..., Any]:
        def run_and_note(cursor_or_transaction: Any, statement: str, values: Any, *rest: Any) -> Any:
            if logs.current_request.get() and statement.split(None, 1)[0] in FINDING:
                seen[statement] = values
            return run(cursor_or_transaction, statement, values, *rest)

        return run_and_note

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in ((site.app.state.database.engine.dialect, "do_execute"), (Direct, "run")):
            patch.setattr(owner, name, noting(getattr(owner, name)))
        yield seen


def explained(site: Site, statement: str, values: Any) -> str:
    """How the database would find the rows of a statement as it was sent, with the values that it had.

    To PostgreSQL these tables are so small that it may well read them through: it is told to do so only if it must.
    """

    async def run() -> str:
        is_sqlite = site.app.state.database.is_sqlite
        explain = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"
        given = tuple(values) if isinstance(values, list) else values
        async with site.app.state.database.engine.connect() as connection:
            if not is_sqlite:
                await connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            return "\n".join(str(row[-1]) for row in await connection.exec_driver_sql(f"{explain} {statement}", given))

    return str(site.run(run))


def plan(site: Site, query: object) -> str:
    """How the database would find the rows, with these very values."""
    dialect = site.app.state.database.engine.dialect
    wanted = {name: value for name, value in GIVEN.items() if f":{name}" in str(query)}
    bound = query.bindparams(**wanted) if hasattr(query, "bindparams") else query.params(**wanted)  # type: ignore[attr-defined]
    asked = str(bound.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    return explained(site, asked, ())
