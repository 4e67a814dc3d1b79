"""Checks a zip before any of it is unpacked: whatever its list of members shows is refused here."""

import zipfile
import zlib
from pathlib import Path
from typing import IO

from webapp.i18n import N_

MOST_BYTES = 100 * 1024 * 1024  # of a member, unpacked: some 150,000 posts
MOST_DIRECTORY = 1024 * 1024  # the list of members, which is read as a whole: some 8,000 pictures
READ = ("outbox.json", "account.json", "following_accounts.csv")
# zipfile raises RuntimeError for a member with a password, and NotImplementedError for a compression it doesn't know.
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError)
END, LOCATOR = b"PK\5\6", b"PK\6\7"
END_SIZE, LOCATOR_SIZE, LONGEST_COMMENT = 22, 20, 65535
ENCRYPTED = 1
# zipfile unpacks no more of these at a time than was asked for. Of the others, 1 KB may become gigabytes in memory.
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

NO_ZIP = N_("That isn't a zip file, or it was damaged or cut off on the way.")
NO_ARCHIVE = N_("There are no posts in that zip: it has no outbox.json.")
LOCKED = N_("That zip has a password. Make one without.")
UNUSUAL = N_("That zip is compressed in an unusual way. Make one with the usual compression.")
TOO_LARGE = N_("That zip unpacks to more than we can take.")


class Unreadable(Exception):
    """This isn't an archive that we can read; says why."""


def check(file: IO[bytes]) -> None:
    """Refuses a zip that would take too much work: anybody may have made the file. Raises Unreadable."""
    _check_end(file)
    opened(file).close()


def opened(file: Path | IO[bytes]) -> zipfile.ZipFile:
    """The file as a zip. Raises Unreadable."""
    try:
        zipped = zipfile.ZipFile(file)
    except UNREADABLE:
        raise Unreadable(NO_ZIP) from None
    if "outbox.json" not in zipped.namelist():
        raise Unreadable(NO_ARCHIVE)
    for member in (each for each in zipped.infolist() if each.filename in READ):
        if member.flag_bits & ENCRYPTED:
            raise Unreadable(LOCKED)
        if member.compress_type not in COMPRESSIONS:
            raise Unreadable(UNUSUAL)
        if member.file_size > MOST_BYTES:
            raise Unreadable(TOO_LARGE)
    return zipped


def _check_end(file: IO[bytes]) -> None:
    """Checks how long the list of members claims to be, before zipfile reads it (APPNOTE 4.3.16; large zips end
    otherwise).
    """
    file.seek(0, 2)
    file.seek(max(0, file.tell() - END_SIZE - LOCATOR_SIZE - LONGEST_COMMENT))
    tail = file.read()
    at = tail.rfind(END)
    if at < 0 or len(tail) - at < END_SIZE:
        raise Unreadable(NO_ZIP)
    length = int.from_bytes(tail[at + 12 : at + 16], "little")
    if length > MOST_DIRECTORY or tail[max(0, at - LOCATOR_SIZE) : at].startswith(LOCATOR):
        raise Unreadable(TOO_LARGE)
