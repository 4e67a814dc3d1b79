"""Return paths that say whose email came back (VERP), signed so that nobody can block an address with a forged report.

`bounces+20566-abcdefghijklmnop@example.com`: the day, and a code over the day and the recipient. Nothing is stored, and
nobody can read the address from it.
"""

import base64
import hmac
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from webapp.database import now
from webapp.settings import Settings

KEPT = timedelta(days=30)
A_DAY = 86400
_PATH = re.compile(r"[^\s<>]*\+(\d{1,7})-([a-z2-7]{16})@[^\s<>]+", re.IGNORECASE)


def of(settings: Settings, recipient: str) -> str:
    """The envelope sender for an email to a recipient; the plain one on a site that takes no bounces."""
    plain = settings.sender_address
    base = settings.bounce_address or (plain if settings.bounce_key else "")
    if not base:
        return plain
    local, _at, domain = base.rpartition("@")
    day = int(now().timestamp()) // A_DAY
    return f"{local}+{day}-{_code(settings.key('return_path'), day, recipient)}@{domain}"


class SentEmail(NamedTuple):
    """An email that really left: its recipient, and the beginning of the day on which it left."""

    recipient: str
    day: datetime


def sent(settings: Settings, paths: Iterable[str], candidates: Iterable[str]) -> SentEmail | None:
    """What was sent to one of the addresses with one of these return paths; None if nothing was."""
    tried = list(dict.fromkeys(candidates))
    for day, code in {(int(day), code.lower()) for path in paths for day, code in _PATH.findall(path)}:
        age = timedelta(days=int(now().timestamp()) // A_DAY - day)
        if not timedelta() <= age <= KEPT:
            continue
        for candidate in tried:
            for key in settings.keys("return_path"):
                if hmac.compare_digest(_code(key, day, candidate), code):
                    return SentEmail(candidate.lower(), datetime.fromtimestamp(day * A_DAY, UTC))
    return None


def _code(key: bytes, day: int, recipient: str) -> str:
    digest = hmac.digest(key, f"{day} {recipient.lower()}".encode(), "sha256")
    return base64.b32encode(digest[:10]).decode().lower()
