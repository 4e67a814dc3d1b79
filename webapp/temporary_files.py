"""Files that are there only while somebody works on them, in the folder that TMPDIR names."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from webapp.i18n import gettext as _


class NoRoom(Exception):
    """There is no folder for them, or no room in it. The error is a sentence that says so."""


@contextmanager
def used() -> Iterator[None]:
    """Stands around whatever makes or writes one, so that its OSError isn't taken for the database's. Raises NoRoom."""
    try:
        yield
    except OSError as error:
        reason = ": ".join(filter(None, [tempfile.tempdir, error.strerror]))
        words = _("There is no room for temporary files (%(reason)s). Make some, or have TMPDIR name another folder.")
        raise NoRoom(words % {"reason": reason}) from error


@contextmanager
def file() -> Iterator[IO[bytes]]:
    with used():
        opened = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        yield opened
    finally:
        with suppress(OSError):  # closing tries once more to write what found no room
            opened.close()


@contextmanager
def folder(prefix: str) -> Iterator[Path]:
    with used():
        made = tempfile.TemporaryDirectory(prefix=prefix)
    with made as name:
        yield Path(name)


def free_bytes() -> tuple[str, int]:
    """Their folder, and how much room it has. Raises NoRoom."""
    with used(), tempfile.TemporaryFile() as probe:
        probe.write(b"room")
        probe.flush()
        return tempfile.gettempdir(), shutil.disk_usage(tempfile.gettempdir()).free
