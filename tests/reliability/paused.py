"""The site with a hand on its log-in: while PAUSE_FILE is there, whose password was checked gets no further."""

import os
import time
from pathlib import Path
from typing import Literal

from argon2 import PasswordHasher
from starlette.applications import Starlette

from webapp import app
from webapp.passwords.hasher import ARGON2, Hasher


class WaitingArgon2(PasswordHasher):
    """Checks a password, and waits while the file is there."""

    def __init__(self, usual: PasswordHasher, pause: Path) -> None:
        super().__init__(usual.time_cost, usual.memory_cost, usual.parallelism)
        self.pause = pause

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
        is_right = super().verify(hash, password)
        while self.pause.exists():
            self.pause.with_suffix(".reached").touch()
            time.sleep(0.01)
        return is_right


def create_app() -> Starlette:
    site = app.create_app()
    site.state.hasher = Hasher(WaitingArgon2(ARGON2, Path(os.environ["PAUSE_FILE"])))
    return site
