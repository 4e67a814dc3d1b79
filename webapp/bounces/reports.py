"""What a returned message says: a delivery report (RFC 3464), a complaint (RFC 5965), or something odd."""

import re
from codecs import BOM_UTF8 as BOM
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import Message
from email.utils import getaddresses, parseaddr, parsedate_to_datetime
from itertools import islice
from typing import Literal

from webapp.logs import mask_all
from webapp.replies import blame
from webapp.replies.blame import Blame

# Where a mail server leaves the address that a message came to.
ENVELOPE = ("To", "Delivered-To", "X-Original-To", "Envelope-To", "X-Envelope-To", "Original-Mail-From", "X-Failed-To")
Source = Literal["bounce", "complaint"]
# Also those in a copy of the returned email that stands in a text.
_DATE = re.compile(rb"^(?:Date|Arrival-Date|Received-Date|Last-Attempt-Date):[ \t]*([^\r\n]{1,60})", re.I | re.M)
MOST_DATES = 20
# The types of RFC 6533 hold the same, in UTF-8.
_INTERNATIONAL = re.compile(rb"\bmessage/global(-delivery-status|-headers|)(?![\w-])", re.I)
_PLAIN = {b"-delivery-status": b"message/delivery-status", b"-headers": b"text/rfc822-headers", b"": b"message/rfc822"}
MOST_BREAKS = 200  # blank lines and boundaries: the parser's time grows with their square


@dataclass(frozen=True)
class BounceReport:
    """Emails to one of the `addresses`, all of one person, came back for good; or the person complained.

    `sent_by` is a moment when the email had already been sent, the earliest that is known.
    """

    source: Source
    addresses: tuple[str, ...]
    reason: str
    sent_by: datetime | None = None


def parse(raw: bytes) -> Message:
    """The part of the message that can hold a report. The returned email comes after it, and may be long."""
    lines = _INTERNATIONAL.sub(lambda found: _PLAIN[found[1].lower()], raw.removeprefix(BOM)).splitlines(keepends=True)
    breaks = [number for number, line in enumerate(lines) if not line.strip() or line.startswith(b"--")]
    end = breaks[MOST_BREAKS] if len(breaks) > MOST_BREAKS else len(lines)
    return message_from_bytes(b"".join(lines[:end]))


def read(message: Message) -> list[BounceReport]:
    """The permanent failures and complaints in a message; nothing that may still arrive or is our own fault."""
    readers = {"message/delivery-status": _of_delivery, "message/feedback-report": _of_feedback}
    parts = [part for part in message.walk() if part.get_content_type() in readers]
    if parts:
        return [report for part in parts for report in readers[part.get_content_type()](part, message)]
    return [BounceReport("bounce", (_text(address), *_returned(message)), "") for address in _odd_failures(message)]


def _odd_failures(message: Message) -> list[bytes]:
    """The addresses that failed for good, in the many forms from before RFC 3464. None if that can't be told."""
    from flufl.bounce import all_failures  # takes 25 ms, and only odd messages need it

    try:
        return sorted(all_failures(message)[1])
    except Exception:  # its detectors trip over what is no message, with some versions of Python
        return []


def sent_by(raw: bytes, day: datetime) -> datetime:
    """The earliest time at which the email had already been sent, going by the day it left and the dates in the
    message.

    Some of these come from servers whose clocks are wrong, but none of the email's own can be from an earlier day. Nor
    from a later one: anybody who has read an email knows its return path, and could write any date.
    """
    return min(moment for moment in [*_dates(raw), day + timedelta(days=1)] if moment >= day)


def _dates(raw: bytes) -> Iterator[datetime]:
    for found in islice(_DATE.finditer(raw), MOST_DATES):
        with suppress(ValueError, OverflowError):
            moment = parsedate_to_datetime(found[1].decode("ascii", "replace"))
            yield (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def return_paths(message: Message) -> list[str]:
    """The addresses that the message came to, or may have come to."""
    found = [str(value) for part in _heads(message) for name in ENVELOPE for value in part.get_all(name, [])]
    return [address for _name, address in getaddresses(found) if address]


def _of_delivery(part: Message, message: Message) -> Iterator[BounceReport]:
    """A report for each recipient whose delivery failed, and whose address that was (RFC 3464, 2.3)."""
    for fields in _blocks(part):
        action, status, said = (str(fields.get(name, "")).strip() for name in ("Action", "Status", "Diagnostic-Code"))
        status = status.split(" ")[0] or _status_in(said)
        words = " ".join(said.partition(";")[2].split() or [status])
        if action.partition("(")[0].strip().lower() != "failed" or not _is_for_good(status, words):
            continue
        named = [_address(fields.get(name)) for name in ("Original-Recipient", "Final-Recipient")]
        addresses = tuple(address for address in named if address) + _returned(message)
        yield BounceReport("bounce", addresses, mask_all(words, *addresses)[:300])


def _status_in(said: str) -> str:
    """The status in the words of a server that has no field for it."""
    found = re.search(r"\b[45]\.\d{1,3}\.\d{1,3}\b", said)
    return found[0] if found else ""


def _is_for_good(status: str, words: str) -> bool:
    """Whether the address doesn't exist. A full mailbox, or a grudge against us, doesn't count."""
    code, _space, rest = words.partition(" ")
    number = int(code[:3]) if code[:3].isdigit() else 550
    text = rest if code[:3].isdigit() else words
    said = text if blame.ENHANCED.match(text) else f"{status} {text}"
    return status.startswith("5") and blame.of_answer(max(number, 500), said) is Blame.ADDRESS


def _of_feedback(part: Message, message: Message) -> Iterator[BounceReport]:
    for fields in _blocks(part):
        if str(fields.get("Feedback-Type", "")).strip().lower() in {"abuse", "fraud", "opt-out"}:
            named = [
                _address(value)
                for name in ("Original-Rcpt-To", "Removal-Recipient")
                for value in fields.get_all(name, [])
            ]
            yield BounceReport(
                "complaint", (*(address for address in named if address), *_returned(message)), "complaint"
            )


def _returned(message: Message) -> tuple[str, ...]:
    """Who the returned email was sent to."""
    heads = [part for part in _heads(message) if part is not message]
    return tuple(address for part in heads for _name, address in getaddresses([str(v) for v in part.get_all("To", [])]))


def _heads(message: Message) -> Iterator[Message]:
    """The message, the fields of its reports, and the headers of the returned email."""
    for part in message.walk():
        yield part
        is_headers = part.get_content_type() == "text/rfc822-headers"
        if is_headers and isinstance(payload := part.get_payload(decode=True), bytes):
            yield message_from_bytes(payload)


def _blocks(part: Message) -> list[Message]:
    """A report's groups of fields."""
    payload = part.get_payload()
    blocks = [block for block in payload if isinstance(block, Message)] if isinstance(payload, list) else []
    if str(part.get("Content-Transfer-Encoding", "")).strip().lower() in {"base64", "quoted-printable"}:
        encoded = Message()
        encoded["Content-Transfer-Encoding"] = part["Content-Transfer-Encoding"]
        encoded.set_payload("\n".join(map(str, blocks)))
        decoded = encoded.get_payload(decode=True)
        pieces = re.split(rb"\r?\n\r?\n", decoded) if isinstance(decoded, bytes) else []
        return [message_from_bytes(piece.strip()) for piece in pieces]
    return blocks or [message_from_bytes(str(payload).encode())]


def _address(value: object) -> str:
    """The address in `rfc822; susan@example.com`."""
    return parseaddr(str(value or "").partition(";")[2].strip() or str(value or ""))[1]


def _text(address: bytes | str) -> str:
    return address.decode("ascii", "replace") if isinstance(address, bytes) else address
