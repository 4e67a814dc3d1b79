"""The tables of accounts."""

from datetime import datetime

from sqlalchemy import BigInteger, Column
from sqlmodel import Field, SQLModel

from webapp.database import now, partial_index


class User(SQLModel, table=True):
    """A person with an account. They proved their mailbox before the row was made.

    Every link, session and known browser carries the `epoch` it was made in, so one number ends them all. Only
    `endings.end_everything` raises it.
    """

    __tablename__ = "user_account"
    # Otherwise SQLite would give a deleted account's number to the next one, and with it the old links.
    __table_args__ = (
        partial_index(
            "ix_user_account_factor_removal_due_at", "factor_removal_due_at", where="factor_removal_due_at IS NOT NULL"
        ),
        {"sqlite_autoincrement": True},
    )

    id: int = Field(default=None, primary_key=True)
    username: str = Field(max_length=30)
    username_key: str = Field(max_length=30, unique=True)  # in lower case: capitals make no difference
    email: str = Field(max_length=254, unique=True)  # canonical, see names/identities.py
    password_hash: str = Field(max_length=200)
    epoch: int = 0
    language: str = Field(default="en", max_length=12)
    # What warns its owner comes in the language from before, until they log in or prove themselves after that time.
    former_language: str | None = Field(default=None, max_length=12)
    former_language_until: datetime | None = None
    created_at: datetime = Field(default_factory=now)
    last_seen_at: datetime | None = None  # None for somebody who has never been here
    disabled_at: datetime | None = None
    reset_paused_until: datetime | None = None  # "this wasn't me": no reset emails until then
    password_used_at: datetime | None = None
    password_locked_at: datetime | None = None  # "this wasn't me": the password opens nothing until there is a new one
    email_checked_at: datetime | None = None  # a test link was followed
    codes_checked_at: datetime | None = None  # four characters of a recovery code were typed
    # When a test link was asked for, and who opened it first, if that wasn't the person.
    checkup_sent_at: datetime | None = None
    checkup_opened_at: datetime | None = None
    checkup_opened_ip: str | None = Field(default=None, max_length=60)
    checkup_opened_agent: str | None = Field(default=None, max_length=300)
    checkup_at: datetime | None = None  # the last "Can you get back in?", done or declined
    passkey_declined_at: datetime | None = None  # "no, thanks": no passkey is offered again
    about_me: str = Field(default="", max_length=140)
    picture: int = 0  # which of the pictures that the site draws for a name
    mentions_seen_at: datetime | None = None  # when the page of mentions was last opened with something new on it
    is_public: bool = True  # whether strangers may read the profile and the posts
    # Somebody asked by a mailed link to have the second factors removed: when that is due, and when the owner was told
    # of it last. A log-in stops it, and so does whatever raises the epoch.
    factor_removal_due_at: datetime | None = None
    factor_removal_told_at: datetime | None = None

    @property
    def reset_pause(self) -> datetime | None:
        """Until when nobody else can have reset emails sent to the person; None if they can."""
        return self.reset_paused_until if self.reset_paused_until and self.reset_paused_until > now() else None

    @property
    def warned_in(self) -> str:
        """The language of what warns the person."""
        return self.former_language or self.language


class Session(SQLModel, table=True):
    """One browser that is logged in. The cookie holds 256 random bits, the row only their SHA-256."""

    __tablename__ = "session"
    # A request that is under way when its session ends must never find somebody else's under its number.
    __table_args__ = {"sqlite_autoincrement": True}

    id: int = Field(default=None, primary_key=True)
    token_hash: str = Field(max_length=64, unique=True)
    user_id: int = Field(foreign_key="user_account.id", index=True, ondelete="CASCADE")
    epoch: int
    is_remembered: bool
    user_agent: str = Field(max_length=300)
    client_ip: str = Field(max_length=60)
    browser_mark: str = Field(default="", max_length=64)  # the known browser that goes when this session is ended
    created_at: datetime = Field(default_factory=now)
    last_seen_at: datetime = Field(default_factory=now)
    proved_at: datetime = Field(default_factory=now)  # when the person last proved who they are
    second_proved_at: datetime | None = None  # and when they last passed a second step, or used a passkey
    expires_at: datetime = Field(index=True)
    passkey_id: int | None = None  # the one that opened it, which survives as long as the session


class KnownBrowser(SQLModel, table=True):
    """A browser in which a person has logged in before. Its cookie holds 256 random bits, the row their SHA-256.

    It is known only in its `epoch`: whatever ends the account's sessions ends this as well. What is tried in it is
    `counted_as` the same when the cookie is renewed.
    """

    __tablename__ = "known_browser"

    user_id: int = Field(foreign_key="user_account.id", primary_key=True, ondelete="CASCADE")
    secret_hash: str = Field(primary_key=True, index=True, max_length=64)
    epoch: int
    counted_as: str = Field(max_length=32)
    known_since: datetime = Field(default_factory=now)
    last_seen_at: datetime = Field(default_factory=now, index=True)
    trusted_until: datetime | None = None  # until then, a log-in there asks for no second step


class AccountDeletion(SQLModel, table=True):
    """An account that is being deleted: disabled at once, and gone for good from `due_at` on.

    If it has a `reason`, the admin asked for it, and its owner can't undo it.
    """

    __tablename__ = "account_deletion"
    # A link that undoes one deletion must never undo the next.
    __table_args__ = {"sqlite_autoincrement": True}

    id: int = Field(default=None, primary_key=True)
    user_id: int = Field(foreign_key="user_account.id", unique=True, ondelete="CASCADE")
    asked_at: datetime = Field(default_factory=now)
    due_at: datetime = Field(index=True)
    reason: str = Field(default="", max_length=300)


class AddressChange(SQLModel, table=True):
    """One request to change an address. It never changes, so a link confirms exactly what it was sent for.

    `epoch` is the account's at the time of the request: whatever ends links ends this one too. Undoing doesn't look at
    it. `undone_at` is when it was undone, or when nobody had the right to undo it any more.
    """

    __tablename__ = "address_change"
    __table_args__ = {"sqlite_autoincrement": True}  # a link holds the number

    id: int = Field(default=None, primary_key=True)
    user_id: int = Field(foreign_key="user_account.id", index=True, ondelete="CASCADE")
    epoch: int
    old_email: str = Field(max_length=254)
    new_email: str = Field(max_length=254)
    created_at: datetime = Field(default_factory=now, index=True)
    confirmed_at: datetime | None = None
    undone_at: datetime | None = None


class RecoveryCode(SQLModel, table=True):
    """A code that leads to a new password, once.

    `label` is its first part as it is, and finds the row. The rest is stored only as an argon2id hash.
    """

    __tablename__ = "recovery_code"

    user_id: int = Field(foreign_key="user_account.id", primary_key=True, ondelete="CASCADE")
    label: str = Field(primary_key=True, max_length=8)
    code_hash: str = Field(max_length=200)
    created_at: datetime = Field(default_factory=now)
    used_at: datetime | None = None


class Passkey(SQLModel, table=True):
    """A key in a person's devices that opens the account in its `epoch`. The private half never leaves the device.

    `handle` is what the device knows the account by: random, and the same for all passkeys of an account. `counter` is
    how often the passkey last said it had been used; many say 0. `is_synced` is whether it is on more than one device.
    """

    __tablename__ = "passkey"
    __table_args__ = {"sqlite_autoincrement": True}

    id: int = Field(default=None, primary_key=True)
    user_id: int = Field(foreign_key="user_account.id", index=True, ondelete="CASCADE")
    epoch: int
    credential_id: str = Field(max_length=1400, unique=True)
    public_key: str = Field(max_length=4000)
    handle: str = Field(max_length=100)
    name: str = Field(max_length=60)
    counter: int = Field(default=0, sa_column=Column(BigInteger(), nullable=False))
    is_synced: bool
    created_at: datetime = Field(default_factory=now)
    last_used_at: datetime | None = None
