"""The command line, `python -m webapp`: serve the site, and look after it by hand."""


class Refused(Exception):
    """The command can't do what was asked, and has changed nothing; says why."""
