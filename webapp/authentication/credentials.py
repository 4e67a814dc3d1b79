"""Checks a username or email and a password: whose account they open, or why they don't open it."""

from datetime import datetime

from babel.dates import format_date
from sqlalchemy import bindparam, column, null, nulls_last, union_all
from sqlalchemy import table as named_table
from sqlmodel import col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from webapp import i18n
from webapp.accounts import deletions, users
from webapp.accounts.models import User
from webapp.audit import events
from webapp.audit.events import ClientInfo, Refusal
from webapp.database import now, table
from webapp.database.hot import Prepared
from webapp.i18n import gettext as _
from webapp.names import identities
from webapp.passwords.costs import other_costs
from webapp.passwords.hasher import Place, normal

# By its name, since it belongs to a room above this one.
_requests = named_table("registration_request", *map(column, ("email", "username_key", "password_hash", "expires_at")))


def _credentials(key: str) -> Prepared:
    """Finds an account, or else the request of somebody who waits for one: without the number of an account. It is one
    statement, so that a log-in takes the same work whether it finds an account, a request or nothing.
    """
    columns = col(User.id), col(User.epoch), col(User.password_hash)
    accounts = select(*columns).where(table(User).c[key] == bindparam("identity"))
    is_current = _requests.c.expires_at > bindparam("moment", type_=table(User).c.created_at.type)
    waiting = select(null(), null(), _requests.c.password_hash)
    waiting = waiting.where(_requests.c[key] == bindparam("identity"), _requests.c.password_hash != "", is_current)
    return Prepared(union_all(accounts, waiting).order_by(nulls_last(column("id"))))


_CREDENTIALS_BY_EMAIL, _CREDENTIALS_BY_NAME = _credentials("email"), _credentials("username_key")


class Closed(Exception):
    """The password is right but doesn't open the account. An email of this `kind` brings its owner a link that does, if
    there is a kind.
    """

    kind = ""

    def __init__(self, user_id: int, words: str) -> None:
        super().__init__(words)
        self.user_id = user_id


class PasswordLocked(Closed):
    """Somebody said "this wasn't me", and has set no new password yet."""

    kind = "reset_password"

    def __init__(self, user_id: int) -> None:
        super().__init__(user_id, _("This account is waiting for its owner to set a new password by email."))


class BeingDeleted(Closed):
    """The owner asked to delete the account, and can still change their mind."""

    kind = "account_deletion"

    def __init__(self, user_id: int, due_at: datetime) -> None:
        words = _("This account will be deleted for good on %(day)s. Until then an email can bring it back.")
        super().__init__(user_id, words % {"day": format_date(due_at, "long", locale=i18n.locale())})


class WaitsForAdmin(Closed):
    """There is no account yet: an admin has to read the request for it first."""

    def __init__(self) -> None:
        words = _("Your request is still waiting: an admin will read it and decide. You'll get an email either way.")
        super().__init__(0, words)


async def authenticate(db: AsyncSession, place: Place, typed: str, password: str, client: ClientInfo) -> User | None:
    """The person with this username or address and password. Takes just as long if there is no such account.

    Frees the connection while it hashes. Raises Closed, which only somebody with the password gets to see.
    """
    identity = identities.identity_or_nonsense(typed)
    # Read no more than this before hashing: making an object of a row would take longer than finding none.
    credentials = _CREDENTIALS_BY_EMAIL if "@" in identity else _CREDENTIALS_BY_NAME
    async with place.with_database(db):
        found = await credentials.row(db, {"identity": identity, "moment": now()})
        costs = await other_costs(db)
    user_id, epoch, password_hash = found or (None, None, None)
    form = await place.matching(db, password, password_hash, costs)
    if form is not None and user_id is None:
        events.refused(Refusal.WAITS_FOR_ADMIN, client, typed=typed)
        raise WaitsForAdmin
    user = await users.get(db, user_id) if user_id is not None and form is not None else None
    if user is None or user.epoch != epoch or user.disabled_at is not None:
        if user is not None and user.epoch == epoch and user.password_locked_at is None:
            await _refuse_being_deleted(db, user, typed, client)
        events.refused(Refusal.LOG_IN, client, user_id=user_id, typed=typed)
        return None
    if user.password_locked_at is not None:
        events.refused(Refusal.PASSWORD_LOCKED, client, user_id=user_id, typed=typed)
        raise PasswordLocked(user.id)
    if place.hasher.is_outdated(user.password_hash) or form != normal(password):
        new_hash = await place.hash(db, password)
        unchanged = col(User.id) == user.id, col(User.password_hash) == user.password_hash
        await db.exec(update(User).where(*unchanged).values(password_hash=new_hash))
    return user


async def _refuse_being_deleted(db: AsyncSession, user: User, typed: str, client: ClientInfo) -> None:
    """Raises BeingDeleted if that is why the account is disabled and its owner can undo it."""
    deletion = await deletions.of(db, user.id)
    if deletion and deletions.is_undoable(deletion):
        events.refused(Refusal.BEING_DELETED, client, user_id=user.id, typed=typed)
        raise BeingDeleted(user.id, deletion.due_at)
