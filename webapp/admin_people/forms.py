"""The forms of what the admin does about people."""

from typing import Annotated

from pydantic import BeforeValidator, StringConstraints

from webapp.authentication.forms import Proved
from webapp.moderation.forms import MOST_CHARACTERS, one_paragraph

MaybeReason = Annotated[str, StringConstraints(max_length=MOST_CHARACTERS), BeforeValidator(one_paragraph)]


class PersonDecision(Proved):
    """What is done to an account. Its owner reads the reason, where one is asked for."""

    reason: MaybeReason = ""


class RequestDecision(Proved):
    """What becomes of a request; whoever is refused reads the reason, if there is one."""

    reason: MaybeReason = ""
