"""The index of routes finds what Starlette's own list would find, and nothing else."""

import re
from collections import defaultdict

import pytest
from starlette.routing import BaseRoute, Match, NoMatchFound, Route, Router

from tests.sites import SECRET_KEY
from webapp.routes import routes
from webapp.settings import Settings
from webapp.web.routing import ByFirstSegment
from webapp.web.static_files import assets_of

SETTINGS = Settings(base_url="https://blog.example", secret_key=SECRET_KEY, database_url="sqlite+aiosqlite://")
SITE_MAP = routes(SETTINGS, assets_of(SETTINGS))
INDEX = ByFirstSegment(SITE_MAP)
SAMPLES = defaultdict(lambda: "7", token="eyJ.a.b", username="susan", action="disable")  # everything else is a number
PATHS = [
    *(re.sub(r":\w+", "", route.path).format_map(SAMPLES) for route in SITE_MAP if isinstance(route, Route)),
    *("/nothing", "/user", "/user/susan/x", "/reset_password/a/b", "//", "/static", "/static/x", "/Login", "/login/"),
]


def by_hand(path: str, method: str) -> BaseRoute | None:
    scope = {"type": "http", "method": method, "path": path}
    return next((route for route in SITE_MAP if route.matches(scope)[0] is Match.FULL), None)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_the_index_finds_what_the_list_would_find(method: str) -> None:
    scopes = {path: {"type": "http", "method": method, "path": path} for path in PATHS}

    found = {path: INDEX.matches(scope)[1].get("route") for path, scope in scopes.items()}

    assert found == {path: by_hand(path, method) for path in PATHS}
    assert method == "DELETE" or len({id(route) for route in found.values()}) > 20


def test_the_index_finds_by_name_what_the_list_would_find() -> None:
    names = {route.name: dict.fromkeys(route.param_convertors, 7) for route in SITE_MAP if isinstance(route, Route)}

    by_hand = [Router(SITE_MAP).url_path_for(name, **values) for name, values in names.items()]

    assert [INDEX.url_path_for(name, **values) for name, values in names.items()] == by_hand
    with pytest.raises(NoMatchFound):
        INDEX.url_path_for("profile")
    with pytest.raises(NoMatchFound):
        INDEX.url_path_for("nothing")
