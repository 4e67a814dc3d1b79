"""Posts, follows, mutes and blocks from an archive, ours or Mastodon's, for an existing account.

What is already here stays as it is, so an interrupted import can be run again.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts import users
from webapp.archive_imports import people, reading
from webapp.archive_imports.reading import NOT_HERE, Archive, ArchivedPost
from webapp.archive_imports.zips import Unreadable
from webapp.database import Database
from webapp.i18n import gettext as _
from webapp.i18n import number
from webapp.imports import Refused, bulk
from webapp.logs import printable, say
from webapp.posts import posts
from webapp.posts.posts import ImportedPost
from webapp.settings import Settings


@dataclass
class ImportReport:
    """The result of an import."""

    posts: int = 0
    people: dict[str, int] = field(default_factory=dict)  # how many are new, of each list
    unknown: dict[str, None] = field(default_factory=dict)  # names that nobody here has


def run(settings: Settings, name: str, file: Path) -> None:
    """Brings in what it can while the site runs, and says what it couldn't. Raises Refused."""
    try:
        with file.open("rb") as opened:
            archive = reading.read(settings, opened)
    except OSError as error:
        raise Refused(_("%(file)s can't be read: %(reason)s.") % {"file": file, "reason": error.strerror}) from None
    except Unreadable as refused:
        raise Refused(f"{file.name}: {_(str(refused))} " + _("Nothing was imported.")) from None
    for line in _lines(archive, asyncio.run(_import(settings, name, archive))):
        say(line)


async def _import(settings: Settings, name: str, archive: Archive) -> ImportReport:
    report = ImportReport()
    async with aclosing(Database(settings.database_url, is_patient=True)) as database:
        async with database.session() as db:
            user = await users.find_typed(db, name)
        if user is None or user.disabled_at is not None:
            words = _("Nobody who can log in here has the username or email '%(name)s'.")
            raise Refused(words % {"name": name})
        await _add(database, report, user.id, archive.posts)
        for kind, names in archive.people.items():
            await _restore(database, report, user.id, kind, names)
    return report


async def _add(database: Database, report: ImportReport, user_id: int, written: Sequence[ArchivedPost]) -> None:
    async def add(db: AsyncSession, some: Sequence[ArchivedPost]) -> None:
        brought = [ImportedPost(user_id, post.body, post.created_at) for post in some]
        report.posts += (await posts.import_all(db, brought))[0]

    await bulk.in_turns(database, written, add)


async def _restore(database: Database, report: ImportReport, user_id: int, kind: str, names: Sequence[str]) -> None:
    async with database.session() as db:
        plan = await people.plan(db, user_id, kind, names)

    async def add(db: AsyncSession, some: Sequence[int]) -> None:
        await people.add(db, user_id, kind, some)

    await bulk.in_turns(database, plan.new, add)
    report.people[kind] = len(plan.new)
    report.unknown |= dict.fromkeys(plan.unknown)


def _lines(archive: Archive, report: ImportReport) -> Iterator[str]:
    here = len(archive.posts) - report.posts
    yield _("Posts: %(new)s new, %(here)s here already.") % {"new": number(report.posts), "here": number(here)}
    new = {kind: number(count) for kind, count in report.people.items()}
    yield _("New follows: %(following)s. New mutes: %(muted)s. New blocks: %(blocked)s.") % new
    for reason, count in archive.left_out.most_common():
        yield _("Left out: %(reason)s: %(num)s") % {"reason": _(reason), "num": number(count)}
    if report.unknown:
        names = printable(", ".join(list(report.unknown)[:50])[:2000])
        yield _("Left out: %(reason)s: %(num)s") % {"reason": _(NOT_HERE), "num": names}
