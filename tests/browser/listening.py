"""A site that really listens, for real browsers."""

import shutil
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from tests.browser.visitor import HOSTS
from tests.mailbox import Mailbox
from webapp.database import migrations
from webapp.settings import Settings

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def settings_for(socket: socket.socket, instance: Path, **environment: str) -> Settings:
    """A development site's, with the mailbox page. Visitors say themselves which network they are in."""
    variables = {"TRUSTED_PROXIES": "1", "ADMINS": ",".join(HOSTS), "MEMBER_INVITES": "5", **environment}
    settings = Settings.for_development(socket.getsockname()[1], variables, instance=instance)
    with ThreadPoolExecutor(1) as aside:  # beside playwright there is an event loop here already
        aside.submit(migrations.upgrade, settings.database_url).result()
    return settings


class ListeningSite:
    """A site behind a socket of this machine, in a thread."""

    def __init__(self, app: Starlette, socket: socket.socket) -> None:
        self.settings = settings = app.state.settings
        self.url = settings.base_url
        assert settings.mailbox
        self.mailbox = Mailbox(settings.mailbox)
        config = uvicorn.Config(app, access_log=False, log_config=None, timeout_graceful_shutdown=2)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [socket]})

    def __enter__(self) -> "ListeningSite":
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive(), "the site does not start"
            time.sleep(0.01)
        return self

    def __exit__(self, *error: object) -> None:
        self._server.should_exit = True
        self._thread.join(20)


def free_socket() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))
