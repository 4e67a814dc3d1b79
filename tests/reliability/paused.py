"""The site with a hand on its log-in: while PAUSE_FILE is there, it goes no further than to PAUSE_AT.

"checked": the password was checked; "opening": and the account read again, and a session is about to be opened.
"""

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import argon2
from starlette.applications import Starlette

from webapp import app
from webapp.accounts import sessions


def create_app() -> Starlette:
    verify, open_new = argon2.PasswordHasher.verify, sessions.open_new
    pause, place = Path(os.environ["PAUSE_FILE"]), os.environ["PAUSE_AT"]

    def verify_and_wait(self: argon2.PasswordHasher, hash: str | bytes, password: str | bytes) -> bool:
        is_right = verify(self, hash, password)
        while _is_paused(pause):
            time.sleep(0.01)
        return is_right

    async def wait_and_open(*arguments: Any, **more: Any) -> str:
        while _is_paused(pause):
            await asyncio.sleep(0.01)
        return await open_new(*arguments, **more)

    if place == "checked":
        setattr(argon2.PasswordHasher, "verify", verify_and_wait)  # noqa: B010
    else:
        setattr(sessions, "open_new", wait_and_open)  # noqa: B010
    return app.create_app()


def _is_paused(pause: Path) -> bool:
    """Whether to wait; says that this place was reached."""
    if not pause.exists():
        return False
    pause.with_suffix(".reached").touch()
    return True
