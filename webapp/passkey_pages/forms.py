"""The forms that a small script fills with what a passkey says."""

from typing import Annotated

from pydantic import BaseModel, StringConstraints

from webapp.authentication.forms import Credential, Proved

Name = Annotated[str, StringConstraints(strip_whitespace=True, max_length=60)]


class LogIn(BaseModel):
    credential: Credential = ""
    remember_me: str = ""
    next: str = ""


class AddPasskey(Proved):
    """`handle` is what the passkey will know the account by; the challenge that it answers carries it, too."""

    name: Name = ""
    credential: Credential = ""
    handle: Annotated[str, StringConstraints(max_length=100)] = ""


class RenamePasskey(Proved):
    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60)]


class RemovePasskey(Proved):
    """A button without fields, but for the proof."""
