"""The command line, `python -m webapp`: serve the site, and look after it by hand."""


class Refused(Exception):
    """The command can't do this, and has changed nothing; says why."""
