"""The site on a machine whose clock is an hour ahead."""

from datetime import UTC, datetime, timedelta

from starlette.applications import Starlette
from time_machine import travel

from webapp import app


def create_app() -> Starlette:
    travel(datetime.now(UTC) + timedelta(hours=1), tick=True).start()
    return app.create_app()
