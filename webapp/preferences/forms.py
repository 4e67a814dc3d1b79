"""The shapes of the settings' forms."""

from pydantic import BaseModel

from webapp.accounts.forms import Password


class Press(BaseModel):
    """A button without fields."""


class ChangePassword(BaseModel):
    current_password: Password
    password: Password
