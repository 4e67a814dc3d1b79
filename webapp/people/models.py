"""The table of who follows whom."""

from datetime import datetime

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from webapp.database import now


class Follow(SQLModel, table=True):
    """One person follows another, never themselves."""

    __tablename__ = "follow"
    __table_args__ = (Index("ix_follow_followed_id_created_at", "followed_id", "created_at"),)

    follower_id: int = Field(foreign_key="user_account.id", primary_key=True, ondelete="CASCADE")
    followed_id: int = Field(foreign_key="user_account.id", primary_key=True, ondelete="CASCADE")
    created_at: datetime = Field(default_factory=now)
