"""Write a post or a reply, edit it, delete it, undo that."""

import hashlib
import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Boolean, ColumnElement, case, func, insert, null, select, type_coerce, update
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts.models import User
from webapp.database import execute, now, recent, table
from webapp.notifications import batching
from webapp.people import blocks
from webapp.posts import text
from webapp.posts.models import Mention, Post
from webapp.posts.statements import is_news
from webapp.posts.timeline import Card
from webapp.settings import Settings

EDITABLE = timedelta(minutes=10)
UNDO = timedelta(seconds=10)
UNDO_GRACE = timedelta(seconds=5)  # for a button pressed at the last moment, on a slow connection
KEPT_WHEN_DELETED = timedelta(hours=1)
MOST_MENTIONED = 10
_IMPORTS = 0x1A4C  # the lock under which imported posts get their numbers

_posts = table(Post)
_mentions = table(Mention)
_users = table(User)


async def write(db: AsyncSession, settings: Settings, author_id: int, body: str, answered: Card | None = None) -> int:
    """Adds a post with a clean body, and posts emails to those it mentions. Returns its number.

    A reply to a reply belongs to the same thread. It mentions the person it answers, whatever it says.
    """
    created_at = now()
    post_id, people = await _add(db, author_id, body, created_at, answered)
    await _tell(db, settings, author_id, people, created_at)
    return post_id


async def edit(db: AsyncSession, settings: Settings, author_id: int, post_id: int, body: str) -> bool:
    """Gives a person's own post another clean body; False if it is too late. Nobody is told of it a second time."""
    moment = now()
    changed = update(_posts).where(*_editable(author_id, post_id)).values(body=body, edited_at=moment)
    if not (await execute(db, changed)).rowcount:
        return False
    people = await _mentioned(db, author_id, text.mentioned(body))
    known = await _end_and_resume(db, post_id, {person.id for person in people}, moment)
    new = [person for person in people if person.id not in known]
    await _note_mentions(db, post_id, new, moment)
    await _tell(db, settings, author_id, new, moment)
    return True


async def editable(db: AsyncSession, author_id: int, post_id: int) -> str | None:
    """The text of a person's own post, while it can be edited."""
    found = await execute(db, select(_posts.c.body).where(*_editable(author_id, post_id)))
    return found.scalar_one_or_none()


async def is_own(db: AsyncSession, author_id: int, post_id: int, *, even_gone: bool = False) -> bool:
    """Whether a post is a person's own, and visible; or `even_gone`, deleted a short while ago or removed."""
    theirs = _posts.c.id == post_id, _posts.c.author_id == author_id
    which = theirs if even_gone else (*_own(author_id, post_id), _posts.c.deleted_at.is_(None))
    return (await execute(db, select(_posts.c.id).where(*which))).first() is not None


async def add(db: AsyncSession, author_id: int, body: str, created_at: datetime | None = None) -> int:
    """Adds a post written at a given time. No limit applies, and nobody is told."""
    return (await _add(db, author_id, body, created_at or now()))[0]


class ImportedPost(NamedTuple):
    """A post that was written elsewhere, with a clean body."""

    author_id: int
    body: str
    created_at: datetime

    @property
    def digest(self) -> bytes:
        """Of another such post, it is another one."""
        told = f"{self.author_id} {self.created_at.astimezone(UTC).isoformat()} {self.body}"
        return hashlib.sha256(told.encode()).digest()[:16]


async def add_all(db: AsyncSession, written: Sequence[ImportedPost]) -> int:
    """Adds posts in their order, except those already here; returns how many. Nobody is told."""
    new = await _not_here(db, written)
    await _insert(db, [{} for _each in new], new)
    return len(new)


async def import_all(db: AsyncSession, written: Sequence[ImportedPost], room: int | None = None) -> tuple[int, int]:
    """Adds posts that a person brings along, newest first, except those already here; returns how many, and how many
    more there are than there is room for.

    Nobody is told, and they are no news in any timeline: see `Post`.
    """
    digests = {each.digest: each for each in written}
    brought = await execute(db, select(_posts.c.import_digest).where(_posts.c.import_digest.in_(digests)))
    known = set(brought.scalars())
    unknown = await _not_here(db, [each for digest, each in digests.items() if digest not in known], is_news())
    if unknown and db.get_bind().dialect.name == "postgresql":
        await execute(db, select(func.pg_advisory_xact_lock(_IMPORTS)))  # SQLite has one writer anyway
    last: int = (await execute(db, select(func.coalesce(func.min(_posts.c.id), 0)))).scalar_one()
    numbers = itertools.count(min(last, 0) - 1, -1)
    new = unknown[:room]
    await _insert(db, [{"id": next(numbers), "import_digest": each.digest} for each in new], new)
    return len(new), len(unknown) - len(new)


async def imported(db: AsyncSession, author_id: int) -> int:
    """How many posts a person has brought along."""
    return (await execute(db, select(func.count()).where(_posts.c.author_id == author_id, ~is_news()))).scalar_one()


async def _not_here(db: AsyncSession, some: Sequence[ImportedPost], *which: ColumnElement[bool]) -> list[ImportedPost]:
    """Reads only posts that are like them."""
    columns, wanted = [_posts.c[name] for name in ImportedPost._fields], dict.fromkeys(some)
    alike = [column.in_({each[place] for each in wanted}) for place, column in enumerate(columns)]
    here = {ImportedPost(*row) for row in await execute(db, select(*columns).where(*alike, *which))}
    return [each for each in wanted if each not in here]


async def _insert(db: AsyncSession, own: Sequence[Mapping[str, object]], new: Sequence[ImportedPost]) -> None:
    """Adds posts, each with values of its own."""
    if new:
        rows = [{**each._asdict(), "removed_because": "", **more} for each, more in zip(new, own, strict=True)]
        added = insert(_posts).returning(_posts.c.id, sort_by_parameter_order=True)
        await _note_imported_mentions(db, zip((await execute(db, added, rows)).scalars(), new, strict=True))


async def delete(db: AsyncSession, author_id: int, post_id: int) -> bool:
    """Hides a person's own post; returns whether there was one. It is gone for good a while later."""
    hidden = update(_posts).where(*_own(author_id, post_id), _posts.c.deleted_at.is_(None)).values(deleted_at=now())
    return bool((await execute(db, hidden)).rowcount)


async def restore(db: AsyncSession, author_id: int, post_id: int) -> bool:
    """Brings back a post its author has just deleted; False if it is too late."""
    restored = update(_posts).where(*_restorable(author_id, post_id)).values(deleted_at=None)
    return bool((await execute(db, restored)).rowcount)


async def is_restorable(db: AsyncSession, author_id: int, post_id: int) -> bool:
    found = await execute(db, select(_posts.c.id).where(*_restorable(author_id, post_id)))
    return found.first() is not None


def _own(author_id: int, post_id: int) -> tuple[ColumnElement[bool], ...]:
    """A person's own post, even if deleted, unless an admin has removed it."""
    return _posts.c.id == post_id, _posts.c.author_id == author_id, _posts.c.removed_at.is_(None)


def _editable(author_id: int, post_id: int) -> tuple[ColumnElement[bool], ...]:
    return *_own(author_id, post_id), _posts.c.deleted_at.is_(None), recent(_posts.c.created_at, EDITABLE)


def _restorable(author_id: int, post_id: int) -> tuple[ColumnElement[bool], ...]:
    return *_own(author_id, post_id), recent(_posts.c.deleted_at, UNDO + UNDO_GRACE)


class _Person(NamedTuple):
    id: int
    name: str
    address: str
    language: str
    is_notified: bool  # false if they muted the author, or either blocked the other


async def _add(
    db: AsyncSession, author_id: int, body: str, created_at: datetime, answered: Card | None = None
) -> tuple[int, list[_Person]]:
    row: dict[str, Any] = {"author_id": author_id, "body": body, "created_at": created_at, "removed_because": ""}
    if answered:
        row["reply_to_id"] = answered.reply_to_id or answered.id
    post_id: int = (await execute(db, insert(_posts).values(row).returning(_posts.c.id))).scalar_one()
    answers = answered.author_id if answered else None
    people = await _mentioned(db, author_id, text.mentioned(body), answers)
    await _note_mentions(db, post_id, people, created_at, answers)
    return post_id, people


async def _note_mentions(
    db: AsyncSession, post_id: int, people: Iterable[_Person], moment: datetime, answers: int | None = None
) -> None:
    ids = [each.id for each in people]
    rows = [{"post_id": post_id, "user_id": each, "is_reply": each == answers, "created_at": moment} for each in ids]
    if rows:
        await execute(db, insert(_mentions), rows)


async def _end_and_resume(db: AsyncSession, post_id: int, named: Collection[int], moment: datetime) -> set[int]:
    """Ends the mentions that an edit took out, and resumes those it put back; returns everybody ever mentioned."""
    is_meant = _mentions.c.user_id.in_(named) | _mentions.c.is_reply
    until = case((is_meant, null()), else_=func.coalesce(_mentions.c.ended_at, moment))
    changed = update(_mentions).where(_mentions.c.post_id == post_id).values(ended_at=until)
    return set((await execute(db, changed.returning(_mentions.c.user_id))).scalars())


async def _tell(
    db: AsyncSession, settings: Settings, author_id: int, people: Collection[_Person], since: datetime
) -> None:
    """Always in the same order, so that two posts that mention the same people don't wait for each other's locks."""
    for person in sorted(people):
        if person.id != author_id and person.is_notified:
            await batching.tell(
                db, settings, "mention", person.address, user_id=person.id, language=person.language, since=since
            )


async def _note_imported_mentions(db: AsyncSession, added: Iterable[tuple[int, ImportedPost]]) -> None:
    posts = dict(added)
    names = {post_id: text.mentioned(post.body) for post_id, post in posts.items()}
    wanted = {name for of_post in names.values() for name in of_post}
    query = select(_users.c.username_key, _users.c.id).where(_users.c.username_key.in_(wanted))
    found: dict[str, int] = dict([tuple(row) for row in await execute(db, query)]) if wanted else {}
    people = {post_id: [found[name] for name in of_post if name in found] for post_id, of_post in names.items()}
    rows = [
        {"post_id": post_id, "user_id": each, "is_reply": False, "created_at": posts[post_id].created_at}
        for post_id in people
        for each in people[post_id][:MOST_MENTIONED]
    ]
    if rows:
        await execute(db, insert(_mentions), rows)


async def _mentioned(db: AsyncSession, author_id: int, names: list[str], answers: int | None = None) -> list[_Person]:
    """The person that a reply answers, and the first few names in the text that belong to somebody."""
    if not names and answers is None:
        return []
    query = _PEOPLE.where(_users.c.username_key.in_(names) | (_users.c.id == answers), _users.c.disabled_at.is_(None))
    people = [_Person(*row) for row in await execute(db, query, {"author_id": author_id})]
    order = {name: place for place, name in enumerate(names)}
    return sorted(people, key=lambda one: -1 if one.id == answers else order[one.name])[:MOST_MENTIONED]


_PEOPLE = select(
    _users.c.id,
    _users.c.username_key,
    _users.c.email,
    _users.c.language,
    type_coerce(blocks.not_hidden(":author_id", viewer="user_account.id"), Boolean),
)
