"""Accounts as the rest of the site sees them: register, find, authenticate, change the password."""

import re
from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

from babel.dates import format_date
from email_validator import EmailNotValidError, validate_email
from sqlalchemy import ColumnElement, bindparam
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, delete, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import database, i18n
from webapp.accounts import known_browsers, reserved_emails, sessions, usernames
from webapp.accounts.models import AccountDeletion, Passkey, RecoveryCode, Session, User
from webapp.accounts.passwords import Hasher, normal, other_costs
from webapp.audit import events
from webapp.audit.events import ClientInfo, Event, Refusal
from webapp.database import execute, now
from webapp.database.hot import Prepared
from webapp.i18n import gettext as _
from webapp.mail import kinds
from webapp.settings import Settings

# Nothing hashes to this: such an account only opens with a reset link.
NO_PASSWORD = "!"
USERNAME = re.compile(r"[a-z0-9_]{3,30}", re.ASCII | re.IGNORECASE)
_HAS_EMAIL = col(User.email) == bindparam("identity")
_HAS_NAME = col(User.username_key) == bindparam("identity")
_BY_EMAIL, _BY_NAME = select(User).where(_HAS_EMAIL), select(User).where(_HAS_NAME)
_ID_BY_EMAIL = Prepared(select(col(User.id)).where(_HAS_EMAIL))
_CREDENTIALS = select(col(User.id), col(User.epoch), col(User.password_hash))
_CREDENTIALS_BY_EMAIL = Prepared(_CREDENTIALS.where(_HAS_EMAIL))
_CREDENTIALS_BY_NAME = Prepared(_CREDENTIALS.where(_HAS_NAME))


class Taken(Exception):
    """Somebody has this already; `field` is "username" or "email"."""

    def __init__(self, field: str) -> None:
        super().__init__(
            _("That username is taken.") if field == "username" else _("That email already has an account.")
        )
        self.field = field


class Closed(Exception):
    """The password is right, and opens nothing. An email of the `kind` to the account's owner has a link that helps."""

    kind = ""

    def __init__(self, user_id: int, words: str) -> None:
        super().__init__(words)
        self.user_id = user_id


class PasswordLocked(Closed):
    """Somebody said "this wasn't me", and has set no new password yet."""

    kind = "reset_password"

    def __init__(self, user_id: int) -> None:
        super().__init__(user_id, _("This account waits for its owner to set a new password by email."))


class BeingDeleted(Closed):
    """Its owner has had it deleted, and can still undo that."""

    kind = "account_deletion"

    def __init__(self, user_id: int, due_at: datetime) -> None:
        words = _("This account will be deleted for good on %(day)s. Until then an email can bring it back.")
        super().__init__(user_id, words % {"day": format_date(due_at, "long", locale=i18n.locale())})


class Overtaken(Exception):
    """The account has changed since it was read, so nothing was written."""


class Keep(NamedTuple):
    """What outlives the end of everything, on purpose: the session and the browser (its mark) of who asks for it.

    With the session goes the passkey that has opened it. And the recovery codes, where they were made by who has the
    second factor, and that was shown just now.
    """

    session: int | None = None
    browser: str = ""
    codes: bool = False


NOTHING = Keep()


class Ended(NamedTuple):
    """The new epoch, how many sessions ended, how many unused recovery codes, and how many passkeys."""

    epoch: int
    sessions: int
    codes: int
    passkeys: int = 0


def canonical_address(text: str, local_domains: Collection[str] = ()) -> str:
    """The one form in which an address is stored, compared and mailed: ASCII, and lower case.

    Raises ValueError with words for the visitor. An address whose local part is not ASCII is refused, never
    mapped to a look-alike (CVE-2019-19844). `local_domains` are those that the rest of the world knows nothing of.
    """
    before, at, domain = usernames.visible(text).rpartition("@")
    local_domain = domain.lower() if domain.lower() in local_domains else ""
    known = f"{before}@example.com" if local_domain else f"{before}{at}{domain}"
    try:
        address = validate_email(known, check_deliverability=False, strict=True, allow_smtputf8=False)
    except EmailNotValidError:
        raise ValueError(_("That doesn't look like an email, such as name@example.com.")) from None
    # Some mail programs and servers decode =?utf-8?q?...?= even here, and so write to somebody else.
    if not address.ascii_email or len(address.ascii_email) > 254 or "=?" in address.ascii_email:
        raise ValueError(_("That doesn't look like an email, such as name@example.com."))
    if local_domain:
        return f"{address.local_part.lower()}@{local_domain}"
    return address.ascii_email.lower()


def canonical_identity(text: str, local_domains: Collection[str] = ()) -> str:
    """The form in which to look up what somebody typed as "username or email". Raises ValueError."""
    text = usernames.visible(text)
    if "@" in text:
        return canonical_address(text, local_domains)
    if not USERNAME.fullmatch(text):
        raise ValueError(_("Type your username or your email."))
    return text.lower()


def identity_or_nonsense(typed: str) -> str:
    """For the log-in: a name that can't exist must look like one that doesn't.

    An address of one of MAIL_LOCAL_DOMAINS comes out as it is known, too.
    """
    try:
        return canonical_identity(typed)
    except ValueError:
        return usernames.visible(typed).lower()


async def get(db: AsyncSession, user_id: int) -> User | None:
    return await db.get(User, user_id)


async def find(db: AsyncSession, identity: str) -> User | None:
    """The person with a canonical username or address."""
    statement = _BY_EMAIL if "@" in identity else _BY_NAME
    return (await db.exec(statement, params={"identity": identity})).first()


async def is_free(db: AsyncSession, settings: Settings, username: str, by: int = 0) -> bool:
    """Whether an account, that of `by` or one to be made, could have a username."""
    user, owner = await find(db, username.lower()), await usernames.former_owner(db, username)
    is_kept = owner not in {None, by} or await usernames.is_retired(db, settings, username)
    return (user is None or user.id == by) and not is_kept


async def has_account(db: AsyncSession, address: str) -> bool:
    """Whether a canonical address has an account; cheaper than finding the person."""
    return await _ID_BY_EMAIL.row(db, {"identity": address}) is not None


async def named(db: AsyncSession, name: str) -> User | None:
    """The person with the username in a path. An address is no username here, so nobody can learn whose it is."""
    return await find(db, name.lower()) if USERNAME.fullmatch(name) else None


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
    if not await is_free(db, settings, username):  # asked before, too, since a hash is dear
        raise Taken("username")
    await database.release(db)
    user = new(username, email, await hasher.hash(password, client.client_ip, email), language)
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
    await events.note(db, Event.REGISTERED, user.id, client)
    return user


def new(username: str, email: str, password_hash: str, language: str = "en") -> User:
    """An account that isn't added yet. Its address must be canonical."""
    key = username.lower()
    return User(username=username, username_key=key, email=email, password_hash=password_hash, language=language)


async def authenticate(db: AsyncSession, hasher: Hasher, typed: str, password: str, client: ClientInfo) -> User | None:
    """The person with this password. Takes as long for a name that nobody has.

    Frees the connection while it hashes. Raises Busy; and Closed, which only who knows the password learns.
    """
    identity = identity_or_nonsense(typed)
    # No more than this is read before the hash: to make an object of a row would take longer than to find none.
    found = await (_CREDENTIALS_BY_EMAIL if "@" in identity else _CREDENTIALS_BY_NAME).row(db, {"identity": identity})
    by, costs = (client.client_ip, identity), await other_costs(db)
    await database.release(db)
    user_id, epoch, password_hash = found or (None, None, None)
    form = await hasher.fitting(password, password_hash, *by, costs=costs)
    user = await get(db, user_id) if user_id is not None and form is not None else None
    if user is None or user.epoch != epoch or user.disabled_at is not None:
        if user is not None and user.epoch == epoch and user.password_locked_at is None:
            await _refuse_being_deleted(db, user, typed, client)
        events.refused(Refusal.LOG_IN, client, user_id=user_id, typed=typed)
        return None
    if user.password_locked_at is not None:
        events.refused(Refusal.PASSWORD_LOCKED, client, user_id=user_id, typed=typed)
        raise PasswordLocked(user.id)
    if hasher.is_outdated(user.password_hash) or form != normal(password):
        await database.release(db)
        new_hash = await hasher.hash(password, *by)
        unchanged = col(User.id) == user.id, col(User.password_hash) == user.password_hash
        await db.exec(update(User).where(*unchanged).values(password_hash=new_hash))
    return user


async def _refuse_being_deleted(db: AsyncSession, user: User, typed: str, client: ClientInfo) -> None:
    """Raises BeingDeleted, if that is why the account is disabled, and its owner can undo it."""
    mine = col(AccountDeletion.user_id) == user.id, col(AccountDeletion.reason) == ""
    due_at = (await db.exec(select(AccountDeletion.due_at).where(*mine))).first()
    if due_at and now() < due_at:
        events.refused(Refusal.BEING_DELETED, client, user_id=user.id, typed=typed)
        raise BeingDeleted(user.id, due_at)


async def note_password_used(db: AsyncSession, user_id: int) -> None:
    """Notes that somebody has just proved that they know the password."""
    await db.exec(update(User).where(col(User.id) == user_id).values(password_used_at=now()))


async def end_everything(
    db: AsyncSession, user_id: int, *only_if: ColumnElement[bool], keep: Keep = NOTHING, **changes: Any
) -> Ended:
    """Raises the account's epoch and makes `changes` in its row: ends every session, link, known browser, recovery
    code, passkey, trusted browser, pending change of address and waiting removal of factors, but what is in `keep`.

    An authenticator app stays: no reset takes it away.

    Raises Overtaken if the row is not as `only_if` says: of any number at once, one wins.
    """
    changes |= {"factor_removal_due_at": None, "factor_removal_told_at": None}
    raised = update(User).where(col(User.id) == user_id, *only_if).values(epoch=col(User.epoch) + 1, **changes)
    epoch = (await execute(db, raised.returning(col(User.epoch)))).scalar_one_or_none()
    if epoch is None:
        raise Overtaken
    ended = await sessions.end_all(db, user_id, epoch - 1, keep.session)
    # Where no session is kept, it may be anybody who asks: a trusted browser stays known, and is trusted no more.
    await known_browsers.forget_others(db, user_id, keep.browser, epoch, keeps_trust=keep.session is not None)
    codes = delete(RecoveryCode).where(col(RecoveryCode.user_id) == user_id).returning(col(RecoveryCode.used_at))
    unused = [] if keep.codes else [used_at is None for used_at in (await execute(db, codes)).scalars()]
    return Ended(epoch, ended, sum(unused), await _end_passkeys(db, user_id, epoch, keep))


async def _end_passkeys(db: AsyncSession, user_id: int, epoch: int, keep: Keep) -> int:
    """Ends all passkeys of an account but the one of the session that is kept; returns how many."""
    own = select(Session.passkey_id).where(col(Session.id) == keep.session)
    kept = (await db.exec(own)).first() if keep.session is not None else None
    this = col(Passkey.user_id) == user_id, col(Passkey.id) == (kept or 0), col(Passkey.epoch) == epoch - 1
    if kept:
        await db.exec(update(Passkey).where(*this).values(epoch=epoch))
    others = delete(Passkey).where(col(Passkey.user_id) == user_id, col(Passkey.epoch) != epoch)
    gone = (await execute(db, others.returning(col(Passkey.epoch)))).scalars()
    return sum(each == epoch - 1 for each in gone)


async def change_password(
    db: AsyncSession,
    hasher: Hasher,
    settings: Settings,
    user: User,
    password: str,
    client: ClientInfo,
    event: Event,
    kept: int | None = None,
    *,
    keeps_codes: bool = False,
) -> Ended:
    """Sets the password, ends everything but the session `kept`, which the caller must renew, and tells the person.

    Raises Overtaken if the account has left the epoch in which `user` was read. Frees the connection while it
    hashes. Raises Busy.
    """
    await database.release(db)
    password_hash = await hasher.hash(password, client.client_ip, user.email)
    unchanged = col(User.epoch) == user.epoch, col(User.disabled_at).is_(None)
    keep = Keep(kept, client.browser_mark, keeps_codes)
    password_changes: dict[str, Any] = {"password_hash": password_hash, "password_locked_at": None}
    ended = await end_everything(db, user.id, *unchanged, keep=keep, **password_changes)
    await events.note(db, event, user.id, client, ended=ended.sessions)
    told: dict[str, Any] = {
        "when": now().isoformat(),
        "codes": ended.codes,
        "passkeys": ended.passkeys,
        "username": user.username,
    }
    await kinds.post(db, settings, "password_changed", user.email, user_id=user.id, **told)
    return ended


async def set_disabled(db: AsyncSession, user: User, is_disabled: bool, by: ClientInfo = events.BY_OPERATOR) -> None:
    """Disables an account, or enables it again, which ends its deletion, too. Either way everything ends.

    Who is disabled while they have their account deleted can't undo that.
    """
    await end_everything(db, user.id, disabled_at=now() if is_disabled else None)
    theirs = col(AccountDeletion.user_id) == user.id
    if is_disabled:
        await db.exec(
            update(AccountDeletion).where(theirs, col(AccountDeletion.reason) == "").values(reason="disabled")
        )
    else:
        await db.exec(delete(AccountDeletion).where(theirs))
    await events.note(db, Event.DISABLED if is_disabled else Event.ENABLED, user.id, by)


async def log_out_everywhere(
    db: AsyncSession, user_id: int, keep: Keep = NOTHING, by: ClientInfo = events.BY_OPERATOR
) -> Ended:
    """Ends everything, for the account's owner or the admin."""
    ended = await end_everything(db, user_id, keep=keep)
    await events.note(db, Event.SESSIONS_ENDED, user_id, by, ended=ended.sessions)
    return ended


async def set_language(db: AsyncSession, user_id: int, language: str) -> None:
    """Changes the language of the site and of its emails for a person."""
    await db.exec(update(User).where(col(User.id) == user_id).values(language=language))


async def find_typed(db: AsyncSession, typed: str) -> User | None:
    """The person with a username or address, however it is spelled."""
    return await find(db, identity_or_nonsense(typed))
