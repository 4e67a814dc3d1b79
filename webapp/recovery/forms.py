"""The forms for getting back in."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, StringConstraints

from webapp.authentication.forms import Credential, Identity, Opened, Password
from webapp.factors import codes

Code = Annotated[str, StringConstraints(min_length=1, max_length=100), AfterValidator(codes.canonical)]


class ResetPasswordRequest(BaseModel):
    email: Identity


class ResetPassword(Opened):
    """`code` is asked for if the account has a second factor."""

    password: Password
    password2: str = ""
    code: Annotated[str, StringConstraints(max_length=100)] = ""
    passkey_proof: Credential = ""


class Recover(BaseModel):
    username: Identity
    code: Code
