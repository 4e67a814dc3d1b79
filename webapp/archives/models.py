"""The tables of exports and of their bytes."""

from datetime import datetime

from sqlalchemy import Column, ForeignKey, Integer, LargeBinary
from sqlmodel import Field, SQLModel

from webapp.database import now

WAITING, READY = "waiting", "ready"


class Leased(SQLModel):
    """Somebody's long work: asked for, under way, or done until `expires_at`.

    Who does it has a lease: if the process dies the lease runs out, and another begins again. `fence` goes up with each
    claim, so a process that wakes up late can't write into another's work.
    """

    __table_args__ = {"sqlite_autoincrement": True}

    id: int = Field(default=None, primary_key=True)
    user_id: int = Field(foreign_key="user_account.id", index=True, ondelete="CASCADE")
    state: str = Field(default=WAITING, max_length=12)
    asked_at: datetime = Field(default_factory=now)
    expires_at: datetime = Field(index=True)
    leased_until: datetime | None = None
    fence: int = 0
    done: int = 0  # steps, or posts that were looked at, of `total`
    total: int = 0


class AccountExport(Leased, table=True):
    """A file with everything of a person's."""

    __tablename__ = "account_export"

    size: int = 0  # bytes


class ExportChunk(SQLModel, table=True):
    """A piece of an export's file. It is in the database, which is all that web processes on several machines share."""

    __tablename__ = "export_chunk"

    export_id: int = Field(
        sa_column=Column(Integer, ForeignKey("account_export.id", ondelete="CASCADE"), primary_key=True)
    )
    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    content: bytes = Field(sa_type=LargeBinary)
