"""The forms of the sign-in methods."""

from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from webapp.authentication.forms import Code, Proved, TypedRecoveryCode
from webapp.factors import totp
from webapp.i18n import gettext as _


def _app_code(text: str) -> str:
    if code := totp.canonical(text):
        return code
    raise ValueError(_("Type the six digits that your authenticator app shows."))


class AddApp(Proved):
    """`setup` is the encrypted secret and sheet of codes that the page showed; `code` is of the app that is added."""

    setup: Annotated[str, StringConstraints(max_length=1500)] = ""
    code: Annotated[Code, AfterValidator(_app_code)]
    recovery_code: TypedRecoveryCode
