"""The site with a hand on its hashing: while PAUSE_FILE is there, a checked password is not yet answered for."""

import os
import time
from pathlib import Path

import argon2
from starlette.applications import Starlette

from webapp import app


def create_app() -> Starlette:
    verify = argon2.PasswordHasher.verify
    pause = Path(os.environ["PAUSE_FILE"])

    def verify_and_wait(self: argon2.PasswordHasher, hash: str | bytes, password: str | bytes) -> bool:
        is_right = verify(self, hash, password)
        if pause.exists():
            pause.with_suffix(".reached").touch()
        while pause.exists():
            time.sleep(0.01)
        return is_right

    setattr(argon2.PasswordHasher, "verify", verify_and_wait)  # noqa: B010
    return app.create_app()
