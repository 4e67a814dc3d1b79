"""The forms for what the admin does about people."""

from typing import Annotated

from pydantic import BeforeValidator, StringConstraints

from webapp.authentication.forms import Proved
from webapp.moderation.forms import MOST_CHARACTERS
from webapp.web import words

MaybeReason = Annotated[str, StringConstraints(max_length=MOST_CHARACTERS), BeforeValidator(words.paragraph)]


class AdminDecision(Proved):
    """What to do about an account or a request. If a reason is asked for or given, the person reads it."""

    reason: MaybeReason = ""
