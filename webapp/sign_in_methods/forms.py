"""The forms of the sign-in methods."""

from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from webapp.authentication.forms import Proved
from webapp.factors import codes, totp
from webapp.i18n import gettext as _


def _app_code(text: str) -> str:
    if code := totp.canonical(text):
        return code
    raise ValueError(_("Type the six digits that your authenticator app shows."))


Typed = StringConstraints(strip_whitespace=True, min_length=1, max_length=100)
AppCode = Annotated[str, Typed, AfterValidator(_app_code)]
RecoveryCode = Annotated[str, Typed, AfterValidator(codes.canonical)]


class AddApp(Proved):
    """`setup` is the encrypted secret and sheet of codes that the page showed; `code` is of the app that is added."""

    setup: Annotated[str, StringConstraints(max_length=1500)] = ""
    code: AppCode
    recovery_code: RecoveryCode


class RemoveApp(Proved):
    """A button without fields, except for the proof."""


class RecoveryCodes(Proved):
    """A button without fields, except for the proof."""
