"""The table of address changes."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from webapp.database import now


class AddressChange(SQLModel, table=True):
    """One request to change an address. What it asks for never changes, so a link confirms just what it was sent to.

    `epoch` is the account's when it was asked: whatever ends links ends this one too. Undoing does not look at it.
    """

    __tablename__ = "address_change"

    id: int | None = Field(default=None, primary_key=True)
    user_id: int = Field(foreign_key="user_account.id", index=True, ondelete="CASCADE")
    epoch: int
    old_email: str = Field(max_length=254)
    new_email: str = Field(max_length=254)
    created: datetime = Field(default_factory=now, index=True)
    confirmed: datetime | None = None
    undone: datetime | None = None
