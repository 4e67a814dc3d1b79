"""Bring in data from elsewhere: accounts in a CSV file, an archive of posts, the tutorial's own database."""


class Refused(Exception):
    """It can't be imported; says why."""
