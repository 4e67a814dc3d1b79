"""The shapes of the forms of complaints and decisions."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, StringConstraints

MOST_CHARACTERS = 300


def _one_paragraph(text: str) -> str:
    return " ".join(text.split())


_Words = Annotated[str, StringConstraints(min_length=1, max_length=MOST_CHARACTERS)]
Reason = Annotated[_Words, BeforeValidator(_one_paragraph)]


class Report(BaseModel):
    """Why a post is complained of."""

    reason: Reason


class Decision(BaseModel):
    """Why a post goes, or an account is disabled: its owner reads it."""

    reason: Reason
