"""Optional letters: which there are, who wants them, and how a person changes that."""

from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts import users
from webapp.accounts.models import User
from webapp.database import execute
from webapp.mail.kinds import KINDS
from webapp.mail.models import Claimed
from webapp.notifications.models import LetterChoice


async def wants(db: AsyncSession, user_id: int, kind: str) -> bool:
    """Whether a person wants letters of an optional kind."""
    choice = await db.get(LetterChoice, (user_id, kind))
    return KINDS[kind].is_usual if choice is None else choice.is_wanted


async def of(db: AsyncSession, user_id: int) -> dict[str, bool]:
    """What a person wants, for each optional kind of letter."""
    rows = await db.exec(select(LetterChoice).where(col(LetterChoice.user_id) == user_id))
    chosen = {row.kind: row.is_wanted for row in rows}
    return {name: chosen.get(name, kind.is_usual) for name, kind in KINDS.items() if kind.is_optional}


async def choose(db: AsyncSession, user_id: int, kind: str, is_wanted: bool) -> None:
    """Writes down what a person wants. Raises KeyError for a kind of letter that is not optional."""
    if not KINDS[kind].is_optional:
        raise KeyError(kind)
    await execute(db, _CHOOSE, {"user_id": user_id, "kind": kind, "is_wanted": is_wanted})


async def reader(db: AsyncSession, letter: Claimed) -> User | None:
    """Whom an optional letter is for; None if they are gone or disabled, or want no such letters."""
    assert letter.user_id is not None
    user = await users.get(db, letter.user_id)
    if user is None or user.disabled_at is not None or not await wants(db, letter.user_id, letter.kind):
        return None
    return user


_CHOOSE = text(
    "INSERT INTO letter_choice (user_id, kind, is_wanted) VALUES (:user_id, :kind, :is_wanted)"
    " ON CONFLICT (user_id, kind) DO UPDATE SET is_wanted = excluded.is_wanted"
)
