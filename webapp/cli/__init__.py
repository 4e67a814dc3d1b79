"""The command line, `python -m webapp`: serve the site, and look after it by hand."""

import sys
from typing import TextIO

from webapp.logs import printable


class Refused(Exception):
    """The command can't do this, and has changed nothing; says why."""


def say(words: str, where: TextIO | None = None) -> None:
    """Prints lines, on standard output unless told otherwise.

    They may repeat what visitors, mail servers or files say, and none of that may control the admin's terminal.
    """
    print("\n".join(map(printable, words.split("\n"))), file=where or sys.stdout, flush=True)
