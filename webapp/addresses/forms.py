"""The forms for a change of address."""

from pydantic import BaseModel

from webapp.authentication.forms import Address, Proved


class ChangeEmail(Proved):
    email: Address


class ConfirmEmail(BaseModel):
    """A button without fields."""


class UndoEmail(BaseModel):
    """A button without fields."""
