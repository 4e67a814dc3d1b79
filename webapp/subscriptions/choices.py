"""Choosing which emails you want, and telling the owner if that makes the account less safe."""

from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts import endings, users
from webapp.accounts.models import User
from webapp.audit import events
from webapp.audit.events import ClientInfo, Event
from webapp.mail.kinds import KINDS
from webapp.notifications import switches
from webapp.settings import Settings


async def choose(db: AsyncSession, settings: Settings, user: User, chosen: dict[str, bool], client: ClientInfo) -> None:
    """Stores which emails a person wants. If emails about the account's safety are turned off, the owner is told."""
    await endings.lock(db, user.id)  # as the form does before it is saved: otherwise a link and a form could deadlock
    wanted = await switches.of(db, user.id)
    for kind, is_wanted in chosen.items():
        await switches.choose(db, user.id, kind, is_wanted)
        if KINDS[kind].is_security and wanted[kind] and not is_wanted:
            await _tell(db, settings, user, kind, client)


async def _tell(db: AsyncSession, settings: Settings, user: User, kind: str, client: ClientInfo) -> None:
    await events.note(db, Event.EMAILS_TURNED_OFF, user.id, client, letter=kind)
    await users.tell(db, settings, user, "emails_turned_off", about=kind)
