"""The tables of requests for an account, and of invitations by members."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from webapp.database import now


class RegistrationRequest(SQLModel, table=True):
    """Somebody who has proved their mailbox and waits for the admin; once that was decided, only who was refused.

    `email` is canonical. A refused request has neither a username nor a password any more. `expires_at` is when it is
    void, or when whoever was refused may ask again.
    """

    __tablename__ = "registration_request"
    # The number of a decided request must never be the next one's: somebody may have its page open.
    __table_args__ = {"sqlite_autoincrement": True}

    id: int = Field(default=None, primary_key=True)
    email: str = Field(max_length=254, unique=True)
    username: str = Field(default="", max_length=30)
    username_key: str | None = Field(default=None, max_length=30, unique=True)
    password_hash: str = Field(default="", max_length=200)
    why: str = Field(max_length=500)
    language: str = Field(max_length=12)
    created_at: datetime = Field(default_factory=now)
    expires_at: datetime = Field(index=True)
    refused_at: datetime | None = None
    reason: str = Field(default="", max_length=300)
