"""The registry of letters, and how one is written: two templates become one EmailMessage.

A kind of letter is one function with `@letter(...)` and two templates, `email/{name}.txt` (which carries
the subject) and `email/{name}.html`.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from email.message import EmailMessage
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import i18n as languages
from webapp.database.hot import Transaction
from webapp.mail import outbox
from webapp.mail.models import Claimed
from webapp.settings import Settings

log = logging.getLogger("webapp.mail")


@dataclass(frozen=True)
class Draft:
    """What the writer of a letter decides: the one recipient, and the templates' name and values.

    With `message` it needs no templates: only the headers that are missing are added. `unsubscribe` is the link
    that turns letters of this kind off (RFC 8058).
    """

    template: str
    recipient: str
    values: dict[str, Any] = field(default_factory=dict)
    user_id: int | None = None
    message: EmailMessage | None = None
    unsubscribe: str | None = None


Samples = Callable[[Settings], list[Draft]]
Writer = Callable[[AsyncSession, Settings, Claimed], Awaitable[Draft | None]]


@dataclass(frozen=True)
class Kind:
    """A kind of letter: who writes it, and how long it is worth sending.

    One that can wait leaves behind all others, however long it has waited. An optional one has a switch among each
    person's settings, which says `switch` and is usually on or off.
    """

    write: Writer
    lives: timedelta
    samples: Samples
    switch: str = ""
    is_usual: bool = True
    can_wait: bool = False

    @property
    def is_optional(self) -> bool:
        return bool(self.switch)


KINDS: dict[str, Kind] = {}


def letter(
    name: str,
    *,
    lives: timedelta,
    samples: Samples,
    switch: str = "",
    is_usual: bool = True,
    can_wait: bool = False,
) -> Callable[[Writer], Writer]:
    """Registers the writer of a kind of letter, which is given up when it could not be sent for as long as it lives.

    The writer is called at each attempt, so what it mints is fresh. It returns None when there is nobody to write
    to. `samples` makes a draft of everything that it may write, for the gallery and the tests. `switch` are the
    words beside an optional letter's switch, in English; `is_usual` says how it stands for who never touched it.
    What `can_wait` never keeps a letter waiting that can't.
    """

    def register(writer: Writer) -> Writer:
        KINDS[name] = Kind(writer, lives, samples, switch, is_usual, can_wait)
        return writer

    return register


def lifetimes() -> dict[str, timedelta]:
    """How long each kind of letter is worth sending."""
    return {name: kind.lives for name, kind in KINDS.items()}


async def post(
    db: Transaction,
    settings: Settings,
    kind: str,
    recipient: str,
    *,
    user_id: int | None = None,
    language: str | None = None,
    delay: timedelta = timedelta(),
    **parameters: Any,
) -> bool:
    """Posts a letter of a registered kind, in the caller's transaction.

    Its language is the person's whom it goes to, if one is given, else that of the moment. See `outbox.post`.
    """
    return await outbox.post(
        db,
        kind,
        recipient=recipient,
        language=language or languages.current(),
        message_id=outbox.new_message_id(settings.host),
        lives=KINDS[kind].lives,
        user_id=user_id,
        parameters=parameters,
        delay=delay,
        can_wait=KINDS[kind].can_wait,
    )
