"""Optional emails: which there are, who wants them, and how people change that."""

from datetime import timedelta

from sqlmodel import col, delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts import users
from webapp.accounts.models import User
from webapp.accounts.tokens import Purpose, issue
from webapp.database import execute, table, upsert
from webapp.mail.kinds import KINDS
from webapp.mail.models import Claimed
from webapp.notifications.models import EmailSwitch
from webapp.settings import Settings

UNSUBSCRIBE_LIFETIME = timedelta(days=365)


async def wants(db: AsyncSession, user_id: int, kind: str) -> bool:
    """Whether a person wants emails of an optional kind."""
    choice = await db.get(EmailSwitch, (user_id, kind))
    return KINDS[kind].default_on if choice is None else choice.is_wanted


async def of(db: AsyncSession, user_id: int) -> dict[str, bool]:
    """A person's choice for each optional kind of email."""
    rows = await db.exec(select(EmailSwitch).where(col(EmailSwitch.user_id) == user_id))
    chosen = {row.kind: row.is_wanted for row in rows}
    return {name: chosen.get(name, kind.default_on) for name, kind in KINDS.items() if kind.is_optional}


async def choose(db: AsyncSession, user_id: int, kind: str, is_wanted: bool) -> None:
    """Stores a person's choice. Raises KeyError if the kind of email isn't optional."""
    if not KINDS[kind].is_optional:
        raise KeyError(kind)
    await execute(db, _CHOOSE, {"user_id": user_id, "kind": kind, "is_wanted": is_wanted})


async def end_silence(db: AsyncSession, user_id: int) -> None:
    """Turns on again what tells of the account's safety, in the language from before: somebody who was in the account
    may have turned it off, or chosen a language that its owner can't read.
    """
    await users.restore_language(db, user_id)
    silenced = [name for name, kind in KINDS.items() if kind.is_security and kind.default_on]
    await db.exec(delete(EmailSwitch).where(col(EmailSwitch.user_id) == user_id, col(EmailSwitch.kind).in_(silenced)))


async def reader(db: AsyncSession, email: Claimed) -> User | None:
    """The person an optional email is for; None if they are gone, disabled, or don't want it."""
    user = await users.get_active(db, email.owner_id)
    if user is None or not await wants(db, email.owner_id, email.kind):
        return None
    return user


def unsubscribe_link(settings: Settings, user_id: int, kind: str, address: str) -> str:
    """The link that turns off an optional kind of email (RFC 8058), and on again while the account has this address."""
    token = issue(settings, Purpose.UNSUBSCRIBE, user_id, UNSUBSCRIBE_LIFETIME, about=kind, to=address)
    return f"{settings.base_url}/unsubscribe/{token}"


_CHOOSE = upsert(table(EmailSwitch), "user_id", "kind", "is_wanted")
