"""The registry of letters, and how one is written: two templates become one EmailMessage.

A kind of letter is one function with `@letter(...)` and two templates, `email/{name}.txt` (which carries
the subject) and `email/{name}.html`.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any, NamedTuple

from jinja2 import Environment
from sqlalchemy.exc import DBAPIError
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import language
from webapp.database import now
from webapp.mail import outbox
from webapp.mail.outbox import Claimed, Outcome, Verdict
from webapp.settings import Settings

log = logging.getLogger("webapp.mail")


@dataclass(frozen=True)
class Draft:
    """What the writer of a letter decides: the templates' name and values, and the one recipient."""

    template: str
    recipient: str
    values: dict[str, Any] = field(default_factory=dict)
    user_id: int | None = None


Writer = Callable[[AsyncSession, Settings, Claimed], Awaitable[Draft | None]]


@dataclass(frozen=True)
class Kind:
    """A kind of letter: who writes it, and how long it is worth sending."""

    write: Writer
    lives: timedelta


KINDS: dict[str, Kind] = {}


def letter(name: str, *, lives: timedelta) -> Callable[[Writer], Writer]:
    """Registers the writer of a kind of letter.

    It is called at each attempt, so what it mints is fresh. It returns None when there is nobody to write to.
    """

    def register(writer: Writer) -> Writer:
        KINDS[name] = Kind(writer, lives)
        return writer

    return register


async def post(
    db: AsyncSession, settings: Settings, kind: str, recipient: str, *, user_id: int | None = None, **parameters: Any
) -> None:
    """Posts a letter of a registered kind, in the language of the moment and the caller's transaction."""
    await outbox.post(
        db,
        kind,
        recipient=recipient,
        language=language.current(),
        host=settings.host,
        lives=KINDS[kind].lives,
        user_id=user_id,
        **parameters,
    )


class Written(NamedTuple):
    """A claimed letter with its bytes, ready to be taken away."""

    letter: Claimed
    recipient: str
    message: bytes


async def write(db: AsyncSession, settings: Settings, templates: Environment, letter: Claimed) -> Written | Outcome:
    """Writes a letter, or says what became of it instead. Raises only what the database raises."""
    if letter.crashes > outbox.CRASHES_ALLOWED:
        return Outcome(Verdict.NEVER, None, "given up: its mailer died of it again and again")
    if letter.expires <= now():
        return Outcome(Verdict.LATER, None, "given up: it was too late for it")
    try:
        draft = await KINDS[letter.kind].write(db, settings, letter)
        if draft is None:
            return Outcome(Verdict.NOBODY)
        if letter.user_id is None and draft.user_id is not None:
            await outbox.belongs_to(db, letter, draft.user_id)
        return Written(letter, draft.recipient, compose(templates, settings, letter, draft))
    except DBAPIError:
        raise
    except Exception as error:
        log.exception("letter_not_written", extra={"fields": {"letter": letter.id, "kind": letter.kind}})
        return Outcome(Verdict.LATER, None, f"not written: {type(error).__name__}")


def compose(templates: Environment, settings: Settings, letter: Claimed, draft: Draft) -> bytes:
    """The letter's bytes as they go over the wire (RFC 5322), text and HTML saying the same."""
    with language.use(letter.language):
        text = templates.get_template(f"email/{draft.template}.txt")
        html = templates.get_template(f"email/{draft.template}.html")
        values = {**draft.values, "language": letter.language}
        subject = "".join(text.blocks["subject"](text.new_context(values)))
        message = EmailMessage(policy=SMTP)
        message["From"] = settings.sender
        message["To"] = draft.recipient
        message["Subject"] = " ".join(subject.split())
        message["Date"] = format_datetime(now())
        message["Message-ID"] = letter.message_id
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: out-of-office replies stay away
        _add(message.set_content, text.render(values), "plain")
        _add(message.add_alternative, html.render(values | {"subject": message["Subject"]}), "html")
        message["Content-Language"] = letter.language  # last: the parts take Content headers away with them
    return message.as_bytes()


def _add(add: Callable[..., None], content: str, subtype: str) -> None:
    """Adds a part so that no link is ever broken: quoted-printable would fold it after 76 characters."""
    add(content, subtype=subtype, cte="7bit" if content.isascii() else "base64")
