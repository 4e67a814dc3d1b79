"""The mailbox of a development site: a folder of the emails that would have been sent."""

import asyncio
import os
import re
import uuid
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from functools import cached_property, lru_cache
from pathlib import Path
from typing import cast

from webapp.database import now
from webapp.mail.models import Outcome, Verdict

KEPT = 200


class MailboxTransport:
    """Takes emails as a mail server would, and saves each as a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def deliver(self, recipient: str, message: bytes, attempt: int = 1) -> Outcome:
        await asyncio.to_thread(self._keep, message)
        return Outcome(Verdict.SENT)

    async def close(self) -> None:
        """Does nothing: there is nothing to close."""

    def is_idle(self) -> bool:
        return False

    def _keep(self, message: bytes) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # links in emails are their reader's alone
        name = f"{now():%Y%m%d%H%M%S%f}-{uuid.uuid4().hex[:8]}"
        unfinished = self.folder / f"{name}.part"
        with open(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(message)
        os.replace(unfinished, self.folder / f"{name}.eml")
        for old in sorted(self.folder.glob("*.eml"))[:-KEPT]:
            old.unlink(missing_ok=True)


@dataclass(frozen=True)
class Received:
    """An email in the mailbox. Its headers and parts are expensive to read, so each is read once."""

    id: str
    message: EmailMessage
    source: bytes

    @classmethod
    def parse(cls, email_id: str, source: bytes) -> "Received":
        return cls(email_id, message_from_bytes(source, policy=default), source)

    @cached_property
    def subject(self) -> str:
        return str(self.message["Subject"])

    @cached_property
    def to(self) -> str:
        return str(self.message["To"])

    @property
    def sender(self) -> str:
        return str(self.message["From"])

    @property
    def date(self) -> datetime:
        return cast(datetime, self.message["Date"].datetime)

    @property
    def headers(self) -> list[tuple[str, str]]:
        return [(name, str(value)) for name, value in self.message.items()]

    @cached_property
    def text(self) -> str:
        return self._part("plain")

    @cached_property
    def html(self) -> str:
        return self._part("html")

    @property
    def text_preview(self) -> str:
        return " ".join(self.text.split())[:140]

    @property
    def links(self) -> list[str]:
        """The links that stand alone on their line, which are the ones to follow."""
        return re.findall(r"^https?://\S+$", self.text, re.MULTILINE)

    def _part(self, subtype: str) -> str:
        part = self.message.get_body((subtype,))
        return str(part.get_content()).replace("\r\n", "\n") if part else ""


def received(folder: Path) -> list[Received]:
    """All emails of the mailbox, newest first."""
    return [email for file in sorted(folder.glob("*.eml"), reverse=True) if (email := _open(file))]


def find(folder: Path, email_id: str) -> Received | None:
    return next((_open(file) for file in folder.glob("*.eml") if file.stem == email_id), None)


@lru_cache(KEPT)
def _open(file: Path) -> Received | None:
    """Reads an email, once, since its file never changes. None if it was just deleted to make room."""
    try:
        return Received.parse(file.stem, file.read_bytes())
    except FileNotFoundError:
        return None
