"""The tables of who follows, mutes and blocks whom. Nobody does any of it to themselves."""

from datetime import datetime

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from webapp.database import now


class Follow(SQLModel, table=True):
    """One person follows another."""

    __tablename__ = "follow"
    __table_args__ = (Index("ix_follow_followed_id_created_at", "followed_id", "created_at"),)

    follower_id: int = Field(foreign_key="user_account.id", primary_key=True, ondelete="CASCADE")
    followed_id: int = Field(foreign_key="user_account.id", primary_key=True, ondelete="CASCADE")
    created_at: datetime = Field(default_factory=now)


class Mute(SQLModel, table=True):
    """One person doesn't want to see another, who never learns of it."""

    __tablename__ = "mute"

    muter_id: int = Field(foreign_key="user_account.id", primary_key=True, ondelete="CASCADE")
    muted_id: int = Field(foreign_key="user_account.id", primary_key=True, index=True, ondelete="CASCADE")
    created_at: datetime = Field(default_factory=now)


class Block(SQLModel, table=True):
    """One person has blocked another: neither sees the other, follows, or answers."""

    __tablename__ = "block"

    blocker_id: int = Field(foreign_key="user_account.id", primary_key=True, ondelete="CASCADE")
    blocked_id: int = Field(foreign_key="user_account.id", primary_key=True, index=True, ondelete="CASCADE")
    created_at: datetime = Field(default_factory=now)
