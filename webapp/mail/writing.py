"""The registry of letters, and how one is written: two templates become one EmailMessage.

A kind of letter is one function with `@letter(...)` and two templates, `email/{name}.txt` (which carries
the subject) and `email/{name}.html`.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any

from jinja2 import Environment
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import language
from webapp.database import now
from webapp.mail import outbox
from webapp.mail.outbox import Claimed
from webapp.settings import Settings


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
        message["Content-Language"] = letter.language
        _add(message.set_content, text.render(values), "plain")
        _add(message.add_alternative, html.render(values | {"subject": message["Subject"]}), "html")
    return message.as_bytes()


def _add(add: Callable[..., None], content: str, subtype: str) -> None:
    """Adds a part so that no link is ever broken: quoted-printable would fold it after 76 characters."""
    add(content, subtype=subtype, cte="7bit" if content.isascii() else "base64")
