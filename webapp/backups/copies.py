"""A copy of the database at one moment, while the site keeps running."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from webapp.backups import Refused, must_be_new, postgresql
from webapp.database import refusals
from webapp.database.refusals import NoDatabase
from webapp.i18n import decimal, ngettext, number
from webapp.i18n import gettext as _
from webapp.settings.database_url import sqlite_file

PATIENCE = 60.0  # seconds to wait for a writer of SQLite


def make(database_url: str, file: Path) -> str:
    """Writes a new file that only its owner can read, checks it, and says what is in it. Raises Refused.

    The file gets its name once it is complete, so whatever collects backups never takes half of one.
    """
    must_be_new(file)
    if not sqlite_file(database_url):
        postgresql.try_out(database_url)
    try:
        with _hidden(file) as part:
            what = _written(database_url, part)
    except OSError as error:
        words = _("%(file)s can't be written: %(reason)s.")
        raise Refused(words % {"file": file, "reason": error.strerror or error}) from None
    words = _("%(file)s: %(size)s MB, checked. %(what)s")
    return words % {"file": file, "size": decimal(file.stat().st_size / 1e6), "what": what}


def _written(database_url: str, part: Path) -> str:
    if source := sqlite_file(database_url):
        _copy_sqlite(source, part)
        what = describe(part, source)
    else:
        what = postgresql.dump(database_url, part)
    _flush(part)
    return what


def describe(file: Path, original: Path | None = None) -> str:
    """What is in a SQLite file. Raises Refused if it, or what it is a copy of, is damaged or no site's."""
    named = original or file
    try:
        with closing(_open(file)) as db:
            faults = [row[0] for row in db.execute("PRAGMA integrity_check(3)")]
            if faults != ["ok"]:
                raise Refused(
                    _("%(file)s is damaged: %(faults)s.") % {"file": named, "faults": faults[0].splitlines()[-1]}
                )
            if db.execute("PRAGMA foreign_key_check").fetchone():
                raise Refused(_("%(file)s is damaged: rows point to others that are not there.") % {"file": named})
            counts = ", ".join(_counts(db))
            [version] = db.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.DatabaseError as error:
        raise Refused(
            _("%(file)s is damaged, or is not a backup of a site: %(reason)s.") % {"file": named, "reason": error}
        ) from None
    return _("%(counts)s; migration %(version)s.") % {"counts": counts, "version": version}


def _counts(db: sqlite3.Connection) -> Iterator[str]:
    people, posts, follows, emails = (
        db.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
        for name in ("user_account", "post", "follow", "outbox_email")
    )
    yield ngettext("%(num)s account", "%(num)s accounts", people) % {"num": number(people)}
    yield ngettext("%(num)s post", "%(num)s posts", posts) % {"num": number(posts)}
    yield ngettext("%(num)s follow", "%(num)s follows", follows) % {"num": number(follows)}
    yield ngettext("%(num)s email", "%(num)s emails", emails) % {"num": number(emails)}


def _copy_sqlite(source: Path, part: Path) -> None:
    """`VACUUM INTO` copies one moment into a file without a WAL: https://www.sqlite.org/lang_vacuum.html."""
    try:
        with closing(_open(source)) as db:
            db.execute("SELECT version_num FROM alembic_version")  # an empty file can be copied as well
            db.execute("VACUUM INTO ?", (str(part),))
    except sqlite3.DatabaseError as error:
        words = _("The database can't be copied: %(reason)s")
        raise Refused(words % {"reason": refusals.with_advice(error)}) from None


def _open(file: Path) -> sqlite3.Connection:
    if not file.exists():
        raise NoDatabase(file)
    return sqlite3.connect(f"{file.resolve().as_uri()}?mode=rw", uri=True, timeout=PATIENCE)


@contextmanager
def _hidden(file: Path) -> Iterator[Path]:
    """An empty file beside the backup that nobody else can read. It gets the backup's name, or is deleted."""
    part = file.with_name(f".{file.name}.part")
    _discard(part)  # left by a run that was cut short
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        yield part
        _name(part, file)
    except FileExistsError:
        raise Refused(_("%(file)s is there already; choose another name.") % {"file": file}) from None
    finally:
        _discard(part)
    _flush(file.parent)


def _name(part: Path, file: Path) -> None:
    try:
        os.link(part, file)  # unlike a rename, never over a file that appeared in the meantime
    except FileExistsError:
        raise
    except OSError:  # a memory stick, say, whose file system gives a file one name only
        must_be_new(file)
        part.rename(file)


def _discard(part: Path) -> None:
    """Deletes an unfinished copy, and the journal that SQLite leaves beside it when the disk is full."""
    for file in (part, part.with_name(f"{part.name}-journal")):
        file.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
