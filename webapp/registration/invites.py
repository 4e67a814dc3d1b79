"""Invitations by members: make, list and revoke them, and take one of their places, which nobody can take twice."""

from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import ColumnElement, Select, TextClause, case, func, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts import tokens
from webapp.accounts.models import User
from webapp.accounts.tokens import Purpose
from webapp.database import LAST_ID, execute, execute_together, now, table
from webapp.registration.models import Invite, InviteUse
from webapp.settings import Settings

MOST_DAYS = tokens.INVITE_LIFETIME.days
MOST_LISTED = 100
LISTED = timedelta(days=30)  # after its end, for its maker

# The SQL condition of the accounts that the statement's `viewer_id` can see.
Seen = ColumnElement[bool] | TextClause

_invites, _uses, _users = table(Invite), table(InviteUse), table(User)


@dataclass(frozen=True)
class ListedInvite:
    """An invitation as its maker sees it: `state` is "live", "used", "expired", "revoked" or "ended"."""

    invite: Invite
    state: str
    link: str
    people: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Invitation:
    """What a stranger with the link is shown."""

    id: int
    inviter: str


class NoPlaces(Exception):
    """More than the member has left; `left` is how many that is."""

    def __init__(self, left: int) -> None:
        super().__init__(f"{left} left")
        self.left = left


class NotLive(Exception):
    """The invitation is used up, too old or revoked, or its maker's account is not what it was."""


async def make(
    db: AsyncSession, settings: Settings, user_id: int, epoch: int, name: str, places: int, days: int
) -> Invite:
    """Adds an invitation. Raises NoPlaces. The caller must keep a member from making two at once: counting a limit
    does.
    """
    left = await places_left(db, settings, user_id, epoch)
    if places > left:
        raise NoPlaces(left)
    invite = Invite(user_id=user_id, epoch=epoch, name=name, places=places, expires_at=now() + timedelta(days=days))
    db.add(invite)
    await db.flush()
    return invite


async def places_left(db: AsyncSession, settings: Settings, user_id: int, epoch: int) -> int:
    """How many more people a member may invite. Those who came count for good, a free place only while it can be
    taken.
    """
    held = case((_is_open() & (_invites.c.epoch == epoch), _invites.c.places), else_=_invites.c.taken)
    given = select(func.coalesce(func.sum(held), 0)).where(_invites.c.user_id == user_id)
    return max(0, settings.member_invites - int((await execute(db, given)).scalar_one()))


async def of(db: AsyncSession, settings: Settings, user_id: int, epoch: int, seen: Seen) -> list[ListedInvite]:
    """A member's invitations, newest first, and who came by each, if the member can see them. Two statements, however
    many there are.
    """
    mine = select(_invites).where(_invites.c.user_id == user_id).order_by(_invites.c.id.desc()).limit(MOST_LISTED)
    came = select(_uses.c.invite_id, _users.c.username).join(_users, _users.c.id == _uses.c.user_id)
    theirs = came.where(_uses.c.inviter_id == user_id, _users.c.disabled_at.is_(None), seen).order_by(_uses.c.user_id)
    rows, uses = await execute_together(db, {"viewer_id": user_id}, mine, theirs)
    people: dict[int, list[str]] = {}
    for invite_id, username in uses:
        people.setdefault(invite_id, []).append(username)
    return [ListedInvite(row, _state(row, epoch), _link(settings, row), people.get(row.id, [])) for row in rows]


async def revoke(db: AsyncSession, user_id: int, invite_id: int) -> bool:
    """Ends a member's invitation; False if it isn't theirs or has ended."""
    which = _invites.c.id == min(invite_id, LAST_ID), _invites.c.user_id == user_id, _invites.c.revoked_at.is_(None)
    return bool((await execute(db, update(_invites).where(*which).values(revoked_at=now()))).rowcount)


async def find(
    db: AsyncSession, settings: Settings, invite_id: int, seen: Seen | None = None, viewer_id: int = 0
) -> Invitation:
    """A live invitation. Raises NotLive, also if its maker isn't `seen` by the viewer."""
    query = select(_invites.c.id, _users.c.username).join(_users, _users.c.id == _invites.c.user_id)
    which = _invites.c.id == min(invite_id, LAST_ID), _is_open(), _is_of_member(), *([] if seen is None else [seen])
    row = (await execute(db, query.where(*which), {"viewer_id": viewer_id})).first() if are_on(settings) else None
    if row is None:
        raise NotLive
    return Invitation(row.id, row.username)


async def take(db: AsyncSession, settings: Settings, invite_id: int) -> int:
    """Takes a place, in the transaction that adds the account; returns who invites. Raises NotLive.

    One statement, so of any number at once only as many get through as there are places.
    """
    member = select(_users.c.id).where(_users.c.id == _invites.c.user_id, _is_of_member()).exists()
    which = _invites.c.id == invite_id, _is_open(), member
    taken = update(_invites).where(*which).values(taken=_invites.c.taken + 1).returning(_invites.c.user_id)
    inviter_id: int | None = (await execute(db, taken)).scalar_one_or_none() if are_on(settings) else None
    if inviter_id is None:
        raise NotLive
    return inviter_id


async def note_use(db: AsyncSession, invite_id: int, inviter_id: int, user_id: int) -> None:
    db.add(InviteUse(user_id=user_id, invite_id=invite_id, inviter_id=inviter_id))
    await db.flush()


def inviters_of(user_id: int) -> Select[str]:
    """Finds who invited a person, if a member did who is still here."""
    return select(_users.c.username).join(_uses, _uses.c.inviter_id == _users.c.id).where(_uses.c.user_id == user_id)


def are_on(settings: Settings) -> bool:
    """Whether members may invite at all."""
    return settings.member_invites > 0 and settings.registration != "closed"


def outdated() -> ColumnElement[bool]:
    """The SQL condition for invitations that brought nobody and ended long ago. The others say who came by whom."""
    is_over: ColumnElement[bool] = (_invites.c.taken == 0) & (_invites.c.expires_at < now() - LISTED)
    return is_over


def _is_open() -> ColumnElement[bool]:
    has_places = _invites.c.taken < _invites.c.places
    is_open: ColumnElement[bool] = _invites.c.revoked_at.is_(None) & (_invites.c.expires_at > now()) & has_places
    return is_open


def _is_of_member() -> ColumnElement[bool]:
    """The SQL condition that its maker's account hasn't changed: whatever ends their links and sessions ends this,
    too.
    """
    is_theirs: ColumnElement[bool] = (_users.c.epoch == _invites.c.epoch) & _users.c.disabled_at.is_(None)
    return is_theirs


def _state(invite: Invite, epoch: int) -> str:
    if invite.revoked_at:
        return "revoked"
    if invite.taken >= invite.places:
        return "used"
    if invite.expires_at <= now():
        return "expired"
    return "live" if invite.epoch == epoch else "ended"


def _link(settings: Settings, invite: Invite) -> str:
    left: timedelta = max(timedelta(), invite.expires_at - now())
    token = tokens.issue(settings, Purpose.INVITE, invite.id, left, invite.epoch)
    return f"{settings.base_url}/invite/{token}"
