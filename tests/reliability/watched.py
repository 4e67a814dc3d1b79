"""The site with a window: a process that writes into a file, when told SIGUSR1, how many asyncio tasks it has, and how
many connections to its database."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

from starlette.applications import Starlette

from webapp import app


def create_app() -> Starlette:
    site = app.create_app()
    pool: Any = site.state.database.engine.pool

    def write_down() -> None:
        connections = pool.checkedin() + pool.checkedout()
        Path(os.environ["WINDOW"]).write_text(f"{len(asyncio.all_tasks())} {connections}")

    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, write_down)
    return site
