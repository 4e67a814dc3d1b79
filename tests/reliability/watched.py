"""The site with a window: a process that writes how many asyncio tasks it has into a file when told SIGUSR1."""

import asyncio
import os
import signal
from pathlib import Path

from starlette.applications import Starlette

from webapp import app


def create_app() -> Starlette:
    def write_down() -> None:
        Path(os.environ["TASKS_FILE"]).write_text(str(len(asyncio.all_tasks())))

    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, write_down)
    return app.create_app()
