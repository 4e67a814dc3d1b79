"""Posts and follows out of an archive, ours or Mastodon's, for an account that is here.

What is here already stays as it is, so an interrupted import can be run again.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts import users
from webapp.accounts.models import User
from webapp.database import Database, execute, now, table
from webapp.imports import Refused, bulk, reading
from webapp.imports.reading import Archive, Unreadable
from webapp.people import follows
from webapp.people.models import Follow
from webapp.posts import posts
from webapp.posts.posts import Written
from webapp.settings import Settings

_users, _follows = table(User), table(Follow)


@dataclass(frozen=True)
class Report:
    """What became of it."""

    posts: int
    follows: int
    unknown: Sequence[str]  # whom nobody here is called


def run(settings: Settings, name: str, file: Path) -> int:
    """Brings in what it can while the site runs, and says what it couldn't. Raises Refused."""
    try:
        archive = reading.read(settings, file)
    except Unreadable as refused:
        raise Refused(f"{file.name}: {refused} Nothing was imported.") from None
    for line in _lines(archive, asyncio.run(_import(settings, name, archive))):
        print(line)
    return 0


async def _import(settings: Settings, name: str, archive: Archive) -> Report:
    database = Database(settings.database_url, is_patient=True)
    try:
        async with database.session() as db:
            user = await users.find_typed(db, name)
        if user is None or user.disabled_at is not None:
            raise Refused(f"Nobody who can log in here has the username or email '{name}'.")
        written = [Written(user.id, post.body, post.created_at) for post in archive.posts]
        return Report(await _add(database, written), *await _follow(database, user, archive.following))
    finally:
        await database.close()


async def _add(database: Database, written: Sequence[Written]) -> int:
    added = 0

    async def add(db: AsyncSession, some: Sequence[Written]) -> None:
        nonlocal added
        added += await posts.import_all(db, some)

    await bulk.in_turns(database, written, add)
    return added


async def _follow(database: Database, user: User, names: Sequence[str]) -> tuple[int, list[str]]:
    keys = {name.lower(): name for name in names}
    async with database.session() as db:
        rows = await execute(db, select(_users.c.username_key, _users.c.id, _users.c.disabled_at))
        here = {key: number for key, number, disabled_at in rows if key in keys and disabled_at is None}
        before = await _count(db, user.id)
    pairs: list[tuple[int, int, datetime]] = [(user.id, number, now()) for number in here.values()]
    await bulk.in_turns(database, pairs, follows.follow_all)
    async with database.session() as db:
        return await _count(db, user.id) - before, sorted(keys[key] for key in keys.keys() - here.keys())


async def _count(db: AsyncSession, user_id: int) -> int:
    query = select(func.count()).select_from(_follows).where(_follows.c.follower_id == user_id)
    return (await execute(db, query)).scalar_one()


def _lines(archive: Archive, report: Report) -> Iterator[str]:
    here = len(archive.posts) - report.posts
    yield f"{report.posts:,} posts are new, {here:,} were here already. {report.follows:,} follows are new."
    for reason, count in archive.left_out.most_common():
        yield f"Left out: {count:,}: {reason}"
    if report.unknown:
        yield f"Not followed, because nobody here is called so: {_printable(', '.join(report.unknown[:50]))}"


def _printable(text: str) -> str:
    """An archive may be anybody's; none of it may drive the admin's terminal."""
    return "".join(character if character.isprintable() else "?" for character in text[:2000])
