"""What the admin can do about a post and its author. The person concerned is told why, by email."""

from sqlalchemy import update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts import deletions, endings, users
from webapp.accounts.models import AccountDeletion, User
from webapp.accounts.sessions import SessionUser
from webapp.audit import events
from webapp.audit.events import ClientInfo, Event
from webapp.database import execute, now, table
from webapp.factors import methods
from webapp.moderation import reports
from webapp.moderation.reports import Case, Outcome
from webapp.posts.models import Post
from webapp.settings import Settings

_posts = table(Post)


class Gone(Exception):
    """Another admin has just removed the post, or disabled its author."""


class OwnPost(Exception):
    """Nobody decides that a post of their own stays, if there is another admin who can."""


async def keep(db: AsyncSession, settings: Settings, post: Case, admin: SessionUser) -> int:
    """Keeps a post; returns how many reports that settles. Raises OwnPost or Gone."""
    if post.author_id == admin.id and await has_other_admin(db, settings, admin):
        raise OwnPost
    settled = await reports.settle_post(db, post.id, Outcome.KEPT)
    if not settled and await reports.case(db, post.id, viewer_id=None) is None:
        raise Gone  # while this waited for the reports, which somebody else was settling
    return settled


async def has_other_admin(db: AsyncSession, settings: Settings, admin: SessionUser) -> bool:
    """Whether somebody else can open the admins' pages."""
    others = [col(User.email).in_(settings.admin_addresses), col(User.id) != admin.id, col(User.disabled_at).is_(None)]
    if settings.admin_two_factors:
        others.append(methods.of_second_step())
    return (await db.exec(select(User.id).where(*others).limit(1))).first() is not None


async def remove(db: AsyncSession, settings: Settings, post_id: int, reason: str, by: ClientInfo) -> bool:
    """Removes a post for good; False if there is none, or it is already removed."""
    taken_down = (
        update(_posts)
        .where(_posts.c.id == post_id, _posts.c.removed_at.is_(None))
        .values(removed_at=now(), removed_because=reason)
        .returning(_posts.c.author_id)
    )
    author_id = (await execute(db, taken_down)).scalar_one_or_none()
    author = await users.get(db, author_id) if author_id else None
    if author is None:
        return False
    await reports.settle_post(db, post_id, Outcome.REMOVED)
    await events.note(db, Event.POST_REMOVED, author.id, by, post=post_id)
    await users.tell(db, settings, author, "post_removed", post_id=post_id)
    return True


async def disable(db: AsyncSession, settings: Settings, person: User, reason: str, by: ClientInfo) -> None:
    """Disables an account: its posts are hidden, and its links and sessions end. Raises Overtaken."""
    await endings.set_disabled(db, person, True, by)
    await reports.settle_author(db, person.id, Outcome.DISABLED)
    await users.tell(db, settings, person, "account_disabled", reason=reason)


async def delete(db: AsyncSession, settings: Settings, person: User, reason: str, by: ClientInfo) -> AccountDeletion:
    """Deletes an account: hidden at once, gone for good some days later. Its owner can't undo that. Raises
    Overtaken.
    """
    deletion = await deletions.ask(db, settings, person, by, col(User.epoch) == person.epoch, reason=reason)
    await reports.settle_author(db, person.id, Outcome.DELETED)
    return deletion
