"""Webhooks of Amazon SES (through SNS), Postmark and Mailgun. No address in them is ever fetched."""

import hmac
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parseaddr
from typing import Any

from webapp import clock
from webapp.bounces.reports import BounceReport
from webapp.logs import mask_all

LONGEST = 254  # characters of an address
MOST_SECONDS = 900  # between a provider's signature and its arrival


class UnknownReport(ValueError):
    """This is no report of any provider we know."""


def read(body: bytes) -> dict[str, Any]:
    """The JSON of a webhook. Raises UnknownReport."""
    try:
        found = json.loads(body)
        json.dumps(found, ensure_ascii=False).encode()  # half a character (\\ud800) can't be signed or stored
    except (ValueError, RecursionError) as error:
        raise UnknownReport from error
    if not isinstance(found, dict):
        raise UnknownReport
    return found


def is_signed(event: dict[str, Any], key: str) -> bool:
    """Whether Mailgun has just signed it with the key (its documentation, "Securing webhooks")."""
    signature = event.get("signature")
    if not isinstance(signature, dict):
        return False
    stamp, token, given = (str(signature.get(name, "")) for name in ("timestamp", "token", "signature"))
    if not stamp.isascii() or not stamp.isdigit() or abs(clock.seconds() - int(stamp[:12])) > MOST_SECONDS:
        return False
    wanted = hmac.new(key.encode(), f"{stamp}{token}".encode(), "sha256").hexdigest()
    return hmac.compare_digest(wanted.encode(), given.encode())


def signature(event: dict[str, Any]) -> str:
    """Mailgun's signature, once it is known to be right."""
    return str(event["signature"]["signature"])


def subscription(event: dict[str, Any]) -> str:
    """The address that confirms an SNS subscription, for a person to open; or empty."""
    return str(event.get("SubscribeURL", "")) if event.get("Type") == "SubscriptionConfirmation" else ""


def reports(event: dict[str, Any]) -> list[BounceReport]:
    """The permanent failures and complaints in an event. Raises UnknownReport."""
    try:
        if "event-data" in event:
            return list(_mailgun(event["event-data"]))
        if "RecordType" in event:
            return list(_postmark(event))
        if event.get("Type") == "Notification":
            return list(_ses(read(str(event["Message"]).encode())))
        if "notificationType" in event or "eventType" in event:
            return list(_ses(event))
    except (KeyError, TypeError, AttributeError) as error:
        raise UnknownReport from error
    raise UnknownReport


def _ses(event: dict[str, Any]) -> Iterator[BounceReport]:
    kind = event.get("notificationType") or event.get("eventType")
    sent_by = _moment((event.get("mail") or {}).get("timestamp"))
    if kind == "Bounce" and event["bounce"]["bounceType"] == "Permanent":
        for one in event["bounce"]["bouncedRecipients"]:
            yield _report("bounce", one["emailAddress"], one.get("diagnosticCode", ""), sent_by)
    if kind == "Complaint":
        said = event["complaint"].get("complaintFeedbackType") or "complaint"
        for one in event["complaint"]["complainedRecipients"]:
            yield _report("complaint", one["emailAddress"], said, sent_by)


def _postmark(event: dict[str, Any]) -> Iterator[BounceReport]:
    sent_by = _moment((event.get("Metadata") or {}).get("sent")) or _moment(event.get("BouncedAt"))
    if event["RecordType"] == "SpamComplaint" or event.get("Type") == "SpamComplaint":
        yield _report("complaint", event["Email"], "complaint", sent_by)
    elif event["RecordType"] == "Bounce" and event["Type"] in {"HardBounce", "BadEmailAddress"}:
        yield _report("bounce", event["Email"], event.get("Description", ""), sent_by)


def _mailgun(event: dict[str, Any]) -> Iterator[BounceReport]:
    sent_by = _moment((event.get("user-variables") or {}).get("sent")) or _moment(event.get("timestamp"))
    if event["event"] == "complained":
        yield _report("complaint", event["recipient"], "complaint", sent_by)
    elif event["event"] == "failed" and event["severity"] == "permanent":
        said = event.get("delivery-status", {})
        yield _report("bounce", event["recipient"], said.get("message") or said.get("description") or "", sent_by)


def _report(source: Any, given: str, reason: str, sent_by: datetime | None) -> BounceReport:
    address = parseaddr(given)[1] if isinstance(given, str) and given.isprintable() else ""
    if "@" not in address or len(address) > LONGEST:
        raise UnknownReport
    return BounceReport(source, (address,), mask_all(" ".join(str(reason).split()), address)[:300], sent_by)


def _moment(given: object) -> datetime | None:
    """A time as providers write it: ISO 8601, or seconds since 1970. None if there is none."""
    try:
        if isinstance(given, int | float):
            return datetime.fromtimestamp(given, UTC)
        return datetime.fromisoformat(str(given)).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
