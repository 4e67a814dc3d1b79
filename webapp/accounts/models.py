"""The tables of accounts."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from webapp.database import now


class User(SQLModel, table=True):
    """A person with an account. Its mailbox was proved before the row was made.

    `epoch` goes up when the password or the address changes. Every link and session carries the epoch it was
    made in, so one number ends them all.
    """

    __tablename__ = "user_account"
    # SQLite would give a deleted account's number to the next one, and with it the links that carry it.
    __table_args__ = {"sqlite_autoincrement": True}

    id: int | None = Field(default=None, primary_key=True)
    username: str = Field(max_length=30)
    username_key: str = Field(max_length=30, unique=True)  # lower case: names differ by more than capitals
    email: str = Field(max_length=254, unique=True)  # canonical, see users.canonical_address
    password_hash: str = Field(max_length=200)
    epoch: int = 0
    locale: str = Field(default="en", max_length=12)
    created_at: datetime = Field(default_factory=now)
    last_seen: datetime = Field(default_factory=now)
    disabled_at: datetime | None = None
    reset_paused_until: datetime | None = None  # "this wasn't me": no reset letters until then
    about_me: str = Field(default="", max_length=140)
    is_public: bool = True  # whether strangers may read the profile and the posts


class Session(SQLModel, table=True):
    """One browser that is logged in. The cookie holds 256 random bits, the row only their SHA-256."""

    __tablename__ = "session"

    id: int | None = Field(default=None, primary_key=True)
    token_hash: str = Field(max_length=64, unique=True)
    user_id: int = Field(foreign_key="user_account.id", index=True, ondelete="CASCADE")
    epoch: int
    is_remembered: bool
    browser: str = Field(max_length=300)
    network: str = Field(max_length=60)
    created_at: datetime = Field(default_factory=now)
    seen_at: datetime = Field(default_factory=now)
    expires_at: datetime = Field(index=True)
