"""The table of which emails people want."""

from sqlmodel import Field, SQLModel


class EmailSwitch(SQLModel, table=True):
    """Whether a person wants an optional kind of email. Without a row, the kind's default applies."""

    __tablename__ = "email_switch"

    user_id: int = Field(foreign_key="user_account.id", primary_key=True, ondelete="CASCADE")
    kind: str = Field(primary_key=True, max_length=40)
    is_wanted: bool
