"""The registry of letters, and how one is written: two templates become one EmailMessage.

A kind of letter is one function with `@letter(...)` and two templates, `email/{name}.txt` (which carries
the subject) and `email/{name}.html`.
"""

import logging
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any, NamedTuple, Protocol

from jinja2 import Environment
from sqlalchemy.exc import DBAPIError
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import language as languages
from webapp.database import now
from webapp.direct import Transaction
from webapp.mail import outbox
from webapp.mail.models import Claimed, Outcome, Verdict
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


class Written(NamedTuple):
    """A claimed letter with its bytes, ready to be taken away."""

    letter: Claimed
    recipient: str
    message: bytes


class Conveyance(Protocol):
    """What takes a written letter away."""

    async def deliver(self, recipient: str, message: bytes) -> Outcome: ...
    async def close(self) -> None: ...
    def is_idle(self) -> bool: ...


async def draft(db: AsyncSession, settings: Settings, letter: Claimed) -> Draft | Outcome:
    """What a letter is to say, or what became of it instead. Raises only what the database raises."""
    if letter.crashes > outbox.CRASHES_ALLOWED:
        return Outcome(Verdict.NEVER, None, "given up: its mailer died of it again and again")
    if letter.expires <= now():
        return Outcome(Verdict.LATER, None, "given up: it was too late for it")
    try:
        with languages.use(letter.language):
            draft = await KINDS[letter.kind].write(db, settings, letter)
    except DBAPIError:
        raise
    except Exception as error:
        return _not_written(letter, error)
    if draft is None:
        return Outcome(Verdict.NOBODY)
    if letter.user_id is None and draft.user_id is not None:
        await outbox.belongs_to(db, letter, draft.user_id)
    return draft


def write(settings: Settings, templates: Environment, letter: Claimed, draft: Draft) -> Written | Outcome:
    """Writes a letter, or says that it could not be written."""
    try:
        return Written(letter, draft.recipient, compose(templates, settings, letter, draft))
    except Exception as error:
        return _not_written(letter, error)


def _not_written(letter: Claimed, error: Exception) -> Outcome:
    log.error("letter_not_written", exc_info=error, extra={"fields": {"letter": letter.id, "kind": letter.kind}})
    return Outcome(Verdict.LATER, None, f"not written: {type(error).__name__}")


def compose(templates: Environment, settings: Settings, letter: Claimed, draft: Draft) -> bytes:
    """The letter's bytes as they go over the wire (RFC 5322), text and HTML saying the same."""
    headers = {
        "Date": format_datetime(now()),
        "Message-ID": letter.message_id,
        "Auto-Submitted": "auto-generated",  # RFC 3834: out-of-office replies stay away
        "Content-Language": letter.language,
    }
    if draft.unsubscribe:
        headers |= {
            "List-Unsubscribe": f"<{draft.unsubscribe}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        }
    if draft.message is not None:
        return _complete(draft.message, {"From": settings.sender, "To": draft.recipient} | headers)
    with languages.use(letter.language):
        text = templates.get_template(f"email/{draft.template}.txt")
        html = templates.get_template(f"email/{draft.template}.html")
        values = {**draft.values, "language": letter.language}
        subject = " ".join("".join(text.blocks["subject"](text.new_context(values))).split())
        plain, rich = text.render(values), html.render(values | {"subject": subject})
    headers = {"From": settings.sender, "To": draft.recipient, "Subject": subject} | headers
    if _is_plain(plain, rich, *headers.values()):
        return _assemble(headers, plain, rich)
    message = EmailMessage(policy=SMTP)
    add_parts(message, plain, rich)
    return _complete(message, headers)


def add_parts(message: EmailMessage, text: str, html: str | None) -> None:
    """Adds the text, and the HTML beside it, so that no link is ever broken.

    Quoted-printable would fold a link after 76 characters, and some mail programs show it so.
    """
    message.set_content(text, cte="7bit" if _is_plain(text) else "base64")
    if html is not None:
        message.add_alternative(html, subtype="html", cte="7bit" if _is_plain(html) else "base64")


def _complete(message: EmailMessage, headers: dict[str, str]) -> bytes:
    """The bytes of a message, with the headers that it does not have yet."""
    for name, value in headers.items():
        if name not in message:
            message[name] = value
    return message.as_bytes()


def _is_plain(*texts: str) -> bool:
    """Whether texts can go over the wire as they are: ASCII, and no line over the 998 bytes of RFC 5322."""
    return all(text.isascii() and all(len(line) <= 998 for line in text.splitlines()) for text in texts)


def _assemble(headers: dict[str, str], text: str, html: str) -> bytes:
    """The same as EmailMessage makes of plain ASCII, twenty times as fast."""
    if any(not value.isprintable() for value in headers.values()):
        raise ValueError("a header can't have a line break or a control character in it")
    boundary = f"=={uuid.uuid4().hex}=="
    lines = [f"{name}: {value}" for name, value in headers.items()]
    lines += ["MIME-Version: 1.0", f'Content-Type: multipart/alternative; boundary="{boundary}"', ""]
    for subtype, content in (("plain", text), ("html", html)):
        lines += [f"--{boundary}", f'Content-Type: text/{subtype}; charset="utf-8"', "Content-Transfer-Encoding: 7bit"]
        lines += ["", *content.replace("\r\n", "\n").split("\n")]
    lines += [f"--{boundary}--", ""]
    return "\r\n".join(lines).encode("ascii")
