"""The forms of the settings pages."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, StringConstraints

from webapp.authentication.forms import Password, Proved, Username
from webapp.web import words

ABOUT_ME_LENGTH = 140
_BLANK_LINES = re.compile(r"\n{3,}")


def few_lines(text: str) -> str:
    """The lines without surrounding spaces, and with at most one empty line between two."""
    lines = "\n".join(" ".join(line.split()) for line in text.splitlines())
    return _BLANK_LINES.sub("\n\n", lines).strip()


_About = Annotated[str, StringConstraints(max_length=ABOUT_ME_LENGTH), AfterValidator(words.readable)]
AboutMe = Annotated[_About, BeforeValidator(few_lines)]


class ChangePassword(Proved):
    password: Password


class Language(BaseModel):
    """The switch at the foot of every page."""

    language: str


class EditProfile(Proved):
    username: Username
    about_me: AboutMe = ""
    is_public: str = ""
