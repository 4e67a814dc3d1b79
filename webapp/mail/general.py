"""Sends any email of any feature, through the same outbox and in the caller's transaction."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import parseaddr
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import i18n as languages
from webapp.mail import mime, outbox
from webapp.mail.kinds import Draft, email_kind
from webapp.mail.models import Claimed
from webapp.settings import Settings

MAX_RECIPIENTS = 50
MAX_ATTACHED_BYTES = 5 * 1024 * 1024
EXPIRES_AFTER = timedelta(days=5)
OWN_HEADERS = {"from", "to", "cc", "bcc", "subject", "date", "message-id", "reply-to", "content-type", "mime-version"}


@dataclass(frozen=True)
class Attachment:
    """A file that goes with an email; `media_type` such as `text/calendar`."""

    name: str
    content: bytes
    media_type: str = "application/octet-stream"


async def send(
    db: AsyncSession,
    settings: Settings,
    *,
    subject: str,
    text: str,
    to: Sequence[str],
    html: str | None = None,
    sender: str | None = None,
    cc: Sequence[str] = (),
    bcc: Sequence[str] = (),
    reply_to: str | None = None,
    attachments: Sequence[Attachment] = (),
    headers: Mapping[str, str] | None = None,
    language: str | None = None,
    is_alarm: bool = False,
) -> None:
    """Posts an email in the caller's transaction: it leaves if the transaction commits, and not otherwise.

    `sender` is the From address; the envelope sender is always the site's. The text waits in the database, so it must
    contain no link that opens something. An alarm leaves even when the hour's budget is used up.

    Each recipient is a row of the outbox, tried and retried on its own. All copies carry the same Message-ID, and none
    names the Bcc. Raises ValueError for what would be no email: no or too many recipients, an address without "@", a
    line break in a header, a header that the email already has, or over 5 MB of attachments.
    """
    recipients = _recipients(*to, *cc, *bcc)
    content: dict[str, Any] = {"subject": subject, "text": text, "html": html, "sender": sender, "reply_to": reply_to}
    content |= {"to": list(to), "cc": list(cc), "headers": dict(headers or {}), "attachments": _stored(attachments)}
    mime.written(_headers(content), _content(content))  # refused now, not later in the mailer
    message_id = outbox.new_message_id(settings.host)
    for recipient in recipients:
        await outbox.post(
            db,
            settings,
            "alarm" if is_alarm else "general",
            recipient=recipient,
            language=language or languages.current(),
            message_id=message_id,
            expires_after=EXPIRES_AFTER,
            parameters=content,
        )


def _stored(attachments: Sequence[Attachment]) -> list[dict[str, Any]]:
    """The attachments as the outbox stores them."""
    if sum(len(one.content) for one in attachments) > MAX_ATTACHED_BYTES:
        raise ValueError(f"attachments of one email have at most {MAX_ATTACHED_BYTES} bytes")
    return [asdict(one) | {"content": base64.b64encode(one.content).decode()} for one in attachments]


@email_kind("general", expires_after=EXPIRES_AFTER, samples=lambda site: [], counts_repeats=False)
@email_kind("alarm", expires_after=EXPIRES_AFTER, samples=lambda site: [], counts_repeats=False)
async def general(db: AsyncSession, settings: Settings, email: Claimed) -> Draft | None:
    values = email.parameters
    return Draft(email.kind, email.recipient, message=_content(values), headers=_headers(values))


def _headers(values: Mapping[str, Any]) -> dict[str, str]:
    named = {
        "From": values["sender"],
        "Reply-To": values["reply_to"],
        "Subject": values["subject"],
        "To": ", ".join(values["to"]),
        "Cc": ", ".join(values["cc"]),
    }
    if own := [name for name in values["headers"] if name.lower() in OWN_HEADERS]:
        raise ValueError(f"{own[0]} is the email's own")
    return {name: value for name, value in named.items() if value} | dict(values["headers"])


def _content(values: Mapping[str, Any]) -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    mime.add_parts(message, values["text"], values["html"])
    for one in values["attachments"]:
        main, _slash, sub = one["media_type"].partition("/")
        message.add_attachment(base64.b64decode(one["content"]), maintype=main, subtype=sub, filename=one["name"])
    return message


def _recipients(*typed: str) -> list[str]:
    recipients = list(dict.fromkeys(_address(one) for one in typed))
    if not 1 <= len(recipients) <= MAX_RECIPIENTS:
        raise ValueError(f"an email has 1 to {MAX_RECIPIENTS} recipients")
    return recipients


def _address(text: str) -> str:
    address = parseaddr(text)[1]
    if "@" not in address or not address.isprintable() or " " in address:
        raise ValueError(f"not an address: {text!r}")
    return address
