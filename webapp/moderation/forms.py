"""The forms for reports and decisions."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, StringConstraints

from webapp.authentication.forms import Proved
from webapp.web import words

MOST_CHARACTERS = 300


_Words = Annotated[str, StringConstraints(min_length=1, max_length=MOST_CHARACTERS)]
Reason = Annotated[_Words, BeforeValidator(words.paragraph)]


class ReportPost(BaseModel):
    """Why somebody reports a post."""

    reason: Reason


class Decision(Proved):
    """Why a post is removed or an account disabled. The person concerned reads it."""

    reason: Reason
