"""The form with the switches."""

from typing import Any

from pydantic import BaseModel, create_model

from webapp.authentication.forms import Proved


def email_choices(kinds: list[str]) -> type[BaseModel]:
    """A checkbox for each kind of email, and the proof that turning off some of them takes."""
    fields: dict[str, Any] = dict.fromkeys(kinds, (str, ""))
    return create_model("EmailChoices", __base__=Proved, **fields)
