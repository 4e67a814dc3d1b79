"""What is written to people about their recovery codes."""

from datetime import datetime, timedelta
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts.letters import A_SAMPLE_DAY, not_me_link
from webapp.mail.models import Claimed
from webapp.mail.writing import Draft, letter
from webapp.settings import Settings

A_SAMPLE = {"username": "susan", "when": A_SAMPLE_DAY.isoformat(), "left": 9}


@letter(
    "recovery_codes_made",
    lives=timedelta(days=5),
    samples=lambda site: [_draft(site, "recovery_codes_made", 0, "susan@example.com", A_SAMPLE)],
)
async def recovery_codes_made(db: AsyncSession, settings: Settings, letter: Claimed) -> Draft | None:
    """To a person for whom new codes have just been made, whoever did it."""
    assert letter.user_id is not None
    return _draft(settings, letter.kind, letter.user_id, letter.recipient, letter.parameters)


@letter(
    "recovery_code_used",
    lives=timedelta(days=5),
    samples=lambda site: [_draft(site, "recovery_code_used", 0, "susan@example.com", A_SAMPLE)],
)
async def recovery_code_used(db: AsyncSession, settings: Settings, letter: Claimed) -> Draft | None:
    """To a person one of whose codes has just been used, whoever did it."""
    assert letter.user_id is not None
    return _draft(settings, letter.kind, letter.user_id, letter.recipient, letter.parameters)


def _draft(settings: Settings, kind: str, user_id: int, address: str, details: dict[str, Any]) -> Draft:
    links = {"not_me_link": not_me_link(settings, user_id, kind)}
    return Draft(kind, address, details | links | {"when": datetime.fromisoformat(details["when"])}, user_id)
