"""The forms for posts."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel

from webapp.posts import text
from webapp.web.forms import Longest


class Write(BaseModel):
    body: Annotated[str, Longest(text.MOST_CODE_POINTS, said=text.MOST_CHARACTERS), AfterValidator(text.clean)]
