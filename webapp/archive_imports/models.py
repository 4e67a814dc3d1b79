"""The tables of archives that people have uploaded, and of their bytes."""

from datetime import datetime

from sqlalchemy import Column, ForeignKey, Integer, LargeBinary
from sqlmodel import Field, SQLModel

from webapp.archives.models import WAITING
from webapp.database import now

DONE = "done"


class ArchiveImport(SQLModel, table=True):
    """An archive that somebody uploaded; once it is done, only the result.

    Its importer has a lease: if the process dies the lease runs out, and another begins again, which finds what is
    already here. `fence` goes up with each claim, so a process that wakes up late can't write any more.
    Nothing more comes of it once the account has left the `epoch`: a thief may have uploaded it.
    """

    __tablename__ = "archive_import"
    __table_args__ = {"sqlite_autoincrement": True}

    id: int = Field(default=None, primary_key=True)
    user_id: int = Field(foreign_key="user_account.id", index=True, ondelete="CASCADE")
    epoch: int
    state: str = Field(default=WAITING, max_length=12)
    asked_at: datetime = Field(default_factory=now)
    expires_at: datetime = Field(index=True)
    leased_until: datetime | None = None
    fence: int = 0
    crashes: int = 0
    done: int = 0  # posts that were looked at, of `total`
    total: int = 0
    added: int = 0  # posts that were new
    report: str = Field(default="", max_length=4000)  # JSON, once it is done


class ImportChunk(SQLModel, table=True):
    """A piece of an uploaded file. It is in the database for the same reason as the pieces of exports."""

    __tablename__ = "import_chunk"

    import_id: int = Field(
        sa_column=Column(Integer, ForeignKey("archive_import.id", ondelete="CASCADE"), primary_key=True)
    )
    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    content: bytes = Field(sa_type=LargeBinary)
