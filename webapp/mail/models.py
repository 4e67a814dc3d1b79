"""The outbox row: an intention to write to somebody, never the letter itself."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Index, Integer, text
from sqlmodel import Field, SQLModel

from webapp.database import now

READY, LEASED, SENT, DEAD, EXPIRED = "ready", "leased", "sent", "dead", "expired"


class Letter(SQLModel, table=True):
    """One letter to be written and sent: its kind, whom it is for, and how far it got.

    `recipient` is what a visitor typed, or an address; `parameters` hold no secret. Both are gone once the
    letter was sent.

    A claim is a lease: it puts `due` to the lease's end, so a letter whose mailer died is simply due again.
    `fence` goes up with each claim, so that a worker whose lease ran out changes nothing any more.
    """

    __tablename__ = "letter"
    __table_args__ = (
        Index("ix_letter_due", "due", postgresql_where=text("finished IS NULL"), sqlite_where=text("finished IS NULL")),
        Index("ix_letter_user_id_created", "user_id", "created"),
    )

    id: int | None = Field(
        default=None,
        sa_column=Column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    )
    kind: str = Field(max_length=40)
    recipient: str | None = Field(default=None, max_length=320)
    parameters: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    language: str = Field(max_length=12)
    user_id: int | None = None
    message_id: str = Field(max_length=320)
    state: str = Field(default=READY, max_length=12)
    created: datetime = Field(default_factory=now)
    due: datetime = Field(default_factory=now)
    expires: datetime
    attempts: int = 0
    fence: int = 0
    crashes: int = 0
    leased_by: str | None = Field(default=None, max_length=60)
    code: int | None = None
    reason: str | None = Field(default=None, max_length=300)
    finished: datetime | None = Field(default=None, index=True)
