"""Dumps of PostgreSQL, by its own tools: https://www.postgresql.org/docs/current/app-pgdump.html."""

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from urllib.parse import parse_qsl

from sqlalchemy import make_url, text

from webapp.backups import Refused
from webapp.database import Database
from webapp.i18n import gettext as _
from webapp.i18n import ngettext
from webapp.settings import database_url


def try_out(url: str) -> None:
    """Raises what the site does with a database that can't be used: pg_dump says what is wrong, not the way out."""
    _must_be_here("pg_dump")
    asyncio.run(_find_version(url))


def dump(url: str, file: Path) -> str:
    """Writes a dump in PostgreSQL's own format, and says what is in it. Raises Refused."""
    _run("pg_dump", ["--format=custom", "--no-owner", "--no-privileges", f"--file={file}"], environment(url))
    return describe(file)


def describe(file: Path) -> str:
    """What a dump says it contains. Raises Refused if it can't be read."""
    listed = _run("pg_restore", ["--list", str(file)])
    tables = re.findall(r"TABLE DATA \S+ (\S+)", listed)
    if "user_account" not in tables:
        raise Refused(_("%(file)s is a dump of something else: it has no accounts.") % {"file": file})
    _run("pg_restore", [f"--file={os.devnull}", str(file)])  # reads all of it
    return ngettext("%(num)s table.", "%(num)s tables.", len(tables)) % {"num": len(tables)}


def restore(file: Path, url: str) -> None:
    """Fills an empty database from a dump. Raises Refused."""
    _run("pg_restore", ["--no-owner", "--no-privileges", "--exit-on-error", "--dbname=", str(file)], environment(url))


def environment(url: str) -> dict[str, str]:
    """How libpq's programs find the database: by environment variables, since anybody here can read arguments."""
    address, arguments = database_url.read(url)
    parts = make_url(address)
    hosts, ports = arguments.get("host", [parts.host]), arguments.get("port", [parts.port])
    ssl = arguments.get("ssl", "")
    said = {
        "PGHOST": ",".join(hosts),
        "PGPORT": ",".join(str(port or 5432) for port in ports),
        "PGUSER": parts.username,
        "PGPASSWORD": parts.password,
        "PGDATABASE": parts.database,
        "PGSSLMODE": "verify-full" if ssl is True else ssl,
        "PGSSLROOTCERT": "system" if ssl is True else "",
        "PGCONNECT_TIMEOUT": "10",
        **{f"PG{name.upper()}": value for name, value in parse_qsl(arguments.get("dsn", "").partition("?")[2])},
    }
    return {name: value for name, value in said.items() if value}


async def _find_version(url: str) -> None:
    async with aclosing(Database(url, is_patient=True)) as database, database.engine.connect() as connection:
        await connection.execute(text("SELECT version_num FROM alembic_version"))


def _must_be_here(program: str) -> None:
    if shutil.which(program) is None:
        raise Refused(
            _("%(program)s is not on this machine; Debian has it in postgresql-client.") % {"program": program}
        )


def _run(program: str, arguments: list[str], variables: Mapping[str, str] | None = None) -> str:
    _must_be_here(program)
    done = subprocess.run(  # noqa: S603  (our own words, and a file's name)
        [program, *arguments], env=os.environ | dict(variables or {}), capture_output=True, text=True, check=False
    )
    if done.returncode:
        words = " ".join(done.stderr.split()) or f"it ended with {done.returncode}"
        failed = _("%(program)s failed: %(words)s") % {"program": program, "words": words.removeprefix(f"{program}: ")}
        raise Refused(f"{failed}. {_way_out(words)}" if _way_out(words) else failed)
    return done.stdout


def _way_out(words: str) -> str:
    """What to do if a tool is too old, which is said of a server in one way and of a dump in another."""
    if not re.search("server version mismatch|unsupported version", words):
        return ""
    return _("Install the postgresql-client of the server's version, or a newer one, and put it first in PATH.")
