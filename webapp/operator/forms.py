"""The operator's forms."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field


class WorksAgain(BaseModel):
    """The address that works again, by the mark that stands for it on the page."""

    mark: Annotated[str, Field(min_length=32, max_length=32)] = ""


class SendAgain(BaseModel):
    """The email to send again; if left out, all that were given up."""

    letter: Annotated[Annotated[int, Field(ge=1, le=2**62)] | None, BeforeValidator(lambda text: text or None)] = None
