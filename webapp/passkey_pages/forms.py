"""The forms that a small script fills in with a passkey's answers."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, StringConstraints

from webapp.authentication.forms import Credential, Proved
from webapp.web import words

Name = Annotated[str, StringConstraints(max_length=60), BeforeValidator(words.paragraph)]


class LogIn(BaseModel):
    credential: Credential = ""
    remember_me: str = ""
    next: str = ""


class AddPasskey(Proved):
    """`handle` is how the passkey will know the account. The challenge it answers contains it, too."""

    name: Name = ""
    credential: Credential = ""
    handle: Annotated[str, StringConstraints(max_length=100)] = ""


class RenamePasskey(Proved):
    name: Annotated[str, StringConstraints(min_length=1, max_length=60), BeforeValidator(words.paragraph)]
