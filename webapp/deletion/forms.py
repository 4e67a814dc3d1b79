"""The form that has an account deleted."""

from pydantic import BaseModel

from webapp.authentication.forms import MaybePassword, Typed


class DeleteAccount(BaseModel):
    """`username` is your own, typed out, so that nobody does this by accident."""

    username: Typed
    current_password: MaybePassword = ""


class UndoDeletion(BaseModel):
    """A button without fields."""
