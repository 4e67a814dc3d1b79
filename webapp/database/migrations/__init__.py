"""The database's history, for `python -m webapp migrate`."""

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import NamedTuple

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection

from webapp.database.engine import Database
from webapp.settings.database_url import sqlite_file

HEAD = "head"
MOVING = "moving "  # the revision while `move` fills a database, so that no site starts on it


class Step(NamedTuple):
    """One change of the schema; `is_back` if it undoes one."""

    revision: str
    words: str
    is_back: bool


def config(database_url: str) -> Config:
    """Alembic's configuration for a database, without an alembic.ini."""
    alembic = Config()
    alembic.set_main_option("script_location", str(Path(__file__).parent))
    alembic.set_main_option("path_separator", "os")
    alembic.attributes["database_url"] = database_url
    return alembic


def upgrade(database_url: str) -> None:
    """Brings the database to the newest revision; does nothing if it is there. Not from a running event loop."""
    command.upgrade(config(database_url), HEAD)


def newest() -> str:
    """The revision that the code expects."""
    return ScriptDirectory.from_config(config("")).get_current_head() or ""


def steps(database_url: str, to: str = HEAD) -> list[Step]:
    """What it would take to get to a revision. Raises CommandError if there is no way."""
    script = ScriptDirectory.from_config(config(database_url))
    found = script.get_revision(to) if to else None
    if found is None:
        raise CommandError(f"Can't locate revision identified by '{to}'")
    file = sqlite_file(database_url)
    there = None if file and not file.exists() else asyncio.run(_current(database_url))
    if there and there != script.get_revision(there).revision:  # which raises if it is not known
        raise CommandError(f"Can't locate revision identified by '{there}'")
    below = [one.revision for one in script.iterate_revisions(found.revision, "base")]
    is_back = bool(there) and there not in below
    ends = (there, found.revision) if is_back else (found.revision, there)
    ways = [Step(one.revision, one.doc, is_back) for one in script.iterate_revisions(*ends)]
    return ways if is_back else ways[::-1]


def go(database_url: str, to: str) -> list[Step]:
    """Migrates to a revision, all in one transaction."""
    ways = steps(database_url, to)
    if ways:
        (command.downgrade if ways[0].is_back else command.upgrade)(config(database_url), to)
    return ways


async def version(connection: AsyncConnection) -> str | None:
    """A database's revision; None if it has none yet."""
    return await connection.run_sync(_version)


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


async def _current(database_url: str) -> str | None:
    async with aclosing(Database(database_url, is_patient=True)) as database, database.engine.connect() as connection:
        return await version(connection)
