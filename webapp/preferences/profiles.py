"""A person's profile: the username, a few words about themselves, and who may read their posts."""

from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts import users
from webapp.accounts.models import User
from webapp.accounts.users import Taken
from webapp.audit import events
from webapp.audit.events import ClientInfo, Event
from webapp.names import usernames
from webapp.settings import Settings


async def change(
    db: AsyncSession, settings: Settings, user: User, about_me: str, is_public: bool, client: ClientInfo
) -> None:
    """Stores a profile. The owner is told if strangers can now read what they couldn't before."""
    await db.exec(update(User).where(col(User.id) == user.id).values(about_me=about_me, is_public=is_public))
    if is_public and not user.is_public:
        await events.note(db, Event.PROFILE_SHOWN, user.id, client)
        if settings.public_profiles:
            await users.tell(db, settings, user, "profile_shown")


async def take_another_picture(db: AsyncSession, user_id: int) -> None:
    """The next of the pictures that the site draws for a name."""
    await db.exec(update(User).where(col(User.id) == user_id).values(picture=col(User.picture) + 1))


async def rename(db: AsyncSession, settings: Settings, user: User, username: str, client: ClientInfo) -> None:
    """Gives an account another username, and tells its owner. Raises Taken; the caller must then roll back.

    The database's unique constraint decides first, and then whom the username is kept for.
    """
    # Not the row in hand: another session may have given the account another username meanwhile.
    now_called = select(User.username).where(col(User.id) == user.id).with_for_update()
    before = (await db.exec(now_called)).one()
    values = {"username": username, "username_key": username.lower()}
    try:
        await db.exec(update(User).where(col(User.id) == user.id).values(values))
    except IntegrityError:
        raise Taken("username") from None
    if username.lower() != before.lower():
        await _hand_over(db, settings, user, before, username)
    await events.note(db, Event.RENAMED, user.id, client, before=before, after=username)
    await users.tell(db, settings, user, "username_changed", before=before)


async def _hand_over(db: AsyncSession, settings: Settings, user: User, before: str, after: str) -> None:
    """Keeps the old username, and takes the new one unless it is kept for somebody else."""
    owner = await usernames.former_owner(db, after)
    if owner not in {None, user.id} or await usernames.is_retired(db, settings, after):
        raise Taken("username")
    await usernames.take_back(db, user.id, after)
    await usernames.keep(db, user.id, before)
