"""The tables of requests for an account, and of invitations by members."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from webapp.database import now


class RegistrationRequest(SQLModel, table=True):
    """Somebody who has proved their mailbox and is waiting for the admin; or, once decided, somebody who was refused.

    `email` is canonical. A refused request has no username and password any more. `expires_at` is when it becomes void,
    or when somebody refused may ask again.
    """

    __tablename__ = "registration_request"
    # A new request must never get the number of a decided one: somebody may have its page open.
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


class Invite(SQLModel, table=True):
    """An invitation by a member: its link lets `places` people in until `expires_at`, while the member's account is in
    the `epoch` it was made in. `name` is what only the member sees.
    """

    __tablename__ = "invite"
    # An old link must never let anybody in through somebody else's invitation.
    __table_args__ = {"sqlite_autoincrement": True}

    id: int = Field(default=None, primary_key=True)
    user_id: int = Field(foreign_key="user_account.id", index=True, ondelete="CASCADE")
    epoch: int
    name: str = Field(max_length=60)
    places: int
    taken: int = 0
    created_at: datetime = Field(default_factory=now)
    expires_at: datetime = Field(index=True)
    revoked_at: datetime | None = None


class InviteUse(SQLModel, table=True):
    """Who came by which invitation, and whose that was."""

    __tablename__ = "invite_use"

    user_id: int = Field(foreign_key="user_account.id", primary_key=True, ondelete="CASCADE")
    invite_id: int = Field(foreign_key="invite.id", index=True, ondelete="CASCADE")
    inviter_id: int = Field(foreign_key="user_account.id", index=True, ondelete="CASCADE")
    created_at: datetime = Field(default_factory=now)
