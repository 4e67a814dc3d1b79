"""The table of reports."""

from datetime import datetime

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, UniqueConstraint
from sqlmodel import Field, SQLModel

from webapp.database import now


class DecidedReport(SQLModel, table=True):
    """A decided report, in words, after the account of its author or the post's author was deleted."""

    __tablename__ = "decided_report"

    id: int = Field(default=None, primary_key=True)
    reason: str = Field(max_length=300)
    outcome: str = Field(max_length=20)
    decision: str = Field(default="", max_length=300)  # why a post was removed
    decided_at: datetime = Field(index=True)


class Report(SQLModel, table=True):
    """One person's report of one post. `outcome` is what the admin did about it."""

    __tablename__ = "report"
    __table_args__ = (UniqueConstraint("post_id", "reporter_id"),)

    id: int = Field(default=None, primary_key=True)
    post_id: int = Field(
        sa_column=Column(
            BigInteger().with_variant(Integer, "sqlite"), ForeignKey("post.id", ondelete="CASCADE"), nullable=False
        )
    )
    reporter_id: int = Field(foreign_key="user_account.id", ondelete="CASCADE")
    reason: str = Field(max_length=300)
    created_at: datetime = Field(default_factory=now)
    settled_at: datetime | None = Field(default=None, index=True)
    outcome: str = Field(default="", max_length=20)
    body: str = Field(default="", max_length=4000)  # what the post said then, since its author may edit it
