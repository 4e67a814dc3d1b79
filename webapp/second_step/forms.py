"""The forms of the second step."""

from typing import Annotated

from pydantic import BaseModel, StringConstraints

Code = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


class SecondStep(BaseModel):
    """A code of the app, or a recovery code. `trust`: don't ask in this browser for a while."""

    code: Code
    trust: str = ""
    next: str = ""
