"""The forms of the settings' pages."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, StringConstraints

from webapp.authentication.forms import MaybePassword, Password, Username

ABOUT_ME_LENGTH = 140


def _one_line(text: str) -> str:
    return " ".join(text.split())


AboutMe = Annotated[Annotated[str, StringConstraints(max_length=ABOUT_ME_LENGTH)], BeforeValidator(_one_line)]


class ChangePassword(BaseModel):
    current_password: Password
    password: Password


class Language(BaseModel):
    """The switch at the foot of every page."""

    language: str


class EditProfile(BaseModel):
    username: Username
    about_me: AboutMe = ""
    is_public: str = ""
    current_password: MaybePassword = ""
