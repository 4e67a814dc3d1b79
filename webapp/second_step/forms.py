"""The forms of the second step."""

from pydantic import BaseModel

from webapp.authentication.forms import Code


class SecondStep(BaseModel):
    """A code of the app, or a recovery code. `trust`: don't ask in this browser for a while."""

    code: Code
    trust: str = ""
    next: str = ""
