"""What has gone wrong on the site, and how often since its host was told."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from webapp.database import now


class ErrorReport(SQLModel, table=True):
    """One distinct error; `count` is how often it happened since the last letter about it."""

    __tablename__ = "error_report"

    fingerprint: str = Field(primary_key=True, max_length=32)
    count: int = 0
    last_seen: datetime = Field(default_factory=now)
