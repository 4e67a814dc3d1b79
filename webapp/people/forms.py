"""The shape of the buttons that follow and unfollow."""

from pydantic import BaseModel


class Follow(BaseModel):
    """A button; `next` is the page it stands on."""

    next: str = ""
