"""What people are told about their passkeys, whoever changed them."""

from datetime import timedelta
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.authentication.emails import A_SAMPLE_DAY, notice, told
from webapp.mail.kinds import Draft, email_kind
from webapp.mail.models import Claimed
from webapp.settings import Settings
from webapp.web.words import without_links

A_SAMPLE: dict[str, Any] = {"username": "susan", "when": A_SAMPLE_DAY, "name": "Android", "before": "Firefox"}
SUSAN = "susan@example.com"


@email_kind(
    "passkey_added",
    expires_after=timedelta(days=5),
    counts_repeats=False,
    samples=lambda site: [_draft(site, "passkey_added", 0, SUSAN, A_SAMPLE)],
)
async def passkey_added(db: AsyncSession, settings: Settings, email: Claimed) -> Draft | None:
    """To a person whose account has a new passkey."""
    return await _written(db, settings, email)


@email_kind(
    "passkey_renamed",
    expires_after=timedelta(days=5),
    counts_repeats=False,
    samples=lambda site: [_draft(site, "passkey_renamed", 0, SUSAN, A_SAMPLE)],
)
async def passkey_renamed(db: AsyncSession, settings: Settings, email: Claimed) -> Draft | None:
    """To a person whose passkey was renamed."""
    return await _written(db, settings, email)


@email_kind(
    "passkey_removed",
    expires_after=timedelta(days=5),
    counts_repeats=False,
    samples=lambda site: [_draft(site, "passkey_removed", 0, SUSAN, A_SAMPLE)],
)
async def passkey_removed(db: AsyncSession, settings: Settings, email: Claimed) -> Draft | None:
    """To a person whose passkey was removed."""
    return await _written(db, settings, email)


async def _written(db: AsyncSession, settings: Settings, email: Claimed) -> Draft:
    return _draft(settings, email.kind, email.owner_id, email.recipient, await told(db, email, name="", before=""))


def _draft(settings: Settings, kind: str, user_id: int, address: str, details: dict[str, Any]) -> Draft:
    """A thief may have chosen the names."""
    names = {which: without_links(details[which]) for which in ("name", "before")}
    values = details | names | {"passkeys_link": f"{settings.base_url}/passkeys"}
    return notice(settings, kind, user_id, address, values)
