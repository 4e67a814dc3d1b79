"""What a driver's error means: whether the connection is lost, what SQLAlchemy would raise, and whose fault it is."""

import errno
import re
import socket
import sqlite3
import ssl
from typing import Any, NoReturn

from sqlalchemy import Dialect
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from webapp.i18n import N_
from webapp.i18n import gettext as _

AWAY = (OperationalError, InterfaceError, PoolTimeout, ConnectionError, TimeoutError, socket.gaierror, ssl.SSLError)
# Classes and single values of SQLSTATE (PostgreSQL's appendix A). asyncpg's errors have no class of their own in
# SQLAlchemy: a connection that is lost, a log-in that is refused, a database that isn't there, is empty or older than
# the site or lets this user do nothing, a transaction that may only read, too little of something, a lock that is not
# free, a server that stops or starts, and its own trouble with files.
STATES = ("08", "28", "3D", "42P01", "42703", "42501", "25006", "40001", "40P01", "53", "55P03", "57", "58")
# Why there is no way to the server, if no class of Python's own says so: its socket is gone or shut, or its machine is.
NO_WAY = {
    *(errno.ENOENT, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE),
    *(errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL),
}
# What to do, by what the server says.
WAYS_OUT = {
    "28": N_("Are the username and the password right, and does the server let them in?"),
    "3D": N_("Create that database, or name another in DATABASE_URL."),
    "42P01": N_("Run `python -m webapp migrate`."),
    "42703": N_("Run `python -m webapp migrate`."),
    "55P03": N_("Another process is writing to it: try again once that has ended."),
    "42501": N_("The site's user must own the database, or be granted all of it."),
}
# SQLite has no such numbers.
SQLITE_SAYS = dict.fromkeys(("no such table", "no such column", "has no column named"), "42P01")
SQLITE_SAYS["database is locked"] = "55P03"


class NoDatabase(sqlite3.OperationalError):
    """There is no such file, most likely because its name is mistyped. Only a migration makes one."""

    def __init__(self, file: object) -> None:
        super().__init__(_("there is no database at %(file)s") % {"file": file})


def is_away(error: BaseException) -> bool:
    """Whether the database is unavailable for the moment: not our fault, and worth another try."""
    if isinstance(error, AWAY) or _has_no_way(error) or _is_full(error) or _is_other_file(error):
        return True
    if not isinstance(error, DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", None) or ""
    return error.connection_invalidated or state.startswith(STATES) or _has_no_server(error)


def in_words(error: Exception) -> str:
    """What the database said, in one line; in our words if it said nothing, or nothing that helps."""
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    cause = getattr(error, "orig", None) or error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return _("its certificate isn't trusted: %(reason)s") % {"reason": cause.verify_message}
    if isinstance(cause, FileNotFoundError):
        return _("there is no socket in the folder that DATABASE_URL names")
    if isinstance(cause, socket.gaierror):
        return _("the host in DATABASE_URL can't be found (%(reason)s)") % {"reason": cause.strerror}
    if isinstance(cause, TimeoutError) and not str(cause):
        return _("it didn't answer in time")
    return (str(cause) or type(cause).__name__).splitlines()[0]


def with_advice(error: Exception) -> str:
    """The same, and the way out if the error shows one."""
    return f"{in_words(error)}. {_way_out(error)}".rstrip()


def what_to_check(error: Exception) -> str:
    otherwise = _("Is DATABASE_URL right, may its folder be written to, and was `python -m webapp migrate` run?")
    return _way_out(error) or otherwise


def _way_out(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    state = next((state for said, state in SQLITE_SAYS.items() if said in in_words(error)), "")
    state = state or getattr(cause, "sqlstate", None) or ""
    if words := next((words for said, words in WAYS_OUT.items() if state.startswith(said)), ""):
        return _(words)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return _(
            "If the server's authority is its provider's own, name the file with it in DATABASE_URL:"
            " sslmode=verify-full&sslrootcert=/path/to/file.pem."
        )
    if isinstance(cause, NoDatabase):
        return _("Does DATABASE_URL name the right file? `python -m webapp migrate` makes a new database.")
    if _is_other_file(error):
        return _("Name another file in DATABASE_URL. If the site's data was in this one, restore a backup.")
    if isinstance(cause, (ConnectionError, TimeoutError, socket.gaierror)) or _has_no_way(cause):
        return _("Is the server running, and are its host and port in DATABASE_URL right?")
    if "unable to open" in in_words(error):
        folder = _("Does DATABASE_URL name a file, in a folder that is there and may be written to?")
        return f"{folder} {of_the_disk(error)}"
    return of_the_disk(error)


def of_the_disk(error: Exception) -> str:
    """What to check if the disk may be why; "" otherwise."""
    is_of_disk = re.search(
        r"\bfull\b|read-?only|no space|quota|disk I/O|unable to open", in_words(error), re.IGNORECASE
    )
    return _("Is the disk full or read-only, or do the files belong to another user?") if is_of_disk else ""


def loses_connection(error: BaseException, dialect: Dialect, connection: Any) -> bool:
    """Whether nobody else should use the connection: it is closed, or may still be busy with an abandoned statement.

    A server that was silent for too long is hung up on; nobody waits for it to confirm a cancellation.
    """
    if connection is None:
        return False  # there was none yet
    if isinstance(error, TimeoutError):
        connection.driver_connection.terminate()
        return True
    is_lost: bool = not isinstance(error, Exception) or dialect.is_disconnect(error, connection, None)  # type: ignore[arg-type]
    return is_lost


def reraise(error: BaseException, dialect: Dialect, *, is_lost: bool) -> NoReturn:
    """Raises what SQLAlchemy raises, but without the statement's values, since those would be logged.

    An error that doesn't come from the database is raised as it is.
    """
    state = getattr(error, "sqlstate", None) or ""
    options: Any = {"hide_parameters": True, "connection_invalidated": is_lost}
    if state.startswith("23"):  # asyncpg's own errors have no names that SQLAlchemy knows
        raise IntegrityError(None, None, error, **options) from error
    driver_error = dialect.loaded_dbapi.Error
    if state or isinstance(error, driver_error) or (is_lost and isinstance(error, Exception)):
        instance: Any = DBAPIError.instance
        raise instance(None, None, error, driver_error, dialect=dialect, **options) from error
    raise error


def _has_no_way(error: BaseException) -> bool:
    """Whether the server can't be reached, as while its machine is off. Only errors about opened files name a file.

    If a name has several addresses, each of which failed in a way of its own, asyncio's error has no number.
    """
    if not isinstance(error, OSError) or error.filename is not None:
        return False
    return error.errno in NO_WAY or str(error).startswith("Multiple exceptions")


def _is_full(error: BaseException) -> bool:
    """Whether the disk with SQLite's file is full, as noticed when it is flushed."""
    return isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


def _is_other_file(error: BaseException) -> bool:
    """Whether the file is there, but was not made by SQLite."""
    cause = getattr(error, "orig", None) or error
    return getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB


def _has_no_server(error: DBAPIError) -> bool:
    """Whether none of several servers takes writes, as during a failover; the error has no SQLSTATE."""
    return type(error.driver_exception).__name__ == "TargetServerAttributeNotMatched"
