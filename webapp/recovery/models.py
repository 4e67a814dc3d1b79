"""The table of recovery codes."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from webapp.database import now


class RecoveryCode(SQLModel, table=True):
    """A code that sets a new password, once. `label` is its first part, in clear, and finds the row;
    the rest is kept as an argon2id hash only.
    """

    __tablename__ = "recovery_code"

    user_id: int = Field(foreign_key="user_account.id", primary_key=True, ondelete="CASCADE")
    label: str = Field(primary_key=True, max_length=8)
    code_hash: str = Field(max_length=200)
    created: datetime = Field(default_factory=now)
    used: datetime | None = None
