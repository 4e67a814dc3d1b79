"""Imports people, posts and follows from the tutorial's own application, out of its `app.db`.

People who can't be imported are left out with everything of theirs, and named. What is already here stays, so an
interrupted import can be run again, also with an `app.db` that has been fixed.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts import users
from webapp.accounts.models import User
from webapp.clock import moment_in, now
from webapp.database import Database, execute, table
from webapp.i18n import gettext as _
from webapp.i18n import ngettext, number
from webapp.imports import bulk, import_users, tutorial_db
from webapp.imports.import_users import NewAccount, TakenNames
from webapp.imports.tutorial_db import Row, Source
from webapp.logs import say
from webapp.people import follows
from webapp.people.models import Follow
from webapp.posts import posts, text
from webapp.posts.posts import ImportedPost
from webapp.preferences.forms import ABOUT_ME_LENGTH, few_lines
from webapp.settings import Settings
from webapp.web import words

_users = table(User)


@dataclass
class ImportReport:
    """The result: how many are new, how many were here already, and what was left out for which reason."""

    new: Counter[str] = field(default_factory=Counter)
    here: Counter[str] = field(default_factory=Counter)
    people: dict[int, str] = field(default_factory=dict)  # who was left out, by their number there
    posts: Counter[str] = field(default_factory=Counter)
    lost: Counter[int] = field(default_factory=Counter)  # posts, by whose they are
    without_password: list[str] = field(default_factory=list)


class ImportedPerson(NamedTuple):
    """Somebody who is here now."""

    id: int
    created_at: datetime


def run(settings: Settings, file: Path) -> None:
    """Imports what it can while the site runs, and says what it couldn't. Raises Refused."""
    source = tutorial_db.read(file)
    report = asyncio.run(_import(settings, source))
    for line in _lines(source, report):
        say(line)


async def _import(settings: Settings, source: Source) -> ImportReport:
    report = ImportReport()
    async with aclosing(Database(settings.database_url, is_patient=True)) as database:
        async with database.session() as db:
            taken = await TakenNames.read(db, settings)
        names = await _take_people(database, settings, source, taken, report)
        people = await _numbers(database, names)
        await _take_posts(database, source, people, report)
        await _take_follows(database, source, people, report)
    return report


async def _take_people(
    database: Database, settings: Settings, source: Source, taken: TakenNames, report: ImportReport
) -> dict[int, str]:
    """Adds those who are new; returns the lower-case usernames of all who are here, by their number there."""
    names, accounts, before, first = {}, [], dict(taken.emails_by_name), _first_posts(source)
    for row in source.people:
        try:
            account = _account(row, settings, first.get(row["id"]), report)
            if before.get(account.username_key) == account.email:
                report.here["people"] += 1
            else:
                taken.take(account)
                accounts.append(account)
            names[row["id"]] = account.username_key
        except ValueError as refused:
            report.people[row["id"]] = str(refused)
    await import_users.add_in_turns(database, accounts)
    report.new["people"] = len(accounts)
    return names


def _account(row: Row, settings: Settings, first_post: datetime | None, report: ImportReport) -> NewAccount:
    """Raises ValueError. A password that can't be checked here is left out."""
    username, about = str(row["username"] or "").strip(), words.made_readable(few_lines(str(row.get("about_me") or "")))
    account = import_users.account_of(username, str(row["email"] or ""), users.NO_PASSWORD, settings.mail_local_domains)
    seen = _moment(row.get("last_seen"))
    since = min(filter(None, (first_post, seen)), default=now())
    profile = {
        "about_me": about[:ABOUT_ME_LENGTH],
        "created_at": since,
        "last_seen_at": seen,
        "language": settings.languages[0],
        "is_public": False,  # there, only members could read anything
    }
    try:
        password_hash = import_users.kept_hash(str(row["password_hash"] or ""))
    except ValueError:
        report.without_password.append(username)
        password_hash = users.NO_PASSWORD
    return account._replace(password_hash=password_hash, profile=profile)


def _first_posts(source: Source) -> dict[int, datetime]:
    first: dict[int, datetime] = {}
    for row in source.posts:
        if (when := _moment(row["timestamp"])) and when < first.get(row["user_id"], now()):
            first[row["user_id"]] = when
    return first


def _moment(text: object) -> datetime | None:
    """A time as SQLAlchemy writes it into SQLite."""
    try:
        return moment_in(text)
    except ValueError:
        return None


async def _numbers(database: Database, names: dict[int, str]) -> dict[int, ImportedPerson]:
    async with database.session() as db:
        rows = await execute(db, select(_users.c.username_key, _users.c.id, _users.c.created_at))
        found = {key: ImportedPerson(number, created_at) for key, number, created_at in rows}
    return {number: found[key] for number, key in names.items() if key in found}


async def _take_posts(
    database: Database, source: Source, people: dict[int, ImportedPerson], report: ImportReport
) -> None:
    written = []
    for row in source.posts:
        author, when = people.get(row["user_id"]), _moment(row["timestamp"])
        try:
            if author is None:
                report.lost[row["user_id"]] += 1
                continue
            body = text.clean(str(row["body"] or ""))
            written.append(ImportedPost(author.id, body, when or author.created_at))
        except ValueError as refused:
            report.posts[str(refused)] += 1
    written.sort(key=lambda post: post.created_at)  # timelines go by number

    async def add(db: AsyncSession, some: Sequence[ImportedPost]) -> None:
        report.new["posts"] += await posts.add_all(db, some)

    await bulk.in_turns(database, written, add)
    report.here["posts"] = len(written) - report.new["posts"]


async def _take_follows(
    database: Database, source: Source, people: dict[int, ImportedPerson], report: ImportReport
) -> None:
    pairs = [(people[one], people[other]) for one, other in source.pairs if one in people and other in people]
    rows = [(one.id, other.id, max(one.created_at, other.created_at)) for one, other in pairs if one != other]
    before = await _follows(database)
    await bulk.in_turns(database, rows, follows.follow_all)
    report.new["follows"] = await _follows(database) - before
    report.here["follows"] = len(rows) - report.new["follows"]


async def _follows(database: Database) -> int:
    async with database.session() as db:
        return (await execute(db, select(func.count()).select_from(table(Follow)))).scalar_one()


def _lines(source: Source, report: ImportReport) -> Iterator[str]:
    yield _("Imported %(counted)s.") % {"counted": _counted(report.new)}
    if any(report.here.values()):
        yield _("Here already: %(counted)s.") % {"counted": _counted(report.here)}
    if report.without_password:
        words = _("Without a password, because theirs can't be checked here: %(names)s.")
        yield words % {"names": ", ".join(report.without_password)}
    for person, why in report.people.items():
        lost = report.lost[person]
        with_them = " " + _("With them %(counted)s.") % {"counted": _number(lost, "posts")} if lost else ""
        yield _("Left out: %(what)s.") % {"what": why} + with_them
    for why, count in report.posts.items():
        yield _("Left out: %(what)s.") % {"what": _number(count, "posts")} + f" {why}"
    if orphans := sum(count for number, count in report.lost.items() if number not in report.people):
        yield _("Left out: %(counted)s of people who are not in app.db.") % {"counted": _number(orphans, "posts")}
    if lost := len(source.pairs) - report.new["follows"] - report.here["follows"]:
        yield _("Left out: %(counted)s of people who are not here.") % {"counted": _number(lost, "follows")}
    for name, count in source.others.items():
        if count:
            what = _("Left out: %(what)s.") % {"what": f"{number(count)} {name if count == 1 else f'{name}s'}"}
            yield what + " " + _("There is nothing of the kind here.")
    if report.people:
        yield _("Fix their names or addresses in a copy of app.db and run this again: it adds what is missing.")


def _counted(counts: Counter[str]) -> str:
    people, written, pairs = (_number(counts[kind], kind) for kind in ("people", "posts", "follows"))
    return _("%(people)s, %(posts)s and %(follows)s") % {"people": people, "posts": written, "follows": pairs}


def _number(count: int, kind: str) -> str:
    words = {
        "people": ngettext("%(count)s person", "%(count)s people", count),
        "posts": ngettext("%(count)s post", "%(count)s posts", count),
        "follows": ngettext("%(count)s follow", "%(count)s follows", count),
    }
    return words[kind] % {"count": number(count)}
