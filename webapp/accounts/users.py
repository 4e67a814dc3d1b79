"""Accounts as the rest of the site sees them: register, find, change the password."""

from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, bindparam, case, exists, func
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp.accounts import deletions, reserved_emails
from webapp.accounts.endings import NOTHING, Ended, Keep, end_everything
from webapp.accounts.models import User
from webapp.accounts.sessions import SessionUser
from webapp.accounts.tokens import Claim, Purpose, TokenClosed, TokenGone, TokenUsed, read
from webapp.audit import events
from webapp.audit.events import ClientInfo, Event
from webapp.database import now
from webapp.database.hot import Prepared
from webapp.i18n import gettext as _
from webapp.mail import kinds, refusals
from webapp.names import identities, usernames
from webapp.passwords.costs import HashCost
from webapp.passwords.hasher import Hasher
from webapp.settings import NOT_ME_HOURS, Settings

# Nothing hashes to this: such an account only opens with a reset link.
NO_PASSWORD = "!"
_HAS_EMAIL = col(User.email) == bindparam("identity")
_HAS_NAME = col(User.username_key) == bindparam("identity")
_BY_EMAIL, _BY_NAME = select(User).where(_HAS_EMAIL), select(User).where(_HAS_NAME)
_ID_BY_EMAIL = Prepared(select(col(User.id)).where(_HAS_EMAIL))


class Taken(Exception):
    """Somebody has this already; `field` is "username" or "email"."""

    def __init__(self, field: str) -> None:
        super().__init__(
            _("That username is taken.") if field == "username" else _("That email already has an account.")
        )
        self.field = field


async def get(db: AsyncSession, user_id: int) -> User | None:
    return await db.get(User, user_id)


async def get_active(db: AsyncSession, user_id: int) -> User | None:
    """The account, unless it is gone, disabled or being deleted."""
    user = await get(db, user_id)
    return user if user is not None and user.disabled_at is None else None


async def owner(db: AsyncSession, user_id: int) -> User:
    """The account that a session or another row belongs to, which is never without one."""
    return await db.get_one(User, user_id)


async def of_link(
    db: AsyncSession, settings: Settings, purpose: Purpose, token: str, opened: str = ""
) -> tuple[User, Claim]:
    """The person whose link it is, and what it says; `opened` is the stamp of its form.

    Raises TokenInvalid, but doesn't know whether the link was used. Of a closed account it says that first, so nobody
    asks in vain for a fresh link. "This wasn't me" also works while the account is being deleted.
    """
    claim, expired = read(settings, purpose, token, opened)
    user = await get(db, int(claim.subject))
    if user is None:
        raise TokenGone(claim)
    is_open = user.disabled_at is None or (purpose is Purpose.NOT_ME and await deletions.can_be_undone(db, user.id))
    if not is_open:
        raise TokenClosed(claim)
    if expired:
        raise expired
    return user, claim


async def of_unused_link(
    db: AsyncSession, settings: Settings, purpose: Purpose, token: str, opened: str = ""
) -> tuple[User, Claim]:
    """The same for a link that counts as used once its account has left the link's epoch."""
    user, claim = await of_link(db, settings, purpose, token, opened)
    if user.epoch != claim.epoch:
        raise TokenUsed(claim)
    return user, claim


async def find(db: AsyncSession, identity: str) -> User | None:
    """The person with a canonical username or address."""
    statement = _BY_EMAIL if "@" in identity else _BY_NAME
    return (await db.exec(statement, params={"identity": identity})).first()


async def is_free(db: AsyncSession, settings: Settings, username: str, by: int = 0) -> bool:
    """Whether a username is free, for the account `by` or for a new one."""
    user, owner = await find(db, username.lower()), await usernames.former_owner(db, username)
    is_kept = owner not in {None, by} or await usernames.is_retired(db, settings, username)
    return (user is None or user.id == by) and not is_kept


async def has_account(db: AsyncSession, address: str) -> bool:
    """Whether a canonical address has an account; cheaper than finding the person."""
    return await _ID_BY_EMAIL.row(db, {"identity": address}) is not None


async def named(db: AsyncSession, name: str) -> User | None:
    """The person with the username in a path. Addresses don't count here, so nobody can find out whose they are."""
    return await find(db, name.lower()) if identities.USERNAME.fullmatch(name) else None


async def register(
    db: AsyncSession,
    hasher: Hasher,
    settings: Settings,
    username: str,
    email: str,
    password: str,
    language: str,
    client: ClientInfo,
) -> User:
    """Adds an account whose mailbox was proved. Raises Taken (the database's unique constraints decide) or Busy.

    Frees the connection while it hashes.
    """
    if not await is_free(db, settings, username):  # also before hashing, which is expensive
        raise Taken("username")
    password_hash = await hasher.hash(db, password, client.client_ip, email, by_newcomer=True)
    return await add(db, settings, username, email, password_hash, language, client)


async def add(
    db: AsyncSession,
    settings: Settings,
    username: str,
    email: str,
    password_hash: str,
    language: str,
    client: ClientInfo,
) -> User:
    """Like `register`, with a password that is already hashed. The person has just proved the address by an email."""
    user = new(username, email, password_hash, language)
    try:
        async with db.begin_nested():
            db.add(user)
            await db.flush()
            if await reserved_emails.on(db, email):
                raise Taken("email")
            if await usernames.former_owner(db, username) or await usernames.is_retired(db, settings, username):
                raise Taken("username")
    except IntegrityError:
        raise Taken("email" if await find(db, email) else "username") from None
    await refusals.works_again(db, settings, email)
    await events.note(db, Event.REGISTERED, user.id, client)
    return user


def new(username: str, email: str, password_hash: str, language: str = "en") -> User:
    """An account that isn't in the database yet. Its address must be canonical."""
    key = username.lower()
    return User(username=username, username_key=key, email=email, password_hash=password_hash, language=language)


async def note_here(db: AsyncSession, user_id: int) -> None:
    """Records that the person has logged in."""
    await db.exec(update(User).where(col(User.id) == user_id).values(last_seen_at=now(), **_language_settled()))


async def note_password_used(db: AsyncSession, user_id: int) -> None:
    """Records that somebody has just proved that they know the password."""
    await db.exec(update(User).where(col(User.id) == user_id).values(password_used_at=now(), **_language_settled()))


async def change_password(
    db: AsyncSession,
    hasher: Hasher,
    settings: Settings,
    user: User,
    password: str,
    client: ClientInfo,
    event: Event,
    keep: Keep = NOTHING,
) -> Ended:
    """Sets the password, ends everything but what is in `keep`, and tells the person. The caller renews the session.

    Raises Overtaken if the account has left the epoch in which `user` was read. Frees the connection while it
    hashes. Raises Busy.
    """
    password_hash = await hasher.hash(db, password, client.client_ip, user.email)
    unchanged = col(User.epoch) == user.epoch, col(User.disabled_at).is_(None)
    password_changes: dict[str, Any] = {"password_hash": password_hash, "password_locked_at": None}
    ended = await end_everything(
        db, user.id, *unchanged, keep=keep._replace(browser=client.browser_mark), **password_changes
    )
    await events.note(db, event, user.id, client, ended=ended.sessions)
    await tell(db, settings, user, "password_changed", codes=ended.codes, passkeys=ended.passkeys)
    return ended


async def tell(
    db: AsyncSession,
    settings: Settings,
    user: User | SessionUser,
    kind: str,
    *,
    delay: timedelta = timedelta(),
    **details: Any,
) -> None:
    """Posts an email about what has just happened to an account, in the account's language, not in the page's."""
    told = {"username": user.username, "when": now().isoformat()} | details
    await kinds.post(db, settings, kind, user.email, user_id=user.id, language=user.language, delay=delay, **told)


async def set_language(db: AsyncSession, user_id: int, language: str) -> None:
    """Changes the language of the site and of its emails for a person.

    A thief may have chosen one that the person can't read. So warnings keep coming in the former language until the
    person proves who they are, after the time for which "this wasn't me" works.
    """
    values = {
        "language": language,
        "former_language": func.coalesce(col(User.former_language), col(User.language)),
        "former_language_until": now() + timedelta(hours=NOT_ME_HOURS),
    }
    await db.exec(update(User).where(col(User.id) == user_id, col(User.language) != language).values(**values))


async def restore_language(db: AsyncSession, user_id: int) -> None:
    """Undoes a change of language that the person hasn't confirmed in that way."""
    is_kept = col(User.id) == user_id, col(User.former_language).is_not(None)
    await db.exec(update(User).where(*is_kept).values(language=col(User.former_language), former_language=None))


def _language_settled() -> dict[str, Any]:
    """Forgets the former language once its time is over."""
    return {"former_language": case((col(User.former_language_until) > now(), col(User.former_language)))}


async def find_typed(db: AsyncSession, typed: str) -> User | None:
    """The person with a username or address, however it is spelled."""
    return await find(db, identities.identity_or_nonsense(typed))


def unused_hash_costs() -> ColumnElement[bool]:
    """The SQL condition for hash costs that no password has any more: everybody has since logged in or changed it."""
    return ~exists().where(col(User.password_hash).startswith(col(HashCost.cost)))
