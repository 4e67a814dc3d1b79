"""The shapes of the registration forms."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, StringConstraints

from webapp.authentication.forms import Address, Opened, Password, Username

MOST_OF_WHY = 500


def _one_paragraph(text: str) -> str:
    return " ".join(text.split())


class Register(BaseModel):
    """`homepage` is the field that people don't see, `seen` the stamp of the page; see `robots`."""

    email: Address
    homepage: str = ""
    seen: str = ""


class FinishRegistration(Opened):
    """`why` is asked for where the admin decides who comes in."""

    username: Username
    password: Password
    why: Annotated[str, StringConstraints(max_length=MOST_OF_WHY), BeforeValidator(_one_paragraph)] = ""
