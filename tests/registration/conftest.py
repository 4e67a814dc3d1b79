"""A site of each mode."""

from collections.abc import Callable

import pytest

from tests.sites import Site
from webapp.settings import Settings

Start = Callable[..., Site]


@pytest.fixture
def start(make_settings: Callable[..., Settings], sqlite_url: str, start_site: Callable[..., Site]) -> Start:
    """Starts a site with the host as its admin."""

    def begin(mode: str, **changes: object) -> Site:
        values: dict[str, object] = {"database_url": sqlite_url, "admins": ("host@example.com",)}
        return start_site(make_settings(**(values | {"registration": mode} | changes)), poll=0.1)

    return begin
