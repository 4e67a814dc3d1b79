"""A person's profile: the username, a few words, and who may read their posts."""

from sqlalchemy.exc import IntegrityError
from sqlmodel import col, update
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts.models import User
from webapp.accounts.users import Taken
from webapp.audit import events
from webapp.audit.events import ClientInfo, Event


async def change(
    db: AsyncSession, user: User, username: str, about_me: str, is_public: bool, client: ClientInfo
) -> None:
    """Changes a profile. Raises Taken: the database's unique constraint decides about the name."""
    before = user.username  # the update changes the row in hand, too
    values = {
        "username": username,
        "username_key": username.lower(),
        "about_me": about_me,
        "is_public": is_public,
    }
    try:
        async with db.begin_nested():
            await db.exec(update(User).where(col(User.id) == user.id).values(values))
    except IntegrityError:
        raise Taken("username") from None
    if username != before:
        await events.note(db, Event.RENAMED, user.id, client, before=before, after=username)
