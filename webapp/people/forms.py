"""The forms behind the buttons "Follow" and "Unfollow"."""

from pydantic import BaseModel


class Follow(BaseModel):
    """A button; `next` is the page it stands on."""

    next: str = ""
