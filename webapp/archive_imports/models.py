"""The tables of archives that people have uploaded, and of their bytes."""

from sqlalchemy import Column, ForeignKey, Integer, LargeBinary
from sqlmodel import Field, SQLModel

from webapp.archives.models import Leased

ARRIVING, DONE = "arriving", "done"


class ArchiveImport(Leased, table=True):
    """An archive that somebody uploaded; once it is done, only the result. Begun again, it finds what is already here.

    Nothing more comes of it once the account has left the `epoch`: a thief may have uploaded it.
    """

    __tablename__ = "archive_import"

    epoch: int
    crashes: int = 0
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
