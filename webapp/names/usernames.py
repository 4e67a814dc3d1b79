"""Usernames kept for a while: for the person who has just given one up, or from everybody if it was a deleted one's."""

import hashlib
import hmac
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, select
from sqlmodel import Field, SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.database import execute, now, table, upsert
from webapp.settings import Settings

KEPT = timedelta(days=30)
RETIRED = timedelta(days=365)  # of an account that was deleted


class KeptUsername(SQLModel, table=True):
    """A username that an account has given up, and until when nobody else may have it."""

    __tablename__ = "kept_username"

    username_key: str = Field(primary_key=True, max_length=30)
    user_id: int = Field(foreign_key="user_account.id", index=True, ondelete="CASCADE")
    kept_until: datetime = Field(index=True)


class RetiredUsername(SQLModel, table=True):
    """The username of a deleted account, and until when nobody may have it. Stored only as a keyed hash."""

    __tablename__ = "retired_username"

    name_hash: str = Field(primary_key=True, max_length=64)
    kept_until: datetime = Field(index=True)


_kept = table(KeptUsername)
_retired = table(RetiredUsername)


async def keep(db: AsyncSession, user_id: int, username: str) -> None:
    """Keeps a username that an account has given up, so that nobody else gets what is meant for its owner."""
    row = {"username_key": username.lower(), "user_id": user_id, "kept_until": now() + KEPT}
    await execute(db, _KEEP, row)


async def take_back(db: AsyncSession, user_id: int, username: str) -> None:
    """A username that is in use again needn't be kept any more."""
    await execute(db, delete(_kept).where(_kept.c.username_key == username.lower(), _kept.c.user_id == user_id))


async def former_owner(db: AsyncSession, username: str) -> int | None:
    """The account that a username is kept for.

    Ask this after the database's unique constraint has let the username through: only then is every change that freed
    it seen.
    """
    kept = _kept.c.username_key == username.lower(), _kept.c.kept_until > now()
    return (await execute(db, select(_kept.c.user_id).where(*kept))).scalar()


async def held(db: AsyncSession) -> set[str]:
    """All usernames that are kept for somebody."""
    return set((await execute(db, select(_kept.c.username_key).where(_kept.c.kept_until > now()))).scalars())


async def retire(db: AsyncSession, settings: Settings, username: str, until: datetime) -> None:
    """Keeps a username from everybody without storing it: only with our key can one find out which it is."""
    row = {"name_hash": _mark(settings.key("retired_username"), username), "kept_until": until}
    await execute(db, _RETIRE, row)


async def release(db: AsyncSession, settings: Settings, username: str) -> None:
    """Undoes `retire` for the account that held the username."""
    await execute(db, delete(_retired).where(_is_it(settings, username)))


async def is_retired(db: AsyncSession, settings: Settings, username: str) -> bool:
    """Whether a deleted account had the username. Ask when you ask for its `former_owner`."""
    query = select(_retired.c.kept_until).where(_is_it(settings, username), _retired.c.kept_until > now())
    return (await execute(db, query)).first() is not None


async def retired(db: AsyncSession, settings: Settings) -> Callable[[str], bool]:
    """The same for many usernames, as of now."""
    query = select(_retired.c.name_hash).where(_retired.c.kept_until > now())
    marks, keys = set((await execute(db, query)).scalars()), settings.keys("retired_username")
    return lambda username: bool(marks) and any(_mark(key, username) in marks for key in keys)


def _is_it(settings: Settings, username: str) -> ColumnElement[bool]:
    return _retired.c.name_hash.in_([_mark(key, username) for key in settings.keys("retired_username")])


def _mark(key: bytes, username: str) -> str:
    return hmac.digest(key, username.lower().encode(), hashlib.sha256).hex()


_RETIRE = upsert(_retired, "name_hash", "kept_until")
_KEEP = upsert(_kept, "username_key", "user_id", "kept_until")
