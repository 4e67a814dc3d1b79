"""The forms for getting back in."""

from typing import Annotated

from pydantic import BaseModel, StringConstraints

from webapp.authentication.forms import Credential, Identity, Opened, Password, TypedRecoveryCode


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
    code: TypedRecoveryCode
