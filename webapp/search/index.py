"""Searches posts and people with the database's own full-text index.

Triggers maintain the index (see the initial migration), which contains every text. The tables of posts and people
decide who may see what, as on any other page, so a deleted post or a disabled account is gone at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Boolean, Integer, String, TextualSelect, bindparam, text
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.database import execute, execute_together
from webapp.people import blocks
from webapp.posts import statements, timeline
from webapp.posts.timeline import LAST, Page
from webapp.search import words
from webapp.search.words import Term

MOST_PEOPLE = 10
NEWEST = 4_000  # posts; reading them takes some milliseconds
MERGED_PAGES = 100  # some milliseconds of SQLite's write lock
_CHANGES = text("SELECT total_changes()")

# SQLite looks up the words, then walks through their posts from the newest until it has enough.
# PostgreSQL's index knows nothing of the order. So the newest posts are read first: a word that is too rare among them
# is in few posts of all, and those are looked up. `+ 0` keeps the planner from reading every post in their order.
_POSTS = {
    True: """
    SELECT found.id FROM post_words AS words
    CROSS JOIN post AS found ON found.id = words.rowid CROSS JOIN user_account AS author ON author.id = found.author_id
    WHERE words.post_words MATCH :words AND words.rowid < :before AND {visible} ORDER BY words.rowid DESC LIMIT {most}
    """,
    False: """
    WITH newest AS MATERIALIZED (
        SELECT found.id FROM (SELECT * FROM post WHERE id < :before ORDER BY id DESC LIMIT {newest}) AS found
        JOIN user_account AS author ON author.id = found.author_id
        WHERE found.words @@ CAST(:words AS tsquery) AND {visible} ORDER BY found.id DESC LIMIT {most}
    )
    SELECT id FROM newest WHERE (SELECT count(*) FROM newest) = {most} UNION ALL (
        SELECT found.id FROM post AS found JOIN user_account AS author ON author.id = found.author_id
        WHERE found.words @@ CAST(:words AS tsquery) AND found.id < :before AND {visible}
        AND (SELECT count(*) FROM newest) < {most} ORDER BY found.id + 0 DESC LIMIT {most}
    )
    """,
}
_SHOWN = "found.deleted_at IS NULL AND found.removed_at IS NULL AND author.disabled_at IS NULL"
# What strangers and members see. All that matches and can't be seen is walked past, so this asks no more than it must.
_VISIBLE = {
    True: f"{_SHOWN} AND author.is_public",
    False: f"{_SHOWN} AND {blocks.not_hidden('found.author_id').text}",
}
_MATCHING = {
    True: "person_words AS words CROSS JOIN user_account AS person ON person.id = words.rowid"
    " WHERE words.person_words MATCH :words_of_people",
    False: "user_account AS person WHERE person.words @@ CAST(:words_of_people AS tsquery)",
}
# Exact names first, then names that begin with it, then those who mention it in "about me".
_PEOPLE = f"""
    SELECT person.id, person.username, person.about_me, person.picture, EXISTS (
        SELECT 1 FROM follow WHERE follow.follower_id = :viewer_id AND follow.followed_id = person.id
    ) AS is_followed
    FROM {{matching}} AND person.disabled_at IS NULL AND (person.is_public OR :viewer_id > 0)
    AND {blocks.not_hidden("person.id").text}
    ORDER BY CASE
        WHEN person.username_key = :name THEN 0
        WHEN substr(person.username_key, 1, length(:name)) = :name THEN 1
        ELSE 2
    END, person.username_key LIMIT {MOST_PEOPLE + 1}
"""


@dataclass(frozen=True)
class FoundPerson:
    """A person who was found, as the person searching sees them."""

    id: int
    username: str
    about_me: str
    picture: int
    is_followed: bool


async def find(
    db: AsyncSession,
    terms: Sequence[Term],
    viewer_id: int | None,
    most: int,
    before: int = LAST,
    *,
    with_people: bool = True,
) -> tuple[Page, list[FoundPerson]]:
    """Posts that contain all terms, newest first, and people who match every term, by username, its beginning, or
    their "about me"; for strangers, those they may read.

    At most MOST_PEOPLE people, plus one if there are more. All in one trip.
    """
    is_sqlite = db.get_bind().dialect.name == "sqlite"
    parameters = {
        "words": words.for_posts(terms, is_sqlite=is_sqlite),
        "words_of_people": words.for_people(terms, is_sqlite=is_sqlite),
        "viewer_id": viewer_id or 0,
        "before": before,
        "name": terms[0].name,
    }
    only_public = viewer_id is None
    posts = statements.among(_posts(is_sqlite, most + 1, only_public), only_public=only_public)
    asked = (posts, _people(is_sqlite)) if with_people else (posts,)
    rows, *people = await execute_together(db, parameters, *asked)
    return timeline.of_rows(rows, most), [FoundPerson(*row) for found in people for row in found]


async def forget(db: AsyncSession, *, is_first: bool) -> bool:
    """Removes words from SQLite's indexes that no text contains any more, a little at a time; returns whether there is
    more to do.

    An index only records that a word is gone until its parts are merged. PostgreSQL keeps the words with the rows.
    """
    if db.get_bind().dialect.name != "sqlite":
        return False
    is_more = False
    for name in ("post_words", "person_words"):
        before = (await execute(db, _CHANGES)).scalar_one()
        pages = -MERGED_PAGES if is_first else MERGED_PAGES  # in FTS5's own notation
        await execute(db, text(f"INSERT INTO {name} ({name}, rank) VALUES ('merge', {pages})"))
        is_more |= (await execute(db, _CHANGES)).scalar_one() - before >= 2
    return is_more


@cache
def _posts(is_sqlite: bool, most: int, only_public: bool) -> TextualSelect:
    statement = text(_POSTS[is_sqlite].format(visible=_VISIBLE[only_public], newest=NEWEST, most=most))
    kinds: dict[str, Any] = {"words": String, "before": BigInteger} | ({} if only_public else {"viewer_id": Integer})
    return statement.bindparams(*(bindparam(name, type_=kind) for name, kind in kinds.items())).columns(id=BigInteger)


@cache
def _people(is_sqlite: bool) -> TextualSelect:
    statement = text(_PEOPLE.format(matching=_MATCHING[is_sqlite]))
    kinds = {"words_of_people": String, "viewer_id": Integer, "name": String}
    found = {"id": Integer, "username": String, "about_me": String, "picture": Integer, "is_followed": Boolean}
    return statement.bindparams(*(bindparam(name, type_=kind) for name, kind in kinds.items())).columns(**found)
