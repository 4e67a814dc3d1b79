"""Choosing which emails you want, and telling the owner if that makes the account less safe."""

from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts.models import User
from webapp.audit import events
from webapp.audit.events import ClientInfo, Event
from webapp.database import now
from webapp.mail import kinds
from webapp.mail.kinds import KINDS
from webapp.notifications import switches
from webapp.settings import Settings


async def choose(db: AsyncSession, settings: Settings, user: User, chosen: dict[str, bool], client: ClientInfo) -> None:
    """Stores which emails a person wants. If emails about the account's safety are turned off, the owner is told."""
    wanted = await switches.of(db, user.id)
    for kind, is_wanted in chosen.items():
        await switches.choose(db, user.id, kind, is_wanted)
        if KINDS[kind].is_security and wanted[kind] and not is_wanted:
            await _tell(db, settings, user, kind, client)


async def _tell(db: AsyncSession, settings: Settings, user: User, kind: str, client: ClientInfo) -> None:
    await events.note(db, Event.EMAILS_TURNED_OFF, user.id, client, letter=kind)
    details: dict[str, Any] = {"username": user.username, "about": kind, "when": now().isoformat()}
    address, language = user.email, user.language
    await kinds.post(db, settings, "emails_turned_off", address, user_id=user.id, language=language, **details)
