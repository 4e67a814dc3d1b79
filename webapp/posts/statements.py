"""What timelines ask the database, made once: which posts, in which order, and how many are new."""

from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    TextClause,
    TextualSelect,
    bindparam,
    case,
    func,
    literal_column,
    select,
    text,
    tuple_,
)

from webapp.accounts.models import User
from webapp.database import table
from webapp.people import blocks
from webapp.people.models import Follow
from webapp.posts.models import Mention, Post

Query = Select[*tuple[Any, ...]]

MOST_NEWS = 100
MOST_SCANNED = 2000

_posts = table(Post)
_users = table(User)
_follows = table(Follow)
_mentions = table(Mention)


def shown() -> tuple[ColumnElement[bool], ...]:
    return _posts.c.deleted_at.is_(None), _posts.c.removed_at.is_(None)


# What may be brought up for a stranger, or for a member, who is the statement's `viewer_id`; what they may go to on
# purpose; and whom a mention may lead to.
Condition = ColumnElement[bool] | TextClause
_SUGGESTED: dict[bool, Condition] = {True: _users.c.is_public, False: blocks.not_hidden("post.author_id")}
_OPENED: dict[bool, Condition] = {True: _users.c.is_public, False: blocks.not_blocked("post.author_id")}
_people = _users.alias("mentioned")
_LINKED: dict[bool, Condition] = {True: _people.c.is_public, False: blocks.not_hidden("mentioned.id")}


def is_news() -> ColumnElement[bool]:
    """The SQL condition that a post wasn't imported."""
    return _posts.c.id > literal_column("0", Integer)


def _number_of_rows(most: int) -> ColumnElement[int]:
    """Written into the statement: for a parameter, PostgreSQL would make a plan that fits any number, and few rows
    badly.
    """
    return literal_column(str(most), Integer)


@cache
def _cards(*, only_public: bool, links_public: bool = False) -> Query:
    """Posts, each with the usernames it mentions, except those of people the viewer doesn't see; with `links_public`
    also without those that strangers don't see.

    By itself it shows all posts. Which ones a viewer sees is up to the statements below.
    """
    named = select(func.aggregate_strings(_people.c.username_key, " "))
    named = named.join_from(_mentions, _people, _mentions.c.user_id == _people.c.id)
    named = named.where(_mentions.c.post_id == _posts.c.id, _people.c.disabled_at.is_(None), _LINKED[only_public])
    if links_public:
        named = named.where(_LINKED[True])
    columns = _posts.c.id, _posts.c.author_id, _users.c.username, _users.c.is_public, _posts.c.body, _posts.c.created_at
    return (
        select(
            *columns, _users.c.picture, _posts.c.edited_at, _posts.c.reply_to_id, named.scalar_subquery().label("names")
        )
        .join_from(_posts, _users, _posts.c.author_id == _users.c.id)
        .where(*shown(), _users.c.disabled_at.is_(None))
    )


def _floor(least: ColumnElement[int]) -> Select[int]:
    """The number that posts must be above to be looked through: `least`, or else a higher one, so that they are few.

    Of two such conditions, SQLite begins with one and checks the other for every post.
    """
    floor = func.max(_posts.c.id) - MOST_SCANNED
    return select(case((floor > least, floor), else_=least).label("floor"))


FLOOR = _floor(literal_column("0", BigInteger)).where(_posts.c.id < bindparam("before"))
WRITERS = (
    select(_users.c.id, _users.c.username, _users.c.about_me, _users.c.picture, _users.c.created_at)
    .join_from(_posts, _users, _posts.c.author_id == _users.c.id)
    .where(*shown(), _posts.c.id > _floor(literal_column("0", BigInteger)).scalar_subquery())
    .where(_users.c.disabled_at.is_(None), _users.c.id != bindparam("user_id"))
    .where(
        ~select(_follows.c.followed_id)
        .where(_follows.c.follower_id == bindparam("user_id"), _follows.c.followed_id == _users.c.id)
        .exists(),
        blocks.not_hidden("user_account.id", ":user_id"),
    )
    .order_by(_posts.c.id.desc())
    .limit(_number_of_rows(MOST_NEWS))
)
NEWS_TO_EXPLORE = select(func.count()).select_from(
    select(_posts.c.id)
    .join_from(_posts, _users, _posts.c.author_id == _users.c.id)
    .where(*shown(), _users.c.disabled_at.is_(None))
    .where(_posts.c.id > _floor(bindparam("after", type_=BigInteger)).scalar_subquery())
    .where(_posts.c.author_id != bindparam("user_id"))
    .where(blocks.not_hidden("post.author_id", ":user_id"))
    .order_by(_posts.c.id.desc())  # or PostgreSQL may read all posts
    .limit(_number_of_rows(MOST_NEWS))
    .subquery()
)


# The newest posts of some authors, before or after a number: between two, PostgreSQL would expect so few that it
# looks through all posts between them. Each author's few newest are read from the index, and the newest of those are
# taken: the work is bounded by the people one follows, be they silent or busy, and grows neither with all people nor
# with all posts. SQLite has no LATERAL, but makes a table of what such a subquery gathers.
_NEWEST = """
    SELECT {number} AS id FROM ({authors}) AS author CROSS JOIN {theirs} ORDER BY {number} DESC LIMIT {most}
"""
_THEIRS = """
    SELECT id FROM post WHERE author_id = author.id AND deleted_at IS NULL AND removed_at IS NULL
    AND id > 0 AND {bound} ORDER BY id DESC LIMIT {most}
"""
# Not a join, because a planner may then read all people.
_FOLLOWED = f"""
    SELECT followed_id AS id FROM follow
    WHERE follower_id = :user_id AND (SELECT disabled_at FROM user_account WHERE id = followed_id) IS NULL
    AND {blocks.not_hidden("follow.followed_id", ":user_id").text}
"""
_FOLLOWED_AND_ONESELF = f"{_FOLLOWED} UNION ALL SELECT CAST(:user_id AS INTEGER)"


def _newest(is_sqlite: bool, authors: str, bound: str, most: int) -> TextualSelect:
    theirs = _THEIRS.format(bound=bound, most=most)
    if is_sqlite:
        number, theirs = "found.value", f"json_each((SELECT json_group_array(id) FROM ({theirs}))) AS found"
    else:
        number, theirs = "found.id", f"LATERAL ({theirs}) AS found"
        authors = f"{authors} OFFSET 0"  # or PostgreSQL may not begin with them
    statement = _NEWEST.format(number=number, authors=authors, theirs=theirs, most=most)
    numbers = [bindparam(name, type_=BigInteger) for name in ("user_id", bound.partition(":")[2])]
    return text(statement).bindparams(*numbers).columns(id=BigInteger)


@cache
def home(is_sqlite: bool, most: int) -> Query:
    newest = _newest(is_sqlite, _FOLLOWED_AND_ONESELF, "id < :before", most)
    return _cards(only_public=False).where(_posts.c.id.in_(newest)).order_by(_posts.c.id.desc())


@cache
def one(*, only_public: bool) -> Query:
    return _cards(only_public=only_public).where(_posts.c.id == bindparam("post_id"), _OPENED[only_public])


def among(numbers: TextualSelect, *, only_public: bool) -> Query:
    """The posts found by a statement that already knows what the viewer may see."""
    found = _posts.c.id.in_(numbers), _SUGGESTED[only_public]
    return _cards(only_public=only_public).where(*found).order_by(_posts.c.id.desc())


# Where a page ends however little of it can be seen: nothing hidden makes it dearer.
_EARLIER_MENTIONS = (
    _mentions.c.user_id == bindparam("viewer_id", type_=Integer),
    _mentions.c.post_id < bindparam("before", type_=BigInteger),
)
END_OF_MENTIONS = (
    (select(_mentions.c.post_id.label("id")).where(*_EARLIER_MENTIONS).order_by(_mentions.c.post_id.desc()))
    .offset(_number_of_rows(MOST_SCANNED))
    .limit(_number_of_rows(1))
)
_LATER_REPLIES = (
    _posts.c.reply_to_id == bindparam("post_id", type_=BigInteger),
    _posts.c.id > bindparam("after", type_=BigInteger),
)
END_OF_REPLIES = (
    (select(_posts.c.id).where(*_LATER_REPLIES).order_by(_posts.c.id))
    .offset(_number_of_rows(MOST_SCANNED))
    .limit(_number_of_rows(1))
)


@cache
def about(most: int) -> Query:
    """Others' posts that mention the viewer, each with the time since which it does."""
    mine = _mentions.c.ended_at.is_(None), _mentions.c.post_id > func.coalesce(END_OF_MENTIONS.scalar_subquery(), 0)
    query = _cards(only_public=False).join(_mentions, _mentions.c.post_id == _posts.c.id)
    query = query.add_columns(_mentions.c.created_at.label("mentioned_at"))
    of_others = _posts.c.author_id != bindparam("viewer_id", type_=Integer), is_news(), _SUGGESTED[False]
    return (
        query.where(*_EARLIER_MENTIONS, *mine, *of_others)
        .order_by(_mentions.c.post_id.desc())
        .limit(_number_of_rows(most))
    )


@cache
def replies(most: int, *, only_public: bool) -> Query:
    before = _posts.c.id < func.coalesce(END_OF_REPLIES.scalar_subquery(), literal_column(str(2**63 - 1), BigInteger))
    query = _cards(only_public=only_public).where(*_LATER_REPLIES, before, _SUGGESTED[only_public])
    return query.order_by(_posts.c.id).limit(_number_of_rows(most))


@cache
def of(most: int, *, is_first: bool, only_public: bool, links_public: bool) -> Query:
    """One person's posts by date, because imported ones are older than their numbers."""
    theirs, order = _posts.c.author_id == bindparam("author_id"), (_posts.c.created_at.desc(), _posts.c.id.desc())
    newest = _cards(only_public=only_public, links_public=links_public).where(theirs, _OPENED[only_public])
    newest = newest.order_by(*order).limit(_number_of_rows(most))
    if is_first:
        return newest
    # Only theirs: any other number, such as of a post that is hidden from the viewer, must not tell when that was.
    last = select(_posts.c.created_at).where(theirs, _posts.c.id == bindparam("before"))
    # The last post of the previous page may be gone by now.
    beside = select(_posts.c.created_at).where(theirs, _posts.c.id < bindparam("before"))
    when = func.coalesce(
        last.scalar_subquery(), beside.order_by(_posts.c.id.desc()).limit(_number_of_rows(1)).scalar_subquery()
    )
    return newest.where(tuple_(_posts.c.created_at, _posts.c.id) < tuple_(when, bindparam("before")))


@cache
def earlier(most: int, *, only_public: bool) -> Query:
    """Everybody's, each with the FLOOR that they were looked for above."""
    floor = FLOOR.scalar_subquery()
    between = _posts.c.id < bindparam("before"), _posts.c.id > floor, _SUGGESTED[only_public]
    query = _cards(only_public=only_public).add_columns(floor.label("floor")).where(*between)
    return query.order_by(_posts.c.id.desc()).limit(_number_of_rows(most))


@cache
def news_at_home(is_sqlite: bool) -> Select[int]:
    return select(func.count()).select_from(_newest(is_sqlite, _FOLLOWED, "id > :after", MOST_NEWS).subquery())
