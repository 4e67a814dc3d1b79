"""The site with a hand on its log-in: while PAUSE_FILE is there, it goes no further than to PAUSE_AT.

"checked": the password was checked; "opening": and the account read again, and a session is about to be opened.
"""

import asyncio
import os
import time
from pathlib import Path
from typing import Literal

from argon2 import PasswordHasher
from sqlalchemy import event, orm
from sqlalchemy.util import await_
from starlette.applications import Starlette

from webapp import app
from webapp.accounts.models import Session
from webapp.passwords.hasher import ARGON2, Hasher


class WaitingArgon2(PasswordHasher):
    """Checks a password, and waits while the file is there."""

    def __init__(self, usual: PasswordHasher, pause: Path) -> None:
        super().__init__(usual.time_cost, usual.memory_cost, usual.parallelism)
        self.pause = pause

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
        is_right = super().verify(hash, password)
        while _is_paused(self.pause):
            time.sleep(0.01)
        return is_right


def create_app() -> Starlette:
    pause, place = Path(os.environ["PAUSE_FILE"]), os.environ["PAUSE_AT"]
    site = app.create_app()

    def wait_and_open(db: orm.Session, *_more: object) -> None:
        while any(isinstance(row, Session) for row in db.new) and _is_paused(pause):
            await_(asyncio.sleep(0.01))

    if place == "checked":
        site.state.hasher = Hasher(WaitingArgon2(ARGON2, pause))
    else:
        event.listen(orm.Session, "before_flush", wait_and_open)
    return site


def _is_paused(pause: Path) -> bool:
    """Whether to wait; says that this place was reached."""
    if not pause.exists():
        return False
    pause.with_suffix(".reached").touch()
    return True
