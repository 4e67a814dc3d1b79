"""The mailbox of a test's site: waits for emails, and reads them as a person would."""

import re
import time
from pathlib import Path
from urllib.parse import urlsplit

from webapp.mail_preview import inbox
from webapp.mail_preview.inbox import Received

PATIENCE = 30.0


class Mailbox:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def all(self, to: str | None = None, subject: str = "") -> list[Received]:
        """What has arrived so far, newest first; of some subject only, if its first words are given."""
        emails = inbox.received(self.folder)
        return [email for email in emails if to in {None, email.to} and email.subject.startswith(subject)]

    def last(self, to: str | None = None, count: int = 1, subject: str = "") -> Received:
        """The newest email, once at least `count` have arrived."""
        deadline = time.monotonic() + PATIENCE
        while len(emails := self.all(to, subject)) < count:
            assert time.monotonic() < deadline, f"{len(emails)} of {count} emails to {to} arrived"
            time.sleep(0.01)
        return emails[0]

    def link(self, to: str | None = None, count: int = 1, subject: str = "") -> str:
        """The path behind the link of the newest email."""
        return link_in(self.last(to, count, subject).text)


def link_in(text: str) -> str:
    """The path of the first link that stands alone on its line."""
    found = paths_in(text)
    assert found, text
    return found[0]


def paths_in(text: str) -> list[str]:
    """The paths of all links that stand alone on their lines."""
    return [urlsplit(link).path for link in re.findall(r"^(https?://\S+)$", text, re.MULTILINE)]
