"""The form that has an account deleted."""

from webapp.authentication.forms import Proved, Typed


class DeleteAccount(Proved):
    """`username` is your own, typed out, so that nobody does this by accident."""

    username: Typed
