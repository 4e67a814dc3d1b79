"""The forms of an export. Both take the password: the file has everything of a person's."""

from pydantic import BaseModel

from webapp.authentication.forms import MaybePassword


class Export(BaseModel):
    current_password: MaybePassword = ""
