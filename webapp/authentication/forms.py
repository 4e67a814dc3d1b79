"""The account forms, and the check that every new password goes through."""

import unicodedata
from collections.abc import Collection
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, StringConstraints, ValidationInfo

from webapp.asked_emails.email_codes import CODE_DIGITS
from webapp.factors import codes
from webapp.i18n import gettext as _
from webapp.names import identities, reserved
from webapp.passwords import hasher, strength
from webapp.settings import Settings
from webapp.web.forms import Form, Longest
from webapp.web.words import too_long


def _username(text: str) -> str:
    if not identities.USERNAME.fullmatch(text):
        raise ValueError(_("Use 3 to 30 letters (a to z), digits or underscores."))
    return text


def _address(text: str, info: ValidationInfo) -> str:
    return identities.canonical_address(text, _local_domains(info))


def _identity(text: str, info: ValidationInfo) -> str:
    return identities.canonical_identity(text, _local_domains(info))


def _local_domains(info: ValidationInfo) -> Collection[str]:
    assert info.context
    settings: Settings = info.context["settings"]
    return settings.mail_local_domains


def _password(text: str) -> str:
    if hasher.is_too_long(text):
        raise ValueError(too_long(_LONGEST.said))
    return text


def _email_code(text: str) -> str:
    digits = "".join(str(unicodedata.decimal(character)) for character in text if character.isdecimal())
    if len(digits) != CODE_DIGITS:
        raise ValueError(_("Type the %(num)s digits of the code in the email.") % {"num": CODE_DIGITS})
    return digits


# A username or an address is what people see of it; test_typed.py tries every field that takes one.
Typed = Annotated[str, StringConstraints(min_length=1, max_length=320), BeforeValidator(identities.visible)]
Identity = Annotated[Typed, AfterValidator(_identity)]
Address = Annotated[Typed, AfterValidator(_address)]
Username = Annotated[Typed, AfterValidator(_username)]
_LONGEST = Longest(hasher.MOST_TYPED, said=hasher.MAX_LENGTH)
Password = Annotated[str, StringConstraints(min_length=1), _LONGEST, AfterValidator(_password)]
# For forms that also take a passkey, or sometimes nothing; `proof.prove` says when it is missing.
MaybePassword = Annotated[str, _LONGEST, AfterValidator(_password)]


Credential = Annotated[str, StringConstraints(max_length=12_000)]
Code = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
TypedRecoveryCode = Annotated[Code, AfterValidator(codes.canonical)]
MaybeCode = Annotated[str, StringConstraints(strip_whitespace=True, max_length=100)]


class Proved(BaseModel):
    """A form that asks again who somebody is: see `proof.prove`. By itself, it is that of a button without fields.

    A small script fills `passkey_proof`. `code` is asked for if the account has a second step.
    """

    current_password: MaybePassword = ""
    code: MaybeCode = ""
    passkey_proof: Credential = ""


class Login(BaseModel):
    username: Typed
    password: Password
    remember_me: str = ""
    next: str = ""


class Opened(BaseModel):
    """The form behind a link: the stamp says when it was opened."""

    opened: str = ""


class EmailCode(BaseModel):
    code: Annotated[str, StringConstraints(max_length=100), AfterValidator(_email_code)]


def check_username(form: Form[Any], words: reserved.Reserved) -> None:
    """Refuses a username that speaks for the site."""
    if form.is_valid and reserved.is_reserved(form.data.username, words):
        form.refuse("username", _("That username is reserved. Please choose another one."))


def check_password(form: Form[Any], settings: Settings, password: str, *context: str) -> None:
    """Refuses a new password that is easy to guess; `context` are words that a guesser would try first."""
    weak = strength.of(password, settings.password_min_length, *context, settings.host, settings.site_name)
    if weak and "password" not in form.errors:
        form.refuse("password", weak)
