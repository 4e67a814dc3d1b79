"""The table of security events."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Index, Integer
from sqlmodel import Field, SQLModel

from webapp.database import now, partial_index

FROM_NOWHERE = "client_ip = ''"


class SecurityEvent(SQLModel, table=True):
    """Something that matters to the safety of an account. It goes when the account does."""

    __tablename__ = "security_event"
    __table_args__ = (
        Index("ix_security_event_user_id_created_at", "user_id", "created_at"),
        # Only of what admins did, from no client IP: to find it when an admin's own account is deleted.
        partial_index("ix_security_event_user_agent", "user_agent", where=FROM_NOWHERE),
    )

    id: int = Field(
        default=None,
        sa_column=Column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    )
    user_id: int
    kind: str = Field(max_length=40)
    created_at: datetime = Field(default_factory=now, index=True)
    client_ip: str = Field(default="", max_length=60)
    user_agent: str = Field(default="", max_length=300)
    details: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
