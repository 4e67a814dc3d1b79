"""The forms for getting back in."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, StringConstraints

from webapp.authentication.forms import Identity, Password
from webapp.factors import codes

Code = Annotated[str, StringConstraints(min_length=1, max_length=100), AfterValidator(codes.canonical)]


class RecoveryCodes(BaseModel):
    current_password: Password


class Recover(BaseModel):
    username: Identity
    code: Code
