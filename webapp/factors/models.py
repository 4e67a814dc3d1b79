"""The tables of second factors, and of log-ins waiting for one."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, Column
from sqlmodel import Field, SQLModel

from webapp.database import now, partial_index


class FactorKind(StrEnum):
    """The kinds of factor. Passkeys aren't among them: each opens the account by itself, and a reset ends it."""

    APP = "app"


class Factor(SQLModel, table=True):
    """Something a person has besides the password. It has no epoch, since a reset takes no factor away.

    `secret` is encrypted (see `sealing`) with the key that `sealed_with` names. `last_step` is the newest time step
    whose code was accepted, and `spent_ahead` has those to come whose codes were sent before their time, so none is
    accepted twice. An account has at most one app.
    """

    __tablename__ = "factor"
    __table_args__ = (
        partial_index("uq_factor_app", "user_id", where="kind = 'app'", unique=True),
        {"sqlite_autoincrement": True},
    )

    id: int = Field(default=None, primary_key=True)
    user_id: int = Field(foreign_key="user_account.id", index=True, ondelete="CASCADE")
    kind: str = Field(max_length=12)
    secret: str = Field(default="", max_length=300)
    sealed_with: str = Field(default="", max_length=16)
    last_step: int = Field(default=0, sa_column=Column(BigInteger(), nullable=False))
    spent_ahead: str = Field(default="", max_length=300)
    created_at: datetime = Field(default_factory=now)
    last_used_at: datetime | None = None


class PendingLogIn(SQLModel, table=True):
    """Somebody knew the password, and has still to pass the second step. It is no session, and opens nothing.

    The cookie holds 256 random bits, the row only their SHA-256. It counts only in its `epoch`.
    """

    __tablename__ = "pending_log_in"
    __table_args__ = {"sqlite_autoincrement": True}

    id: int = Field(default=None, primary_key=True)
    token_hash: str = Field(max_length=64, unique=True)
    user_id: int = Field(foreign_key="user_account.id", index=True, ondelete="CASCADE")
    epoch: int
    is_remembered: bool
    user_agent: str = Field(max_length=300)
    client_ip: str = Field(max_length=60)
    created_at: datetime = Field(default_factory=now, index=True)
    finished_at: datetime | None = None
