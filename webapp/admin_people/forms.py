"""The forms for what the admin does about people."""

from typing import Annotated

from pydantic import BeforeValidator, StringConstraints

from webapp.authentication.forms import Proved
from webapp.moderation.forms import MOST_CHARACTERS
from webapp.web import words

MaybeReason = Annotated[str, StringConstraints(max_length=MOST_CHARACTERS), BeforeValidator(words.paragraph)]


class PersonDecision(Proved):
    """What to do about an account. If a reason is asked for, the person reads it."""

    reason: MaybeReason = ""


class RequestDecision(Proved):
    """The answer to a request. Somebody who is refused reads the reason, if there is one."""

    reason: MaybeReason = ""
