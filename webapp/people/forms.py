"""The forms behind buttons about a person, such as "Follow" and "Mute"."""

from pydantic import BaseModel


class PersonButton(BaseModel):
    """A button; `next` is the page it stands on."""

    next: str = ""
