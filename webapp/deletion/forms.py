"""The form that has an account deleted."""

from pydantic import BaseModel

from webapp.authentication.forms import MaybePassword, Typed


class DeleteAccount(BaseModel):
    """`username` is one's own, typed, so that nobody does it by accident."""

    username: Typed
    current_password: MaybePassword = ""


class UndoDeletion(BaseModel):
    """A button without fields."""
