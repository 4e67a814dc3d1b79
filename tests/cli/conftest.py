"""The command line within a test: a deployed site's environment, and one command after another in it."""

import logging
from collections.abc import Callable
from typing import NamedTuple

import pytest

from tests.sites import SECRET_KEY
from webapp.cli import main


class Ended(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, sqlite_url: str) -> pytest.MonkeyPatch:
    """A deployed site's environment; tests change it."""
    variables = {
        "BASE_URL": "https://blog.example",
        "SECRET_KEY": SECRET_KEY,
        "DATABASE_URL": sqlite_url,
        "MAILER": "off",
        "TRUSTED_PROXIES": "1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.fixture
def run(environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs one command; returns its exit code and what it printed."""

    def run(*arguments: str) -> Ended:
        capsys.readouterr()
        try:
            code = main.main([*arguments])
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        finally:
            logging.disable(logging.NOTSET)  # the end of its process would do that
        return Ended(code, *capsys.readouterr())

    return run
