"""The forms of the check-up."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, StringConstraints

from webapp.authentication.forms import Code, Credential
from webapp.factors.codes import ALPHABET, LABEL
from webapp.i18n import gettext as _


def _label(text: str) -> str:
    label = re.sub(r"[\s\-]", "", text).lower()[:LABEL]
    if not re.fullmatch(f"[{ALPHABET}]{{{LABEL}}}", label):
        raise ValueError(_("Type the first four characters of one of your codes."))
    return label


class CheckCode(BaseModel):
    recovery_code: Annotated[str, StringConstraints(max_length=100), AfterValidator(_label)]


class CheckApp(BaseModel):
    code: Code


class CheckPasskey(BaseModel):
    credential: Credential = ""
