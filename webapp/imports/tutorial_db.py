"""What the tutorial's `app.db` contains, at whatever chapter its reader stopped."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from webapp.i18n import gettext as _
from webapp.imports import Refused

# What is read of each table; the later columns and tables came with later chapters, and may be missing.
NEEDED = {"user": ("id", "username", "email", "password_hash"), "post": ("id", "body", "timestamp", "user_id")}
OPTIONAL = {"user": ("about_me", "last_seen")}
OF_LATER_CHAPTERS = ("message", "notification", "task")  # this site has nothing of the kind
Pair = tuple[int, int]
Row = dict[str, Any]


@dataclass
class Source:
    """The rows of an `app.db`; `others` counts those of tables that aren't imported."""

    people: list[Row]
    posts: list[Row]
    pairs: list[Pair]
    others: dict[str, int]


def read(file: Path) -> Source:
    """The rows of an `app.db`, opened read-only. Raises Refused if the file isn't one."""
    if not file.is_file():
        raise Refused(_("%(file)s isn't a file.") % {"file": file})
    try:
        with closing(sqlite3.connect(f"file:{quote(str(file.resolve()))}?mode=ro", uri=True)) as db:
            db.row_factory = sqlite3.Row
            db.text_factory = lambda content: content.decode(errors="replace")
            return _source(db)
    except sqlite3.Error as error:
        words = _("%(file)s can't be read as the tutorial's database: %(reason)s.")
        raise Refused(words % {"file": file, "reason": error}) from None


def _source(db: sqlite3.Connection) -> Source:
    names = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    people = _rows(db, "user")
    written = _rows(db, "post") if "post" in names else []
    pairs = db.execute("SELECT follower_id, followed_id FROM followers") if "followers" in names else ()
    others = {name: _count(db, name) for name in OF_LATER_CHAPTERS if name in names}
    return Source(people, written, [(one, other) for one, other in pairs], others)


def _rows(db: sqlite3.Connection, name: str) -> list[Row]:
    columns = {row["name"] for row in db.execute(f"PRAGMA table_info({name})")}
    if missing := [column for column in NEEDED[name] if column not in columns]:
        words = _("This is not the tutorial's app.db: it has no %(table)s with %(columns)s.")
        raise Refused(words % {"table": name, "columns": _(" and ").join(missing)})
    read = [*NEEDED[name], *(column for column in OPTIONAL.get(name, ()) if column in columns)]
    return [dict(row) for row in db.execute(f"SELECT {', '.join(read)} FROM {name} ORDER BY id")]  # noqa: S608


def _count(db: sqlite3.Connection, name: str) -> int:
    count: int = db.execute(f"SELECT count(*) FROM {name}").fetchone()[0]  # noqa: S608
    return count
