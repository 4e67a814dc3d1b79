"""Susan, as in the tests of the reset."""

from tests.recovery.conftest import susan, the_site

__all__ = ["susan", "the_site"]
