"""The registration forms."""

from collections.abc import Callable
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, StringConstraints

from webapp.authentication.forms import Address, Opened, Password, Username
from webapp.i18n import gettext as _
from webapp.registration.invites import MOST_DAYS
from webapp.web import words

MOST_OF_WHY = 500


def _whole(high: int) -> Callable[[str], str]:
    def read(text: str) -> str:
        typed = text.strip()
        if not (typed.isascii() and typed.isdecimal() and len(typed) <= 4 and 1 <= int(typed) <= high):
            raise ValueError(_("Type a number from 1 to %(most)s.") % {"most": high})
        return typed

    return read


class Register(BaseModel):
    """`homepage` is the field that people don't see, `seen` the stamp of the page; see `robots`."""

    email: Address
    homepage: str = ""
    seen: str = ""


class MakeInvite(BaseModel):
    """`name` is for the member alone, such as whom it is for."""

    name: Annotated[str, StringConstraints(max_length=60), BeforeValidator(words.paragraph)] = ""
    places: Annotated[int, BeforeValidator(_whole(100))]
    days: Annotated[int, BeforeValidator(_whole(MOST_DAYS))]


class FinishRegistration(Opened):
    """`why` is asked for if the admin decides who comes in."""

    username: Username
    password: Password
    why: Annotated[str, StringConstraints(max_length=MOST_OF_WHY), BeforeValidator(words.paragraph)] = ""
