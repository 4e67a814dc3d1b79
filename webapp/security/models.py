"""The tables of what happened to accounts."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Index, Integer
from sqlmodel import Field, SQLModel

from webapp.database import now


class SecurityEvent(SQLModel, table=True):
    """Something that mattered to the safety of an account. It outlives the account."""

    __tablename__ = "security_event"
    __table_args__ = (Index("ix_security_event_user_id_created", "user_id", "created"),)

    id: int | None = Field(
        default=None,
        sa_column=Column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    )
    user_id: int
    kind: str = Field(max_length=40)
    created: datetime = Field(default_factory=now, index=True)
    network: str = Field(default="", max_length=60)
    browser: str = Field(default="", max_length=300)
    details: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)


class KnownBrowser(SQLModel, table=True):
    """A browser in which a person has logged in before. Its cookie holds 256 random bits, the row their SHA-256."""

    __tablename__ = "known_browser"

    user_id: int = Field(foreign_key="user_account.id", primary_key=True, ondelete="CASCADE")
    secret_hash: str = Field(primary_key=True, max_length=64)
    seen_at: datetime = Field(default_factory=now, index=True)


class AddressChange(SQLModel, table=True):
    """One request to change an address. What it asks for never changes, so a link confirms just what it was sent to.

    `epoch` is the account's when it was asked: whatever ends links ends this one too. Undoing does not look at it.
    `undone` is when that was done, or when undoing it stopped being anybody's right.
    """

    __tablename__ = "address_change"

    id: int | None = Field(default=None, primary_key=True)
    user_id: int = Field(foreign_key="user_account.id", index=True, ondelete="CASCADE")
    epoch: int
    old_email: str = Field(max_length=254)
    new_email: str = Field(max_length=254)
    created: datetime = Field(default_factory=now, index=True)
    confirmed: datetime | None = None
    undone: datetime | None = None
