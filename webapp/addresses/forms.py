"""The forms for a change of address."""

from webapp.authentication.forms import Address, Proved


class ChangeEmail(Proved):
    email: Address
