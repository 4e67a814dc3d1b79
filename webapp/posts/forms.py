"""The shapes of the forms of posts."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel

from webapp.posts import text


class Write(BaseModel):
    body: Annotated[str, AfterValidator(text.clean)]
