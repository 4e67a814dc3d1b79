"""The forms behind buttons about a person, such as "Follow" and "Mute"."""

from pydantic import BaseModel

from webapp.accounts.models import User
from webapp.web import pages
from webapp.web.forms import Form


class PersonButton(BaseModel):
    """A button; `next` is the page it stands on."""

    next: str = ""


def way_back(form: Form[PersonButton], person: User) -> str:
    """The page to go on with once it is done: the button's, or the person's."""
    return pages.local_path(form.values["next"], f"/user/{person.username}")
