"""Copies of the data: made while the site runs, and proved by restoring them."""

from pathlib import Path

from webapp.i18n import gettext as _


class Refused(Exception):
    """This can't be done, and nothing was changed; says why in words for the admin."""


def must_be_new(file: Path) -> None:
    """Raises Refused rather than write over something."""
    if file.exists() or file.is_symlink():
        raise Refused(_("%(file)s is there already; choose another name.") % {"file": file})
    if not file.parent.is_dir():
        raise Refused(_("There is no folder %(file)s.") % {"file": file.parent})
